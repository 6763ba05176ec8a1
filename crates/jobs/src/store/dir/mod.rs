//! A folder handle. Operations through it follow no symbolic links, and files and folders made through it are private to
//! their owner, whatever the umask (`openat` and its relatives, POSIX.1-2008).

#[cfg(not(unix))]
mod portable;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(super) use portable::{Dir, Identity};
#[cfg(unix)]
pub(super) use unix::{Dir, Identity};

#[cfg(unix)]
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};

/// The kind of a folder's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A symbolic link, a pipe, a device or a socket.
    Other,
}

impl Dir {
    /// Writes and syncs a file, replacing one of the same name.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create(name)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Removes a file; returns whether it existed.
    pub(super) fn remove_if_there(&self, name: &str) -> io::Result<bool> {
        match self.remove(name) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens a file for reading; `None` if it does not exist.
    pub(super) fn read_if_there(&self, name: &str) -> io::Result<Option<File>> {
        match self.read(name) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every name as text. Invalid UTF-8 becomes a name that the store does not use.
    pub(super) fn text_names(&self) -> io::Result<Vec<String>> {
        Ok(self.names()?.into_iter().map(|name| name.to_string_lossy().into_owned()).collect())
    }
}

/// The error for an entry of the wrong kind.
fn not_a(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("not {what}"))
}

/// Whether an entry is the folder itself or the one above it.
#[cfg(unix)]
fn is_dots(name: &OsString) -> bool {
    name == "." || name == ".."
}
