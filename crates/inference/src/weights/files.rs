//! `Files`: the files of a model by path, in a folder, in memory or on the hub.

use super::send::{BoxFuture, WasmNotSend};
use super::source::{MemorySource, Source};
use crate::{Error, Result};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A set of files that belong together. Paths use `/` and are relative to the model's folder.
pub trait Files: WasmNotSend {
    /// The set's name in errors: a folder or an address.
    fn name(&self) -> &str;

    /// The paths of all files.
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>>>;

    /// Opens a file. Downloads it if it is on the hub and not in the cache yet.
    fn open<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Arc<dyn Source>>>;
}

/// Sources by path: the embedded model, or files that a page has fetched or received.
#[derive(Clone)]
pub struct MemoryFiles {
    name: String,
    files: BTreeMap<String, Arc<dyn Source>>,
}

impl MemoryFiles {
    /// An empty set.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), files: BTreeMap::new() }
    }

    /// The built-in files, by path.
    pub fn from_static(name: impl Into<String>, files: &[(&str, &'static [u8])]) -> Self {
        let mut set = Self::new(name);
        for (path, bytes) in files {
            let file = format!("{}/{path}", set.name);
            set.insert(*path, Arc::new(MemorySource::new(file, Bytes::from_static(bytes))));
        }
        set
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<String>, source: Arc<dyn Source>) {
        self.files.insert(path.into(), source);
    }
}

impl Files for MemoryFiles {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(std::future::ready(Ok(self.files.keys().cloned().collect())))
    }

    fn open<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Arc<dyn Source>>> {
        let found = self.files.get(path).cloned();
        let missing = || Error::Io { path: format!("{}/{path}", self.name), reason: "no such file".into() };
        Box::pin(std::future::ready(found.ok_or_else(missing)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollster::block_on;

    #[test]
    fn static_files_are_found_by_path() {
        let files = MemoryFiles::from_static("emoji", &[("unet/config.json", b"{}"), ("a", b"abc")]);
        assert_eq!(block_on(files.list()).unwrap(), ["a", "unet/config.json"]);
        let source = block_on(files.open("unet/config.json")).unwrap();
        assert_eq!((source.name(), source.len()), ("emoji/unet/config.json", 2));
        let error = block_on(files.open("b")).err().unwrap();
        assert_eq!(error.to_string(), "emoji/b: no such file");
    }
}
