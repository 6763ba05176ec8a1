//! `Directory`: a local folder as [`Files`].

use super::file::{FileSource, inside};
use super::files::Files;
use super::send::BoxFuture;
use super::source::Source;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many levels of a model's folder are listed; components are one level deep.
const DEPTH: usize = 3;

/// The most files that are listed, in case the folder is a home directory.
const MOST: usize = 10_000;

/// A local folder.
#[derive(Clone, Debug)]
pub struct Directory {
    name: String,
    path: PathBuf,
}

impl Directory {
    /// The folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: path.display().to_string(), path }
    }

    pub(super) fn read(&self) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        collect(&self.path, "", DEPTH, &mut paths)?;
        paths.sort();
        Ok(paths)
    }
}

/// Adds the files below `folder`, whose path in the model is `prefix`. Skips hidden ones and follows links, since the
/// hub's cache consists of links.
fn collect(folder: &Path, prefix: &str, depth: usize, paths: &mut Vec<String>) -> Result<()> {
    let io = |error: std::io::Error| Error::io(folder.display().to_string(), &error);
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let path = format!("{prefix}{name}");
        // A dangling link counts as a missing file.
        let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
        if metadata.is_file() && paths.len() < MOST {
            paths.push(path);
        } else if metadata.is_dir() && depth > 0 {
            collect(&entry.path(), &format!("{path}/"), depth - 1, paths)?;
        }
    }
    Ok(())
}

impl Files for Directory {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(std::future::ready(self.read()))
    }

    fn open<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Arc<dyn Source>>> {
        let source = inside(&self.path, path).and_then(FileSource::open);
        Box::pin(std::future::ready(source.map(|source| Arc::new(source) as Arc<dyn Source>)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollster::block_on;

    #[test]
    fn lists_and_opens_the_files_below() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("unet/.cache")).unwrap();
        std::fs::write(folder.path().join("unet/config.json"), "{}").unwrap();
        std::fs::write(folder.path().join("unet/.cache/x"), "").unwrap();
        std::fs::write(folder.path().join("model_index.json"), "{ }").unwrap();
        let files = Directory::new(folder.path());
        assert_eq!(block_on(files.list()).unwrap(), ["model_index.json", "unet/config.json"]);
        assert_eq!(block_on(files.open("model_index.json")).unwrap().len(), 3);
        for gone in ["unet/gone", "../x"] {
            assert!(matches!(block_on(files.open(gone)), Err(Error::Io { .. })), "{gone}");
        }
        let gone = Directory::new(folder.path().join("gone"));
        assert!(matches!(block_on(gone.list()), Err(Error::Io { .. })));
    }
}
