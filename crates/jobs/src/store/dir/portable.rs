//! [`Dir`] with paths, for systems without `openat`. It checks for links before opening a file.

use super::{Kind, not_a};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A folder.
pub(in crate::store) struct Dir(PathBuf);

/// A file's identity: here, its time of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Identity(Option<std::time::SystemTime>);

impl Identity {
    /// The identity of an open file.
    pub(in crate::store) fn of(file: &File) -> io::Result<Self> {
        Ok(Self(file.metadata()?.created().ok()))
    }
}

impl Dir {
    /// Opens a folder. Links are followed: the operator chose the path.
    pub(in crate::store) fn open(path: &Path) -> io::Result<Self> {
        if path.is_dir() { Ok(Self(path.to_owned())) } else { Err(not_a("a folder")) }
    }

    /// Opens a folder in this one.
    pub(in crate::store) fn open_folder(&self, name: &str) -> io::Result<Self> {
        match self.kind(name)? {
            Some(Kind::Folder) => Ok(Self(self.0.join(name))),
            Some(_) => Err(not_a("a folder")),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Opens a folder in this one, making it if it does not exist.
    pub(in crate::store) fn make_folder(&self, name: &str) -> io::Result<Self> {
        if self.kind(name)?.is_none() {
            fs::create_dir(self.0.join(name))?;
        }
        self.open_folder(name)
    }

    /// Does nothing: these systems have no Unix permissions.
    pub(in crate::store) fn make_private(&self) -> io::Result<()> {
        Ok(())
    }

    /// Does nothing: these systems have no Unix permissions.
    pub(in crate::store) fn make_file_private(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    /// Opens a file for reading.
    pub(in crate::store) fn read(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OpenOptions::new().read(true))
    }

    /// Opens a file for reading and writing, making it if it does not exist. It is not truncated.
    pub(in crate::store) fn open_or_create(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OpenOptions::new().read(true).write(true).create(true))
    }

    /// Makes a new file, replacing one of the same name.
    pub(in crate::store) fn create(&self, name: &str) -> io::Result<File> {
        self.remove_if_there(name)?;
        self.open_file(name, OpenOptions::new().write(true).create_new(true))
    }

    fn open_file(&self, name: &str, options: &OpenOptions) -> io::Result<File> {
        match self.kind(name)? {
            Some(Kind::File) | None => options.open(self.0.join(name)),
            Some(_) => Err(not_a("a file")),
        }
    }

    /// Moves a file to a folder on the same disk, replacing one of the new name.
    pub(in crate::store) fn rename(&self, from: &str, folder: &Self, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), folder.0.join(to))
    }

    /// Removes a file.
    pub(in crate::store) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    /// The kind of the entry of this name; `None` if there is none.
    pub(in crate::store) fn kind(&self, name: &str) -> io::Result<Option<Kind>> {
        Ok(self.stat(name)?.map(|stat| match stat.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Folder,
            _ => Kind::Other,
        }))
    }

    /// The identity of the file of this name; `None` if there is none.
    pub(in crate::store) fn identity(&self, name: &str) -> io::Result<Option<Identity>> {
        Ok(self.stat(name)?.map(|stat| Identity(stat.created().ok())))
    }

    /// The length of a file in bytes; `None` if it does not exist.
    pub(in crate::store) fn length(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.stat(name)?.map(|stat| stat.len()))
    }

    fn stat(&self, name: &str) -> io::Result<Option<fs::Metadata>> {
        match fs::symlink_metadata(self.0.join(name)) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of all entries.
    pub(in crate::store) fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    /// Does nothing: folders cannot be synced by path.
    pub(in crate::store) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
