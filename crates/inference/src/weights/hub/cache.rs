//! The cache's layout (<https://huggingface.co/docs/huggingface_hub/guides/manage-cache>): `blobs` named by their ETag,
//! `refs` from branches to commits, and `snapshots` with a link to a blob for each file of a commit.

use crate::weights::file::inside;
use crate::{Error, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The folder of one repository.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    root: PathBuf,
    folder: String,
}

impl Cache {
    pub(super) fn new(root: &Path, id: &str) -> Self {
        Self { root: root.to_owned(), folder: format!("models--{}", id.replace('/', "--")) }
    }

    fn path(&self) -> PathBuf {
        self.root.join(&self.folder)
    }

    /// The last known commit of a branch or tag, or the revision itself if it is a commit.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = std::fs::read_to_string(inside(&self.path().join("refs"), revision).ok()?).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Stores the commit of a branch or tag.
    pub(super) fn remember(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = inside(&self.path().join("refs"), revision)?;
        create_parent(&path)?;
        std::fs::write(&path, commit).map_err(io(&path))
    }

    /// The folder of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> Option<PathBuf> {
        is_commit(commit).then(|| self.path().join("snapshots").join(commit))
    }

    /// Where a file of a commit is, or would be.
    pub(super) fn file(&self, commit: &str, path: &str) -> Result<PathBuf> {
        let snapshot = self.snapshot(commit).ok_or_else(|| Error::Network {
            url: self.folder.clone(),
            reason: format!("the hub answered with commit {commit:?}, which is not a commit hash"),
        })?;
        inside(&snapshot, path)
    }

    /// Where a blob is, or would be; `etag` must be a plain name.
    pub(super) fn blob(&self, etag: &str) -> Result<PathBuf> {
        inside(&self.path().join("blobs"), etag)
    }

    /// Waits until no other process downloads the same blob. The lock ends when it is dropped.
    pub(super) fn lock(&self, etag: &str) -> Result<File> {
        let path = inside(&self.root.join(".locks").join(&self.folder), &format!("{etag}.lock"))?;
        create_parent(&path)?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io(&path))?;
        // Some file systems have no locks; there, two processes download the same file at their own risk.
        match file.lock() {
            Err(error) if error.kind() != std::io::ErrorKind::Unsupported => Err(io(&path)(error)),
            _ => Ok(file),
        }
    }

    /// Adds a blob to a snapshot: as a relative link if the system has links, else as a copy.
    pub(super) fn link(&self, etag: &str, commit: &str, path: &str) -> Result<PathBuf> {
        let blob = self.blob(etag)?;
        let file = self.file(commit, path)?;
        create_parent(&file)?;
        // A link to an earlier version of the blob, or a dangling one.
        if let Err(error) = std::fs::remove_file(&file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(io(&file)(error));
        }
        let up = "../".repeat(path.split('/').count() + 1);
        let target = format!("{up}blobs/{etag}");
        symlink(&target, &file).or_else(|_| std::fs::copy(&blob, &file).map(|_| ())).map_err(io(&file))?;
        Ok(file)
    }
}

#[cfg(unix)]
fn symlink(target: &str, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_target: &str, _link: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Creates the folder of a file.
pub(super) fn create_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(parent).map_err(io(parent))
}

/// A file system error at `path`.
pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |error| Error::io(&*path, &error)
}

fn is_commit(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
