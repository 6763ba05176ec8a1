//! What the Hugging Face hub's cache contains.

use super::{Error, Result};
use crate::names::KNOWN;
use easel_inference::weights::Hub;
use std::path::PathBuf;

/// Whether files of a repository are in the cache.
pub fn is_cached(repository: &str) -> bool {
    Hub::from_env().is_ok_and(|hub| hub.cached(repository, None).is_some())
}

/// The folder of a repository in the cache. The error says how to download it.
pub(super) fn cached(repository: &str) -> Result<PathBuf> {
    Hub::from_env()?.cached(repository, None).ok_or_else(|| {
        let known = KNOWN.iter().find(|known| known.repository == Some(repository));
        let name = known.map_or(repository, |known| known.name).to_owned();
        Error::NotDownloaded { repository: repository.to_owned(), name }
    })
}
