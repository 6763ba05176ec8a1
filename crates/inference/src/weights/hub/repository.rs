//! `HubFiles`: a repository at one commit.

use super::Hub;
use super::cache::Cache;
use super::download::{DownloadProgress, download};
use super::http::is_passing;
use crate::lock::lock;
use crate::weights::directory::Directory;
use crate::weights::file::FileSource;
use crate::weights::files::Files;
use crate::weights::send::BoxFuture;
use crate::weights::source::Source;
use crate::{Error, Result};
use serde::Deserialize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

type Watcher = Box<dyn FnMut(&DownloadProgress<'_>) -> ControlFlow<()> + Send>;

/// The files of a repository on the hub. The list is requested once; each file is downloaded when it is opened, unless
/// it is in the cache.
///
/// If the hub cannot be reached, the repository consists of the cached files.
pub struct HubFiles {
    hub: Hub,
    cache: Cache,
    id: String,
    revision: String,
    name: String,
    state: OnceLock<State>,
    watcher: Mutex<Option<Watcher>>,
}

/// A repository's commit and files.
#[derive(Clone)]
struct State {
    commit: String,
    paths: Vec<String>,
}

/// The part of the hub's response that is used.
#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl HubFiles {
    pub(super) fn new(hub: Hub, id: &str, revision: &str) -> Self {
        let name = format!("{}/{id}", hub.client.endpoint());
        let cache = Cache::new(&hub.cache, id);
        let id = id.to_owned();
        let revision = revision.to_owned();
        Self { hub, cache, id, revision, name, state: OnceLock::new(), watcher: Mutex::default() }
    }

    /// Calls `watcher` as bytes arrive. A break stops the download with [`Error::Cancelled`]; received bytes stay in
    /// the cache, and the next download continues from there.
    pub fn watched(self, watcher: impl FnMut(&DownloadProgress<'_>) -> ControlFlow<()> + Send + 'static) -> Self {
        Self { watcher: Mutex::new(Some(Box::new(watcher))), ..self }
    }

    /// The path of a file on this machine, after downloading it if needed.
    pub fn fetch(&self, path: &str) -> Result<PathBuf> {
        let state = self.state()?;
        let file = self.cache.file(&state.commit, path)?;
        if file.is_file() {
            return Ok(file);
        }
        if self.hub.offline || !state.paths.iter().any(|known| known == path) {
            let reason = if self.hub.offline { "not in the cache (HF_HUB_OFFLINE is set)" } else { "no such file" };
            return Err(Error::Network { url: format!("{}/{path}", self.name), reason: reason.into() });
        }
        let url = self.hub.client.file(&self.id, &state.commit, path);
        let metadata = self.hub.client.metadata(&url)?;
        let blob = self.cache.blob(&metadata.etag)?;
        let _lock = self.cache.lock(&metadata.etag)?;
        if !blob.is_file() {
            let total = metadata.size;
            let watch = &mut |received| self.report(&DownloadProgress { path, received, total });
            download(&self.hub.client, &url, &metadata, &blob, watch)?;
        }
        self.cache.link(&metadata.etag, &state.commit, path)
    }

    fn report(&self, progress: &DownloadProgress<'_>) -> ControlFlow<()> {
        let mut watcher = lock(&self.watcher);
        watcher.as_mut().map_or(ControlFlow::Continue(()), |watch| watch(progress))
    }

    fn state(&self) -> Result<&State> {
        if let Some(state) = self.state.get() {
            return Ok(state);
        }
        let state = if self.hub.offline {
            self.cached()?
        } else {
            self.request_state().or_else(|error| self.fall_back(error))?
        };
        Ok(self.state.get_or_init(|| state))
    }

    fn request_state(&self) -> Result<State> {
        let answer = self.hub.client.list(&self.id, &self.revision)?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(|error| Error::Network {
            url: self.name.clone(),
            reason: format!("the list of files is invalid: {error}"),
        })?;
        self.cache.remember(&self.revision, &answer.sha)?;
        let paths = answer.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        Ok(State { commit: answer.sha, paths })
    }

    /// If the hub cannot be reached, uses the cache.
    fn fall_back(&self, error: Error) -> Result<State> {
        if is_passing(&error) { self.cached().map_err(|_| error) } else { Err(error) }
    }

    fn cached(&self) -> Result<State> {
        let commit = self.cache.commit(&self.revision);
        let found = commit.and_then(|commit| Some((self.cache.snapshot(&commit)?, commit)));
        let Some((folder, commit)) = found.filter(|(folder, _)| folder.is_dir()) else {
            let reason = "not in the cache (HF_HUB_OFFLINE is set)".to_owned();
            return Err(Error::Network { url: self.name.clone(), reason });
        };
        Ok(State { commit, paths: Directory::new(folder).read()? })
    }
}

impl Files for HubFiles {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(std::future::ready(self.state().map(|state| state.paths.clone())))
    }

    fn open<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Arc<dyn Source>>> {
        let source = self.fetch(path).and_then(FileSource::open);
        Box::pin(std::future::ready(source.map(|source| Arc::new(source) as Arc<dyn Source>)))
    }
}
