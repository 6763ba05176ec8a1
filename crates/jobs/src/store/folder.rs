//! The data folder: its lock, and pictures as files that are whole or not there.

use crate::{Error, NewPicture, Picture, Result, TaskId};
use bytes::Bytes;
use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The folder that a store keeps its files in. One process at a time has it.
pub(super) struct Folder {
    pictures: PathBuf,
    database: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens the folder, making it if need be.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let pictures = root.join("pictures");
        fs::create_dir_all(&pictures).map_err(Error::file("make folder", &pictures))?;
        let path = root.join("lock");
        let lock = File::create(&path).map_err(Error::file("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { pictures, database: root.join("easel.db"), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: root.to_owned() }),
            Err(TryLockError::Error(reason)) => Err(Error::File { action: "lock", path, reason }),
        }
    }

    /// The database file.
    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    /// Writes the pictures of a task. All are on the disk when this returns; none is there when it fails.
    pub(super) fn write(&self, task: TaskId, pictures: &[NewPicture]) -> Result<()> {
        let written = (0..).zip(pictures).try_for_each(|(number, picture)| {
            let path = self.path(task, number);
            let partial = path.with_extension("partial");
            write_and_sync(&partial, &picture.bytes).map_err(Error::file("write", &partial))?;
            fs::rename(&partial, &path).map_err(Error::file("rename", &partial))
        });
        let synced = written.and_then(|()| sync_folder(&self.pictures));
        if synced.is_err() {
            self.remove(task, pictures.len());
        }
        synced
    }

    /// Removes the pictures of a task, finished or not, as far as they are there.
    pub(super) fn remove(&self, task: TaskId, count: usize) {
        for number in 0..count as u32 {
            let path = self.path(task, number);
            remove(&path.with_extension("partial"));
            remove(&path);
        }
    }

    /// Removes one picture's file.
    pub(super) fn remove_picture(&self, task: TaskId, number: u32) {
        remove(&self.path(task, number));
    }

    /// Reads a picture.
    pub(super) fn read(&self, picture: &Picture) -> Result<Bytes> {
        let path = self.path(picture.task, picture.number);
        match fs::read(&path) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::UnknownPicture { id: picture.id }),
            Err(reason) => Err(Error::File { action: "read", path, reason }),
        }
    }

    /// Removes every file that is not one of these pictures: what a killed process had begun.
    pub(super) fn sweep(&self, known: impl Iterator<Item = (TaskId, u32)>) -> Result<()> {
        let known: HashSet<PathBuf> = known.map(|(task, number)| self.path(task, number)).collect();
        let entries = fs::read_dir(&self.pictures).map_err(Error::file("list", &self.pictures))?;
        for entry in entries {
            let path = entry.map_err(Error::file("list", &self.pictures))?.path();
            if !known.contains(&path) {
                remove(&path);
            }
        }
        Ok(())
    }

    /// The name says nothing of the encoding, so that a second attempt at a task overwrites what the first left.
    fn path(&self, task: TaskId, number: u32) -> PathBuf {
        self.pictures.join(format!("{task}-{number}"))
    }
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes renames in a folder last through a loss of power. Only Unix lets a folder be opened as a file.
fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file("sync", folder))
}

/// A file that cannot be removed now costs its room until the next sweep, which is no reason to fail.
fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a picture's file was not removed");
        }
        _ => {}
    }
}
