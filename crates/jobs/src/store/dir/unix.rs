//! [`Dir`] with the system calls that take an open folder.

use super::{Kind, is_dots, not_a};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The permissions of a private folder.
const PRIVATE_FOLDER: Mode = Mode::RWXU;

/// The permissions of a private file.
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// An open folder.
pub(in crate::store) struct Dir(OwnedFd);

/// A file's identity, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    /// The identity of an open file.
    pub(in crate::store) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_stat(&rustix::fs::fstat(file)?))
    }

    #[expect(clippy::unnecessary_cast, reason = "the types differ between systems")]
    fn from_stat(stat: &Stat) -> Self {
        Self { device: stat.st_dev as u64, number: stat.st_ino as u64 }
    }
}

impl Dir {
    /// Opens a folder. Links are followed: the operator chose the path.
    pub(in crate::store) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Opens a folder in this one.
    pub(in crate::store) fn open_folder(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Opens a folder in this one, making it if it does not exist.
    pub(in crate::store) fn make_folder(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.0, name, PRIVATE_FOLDER) {
            Ok(()) => {}
            Err(error) if error == rustix::io::Errno::EXIST => return self.open_folder(name),
            Err(error) => return Err(error.into()),
        }
        let folder = self.open_folder(name)?;
        rustix::fs::fchmod(&folder.0, PRIVATE_FOLDER)?;
        Ok(folder)
    }

    /// Removes all permissions of other users.
    pub(in crate::store) fn make_private(&self) -> io::Result<()> {
        tighten(&self.0, &rustix::fs::fstat(&self.0)?)
    }

    /// The same for a file in this folder.
    pub(in crate::store) fn make_file_private(&self, name: &str) -> io::Result<()> {
        let file = self.read(name)?;
        tighten(&file, &rustix::fs::fstat(&file)?)
    }

    /// Opens a file for reading.
    pub(in crate::store) fn read(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlags::RDONLY)
    }

    /// Opens a file for reading and writing, making it if it does not exist. It is not truncated.
    pub(in crate::store) fn open_or_create(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Makes a new file, replacing one of the same name.
    pub(in crate::store) fn create(&self, name: &str) -> io::Result<File> {
        self.remove_if_there(name)?;
        let file = self.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        rustix::fs::fchmod(&file, PRIVATE_FILE)?;
        Ok(file)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        // Without NONBLOCK, opening a pipe would wait for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name, flags, PRIVATE_FILE)?;
        let is_file = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) == FileType::RegularFile;
        if is_file { Ok(File::from(file)) } else { Err(not_a("a file")) }
    }

    /// Moves a file to a folder on the same disk, replacing one of the new name.
    pub(in crate::store) fn rename(&self, from: &str, folder: &Self, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &folder.0, to)?)
    }

    /// Removes a file.
    pub(in crate::store) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// The kind of the entry of this name; `None` if there is none.
    pub(in crate::store) fn kind(&self, name: &str) -> io::Result<Option<Kind>> {
        Ok(self.stat(name)?.map(|stat| match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            _ => Kind::Other,
        }))
    }

    /// The identity of the file of this name; `None` if there is none.
    pub(in crate::store) fn identity(&self, name: &str) -> io::Result<Option<Identity>> {
        Ok(self.stat(name)?.map(|stat| Identity::from_stat(&stat)))
    }

    /// The length of a file in bytes; `None` if it does not exist.
    pub(in crate::store) fn length(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.stat(name)?.map(|stat| stat.st_size.cast_unsigned()))
    }

    fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error == rustix::io::Errno::NOENT => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The names of all entries.
    pub(in crate::store) fn names(&self) -> io::Result<Vec<OsString>> {
        let entries = rustix::fs::Dir::read_from(&self.0)?;
        let names = entries.map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()));
        names.filter(|name: &io::Result<OsString>| !name.as_ref().is_ok_and(is_dots)).collect()
    }

    /// Syncs the folder, so that renames and removals survive a power failure.
    pub(in crate::store) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

/// Keeps only the owner's permissions.
fn tighten(file: impl std::os::fd::AsFd, stat: &Stat) -> io::Result<()> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    let private = mode & Mode::RWXU;
    if mode != private {
        rustix::fs::fchmod(file, private)?;
    }
    Ok(())
}
