//! The Hugging Face hub (<https://huggingface.co/docs/hub/api>): repositories as [`Files`](super::Files) that are
//! downloaded when they are opened, into the cache of `huggingface_hub`, with the same environment variables.
//!
//! Requests block, so these futures are ready when they are first polled.
//!
//! Why not the crate `hf-hub` (1.0.0): it shares the cache's layout, but `stream_response_to_file_with_progress`
//! truncates the `.incomplete` file, so an interrupted download starts over; it does not compare the file's digest with
//! its ETag; its progress handler cannot stop a download, only dropping the future can, which a blocking caller does
//! not have; and it depends on an asynchronous HTTP client and Xet, 284 crates where `ureq` needs 24.

mod cache;
mod download;
mod http;
mod repository;
#[cfg(test)]
mod tests;

pub use download::DownloadProgress;
pub use repository::HubFiles;

use crate::{Error, Result};
use cache::Cache;
use http::Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The default hub.
const ENDPOINT: &str = "https://huggingface.co";

/// The default branch.
const MAIN: &str = "main";

/// The hub's address, the access token, and the folder of the cache.
#[derive(Clone, Debug)]
pub struct Hub {
    client: Arc<Client>,
    cache: PathBuf,
    offline: bool,
}

impl Hub {
    /// A hub with the settings of the environment: `HF_ENDPOINT`, `HF_TOKEN` (or the token saved by `hf auth login`),
    /// `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var(name).ok(), std::env::home_dir())
    }

    /// A hub at an address, with its files stored in `cache`.
    pub fn new(endpoint: &str, cache: impl Into<PathBuf>) -> Self {
        Self { client: Arc::new(Client::new(endpoint, None)), cache: cache.into(), offline: false }
    }

    /// The same with an access token.
    pub fn with_token(self, token: &str) -> Self {
        let token = Some(token.trim().to_owned()).filter(|token| !token.is_empty());
        Self { client: Arc::new(Client::new(self.client.endpoint(), token)), ..self }
    }

    /// The same without the network: only cached files.
    pub fn offline(self) -> Self {
        Self { offline: true, ..self }
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>, user: Option<PathBuf>) -> Result<Self> {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| get(name).map(PathBuf::from);
        let user_cache = || path("XDG_CACHE_HOME").or_else(|| user.as_ref().map(|user| user.join(".cache")));
        let home = path("HF_HOME").or_else(|| user_cache().map(|cache| cache.join("huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.or_else(|| home.as_ref().map(|home| home.join("hub")));
        let Some(cache) = cache else {
            let reason = "not set, and there is no home directory for downloads".to_owned();
            return Err(Error::Io { path: "HF_HOME".into(), reason });
        };
        let hub = Self::new(&get("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into()), cache);
        let file = path("HF_TOKEN_PATH").or_else(|| home.map(|home| home.join("token")));
        let saved = || file.and_then(|file| std::fs::read_to_string(file).ok());
        let token = get("HF_TOKEN").or_else(|| get("HUGGING_FACE_HUB_TOKEN")).or_else(saved);
        let is_on = |value: String| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        let hub = if get("HF_HUB_OFFLINE").is_some_and(is_on) { hub.offline() } else { hub };
        Ok(hub.with_token(&token.unwrap_or_default()))
    }

    /// The files of a repository, `owner/name`, at a branch, tag or commit (`None`: `main`). Nothing is requested yet.
    pub fn repository(&self, id: &str, revision: Option<&str>) -> Result<HubFiles> {
        let fits = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part != "." && part != ".." && part.chars().all(plain)
        };
        if id.split('/').count() > 2 || !id.split('/').all(fits) {
            return Err(Error::Network { url: id.to_owned(), reason: "not a repository, expected owner/name".into() });
        }
        let revision = revision.unwrap_or(MAIN);
        Ok(HubFiles::new(self.clone(), id, revision))
    }

    /// The cache's folder of a repository, if anything of it was downloaded. Files may be missing.
    pub fn cached(&self, id: &str, revision: Option<&str>) -> Option<PathBuf> {
        let cache = Cache::new(&self.cache, id);
        let commit = cache.commit(revision.unwrap_or(MAIN))?;
        cache.snapshot(&commit).filter(|folder| folder.is_dir())
    }

    /// The folder in which files are stored.
    pub fn cache(&self) -> &Path {
        &self.cache
    }
}
