//! A folder held open. What is done below it follows no symbolic link, and what is made in it is its owner's alone,
//! whatever the umask (`openat` and its relatives, POSIX.1-2008).

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

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A symbolic link, a pipe, a device or a socket.
    Other,
}

impl Dir {
    /// Writes a file that replaces what was there under this name, and puts it on the disk.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create(name)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Removes a file, and says whether it was there.
    pub(super) fn remove_if_there(&self, name: &str) -> io::Result<bool> {
        match self.remove(name) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens a file to read it; `None` if nothing has this name.
    pub(super) fn read_if_there(&self, name: &str) -> io::Result<Option<File>> {
        match self.read(name) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every name as text. One that is no valid text becomes a name that the store does not know.
    pub(super) fn text_names(&self) -> io::Result<Vec<String>> {
        Ok(self.names()?.into_iter().map(|name| name.to_string_lossy().into_owned()).collect())
    }
}

/// The error for a name that stands for something else than it should.
fn not_a(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("not {what}"))
}

/// Whether an entry is the folder itself or the one above it.
#[cfg(unix)]
fn is_dots(name: &OsString) -> bool {
    name == "." || name == ".."
}
