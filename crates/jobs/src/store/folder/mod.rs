//! The data folder: its owner, its lock, and pictures as files that are either complete or absent.

mod names;
mod owner;
mod room;
mod sweep;

pub(super) use sweep::Known;

use super::dir::{Dir, Identity, Kind};
use crate::{Error, NewPicture, Picture, PictureId, Result, TaskId};
use names::{DATABASE, LOCK, MARKER, PICTURES};
use owner::Owner;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A store's data folder, used by one process at a time.
pub(super) struct Folder {
    root: PathBuf,
    dir: Dir,
    ballast: room::Ballast,
    /// Damaged pictures that were already logged.
    damaged: Mutex<HashSet<PictureId>>,
    _lock: File,
}

impl Folder {
    /// Opens the folder, making it if needed. [`Error::ForeignFolder`], [`Error::InUse`].
    pub(super) fn open(root: &Path) -> Result<Self> {
        make_root(root).map_err(Error::file("make folder", root))?;
        // SQLite follows no links here either, so the operator's own must be resolved first.
        let root = fs::canonicalize(root).map_err(Error::file("open folder", root))?;
        let dir = Dir::open(&root).map_err(Error::file("open folder", &root))?;
        let owner = owner::find(&dir, &root)?;
        let lock = lock(&dir, &root)?;
        if owner != Owner::Marked {
            owner::mark(&dir, &root)?;
        }
        let ballast = room::Ballast::default();
        let folder = Self { root, dir, ballast, damaged: Mutex::default(), _lock: lock };
        folder.dir.make_folder(PICTURES).map_err(Error::file("make folder", &folder.root.join(PICTURES)))?;
        if let Err(error) = folder.make_private(owner) {
            tracing::warn!(path = %folder.root.display(), %error, "other users may be able to read the data folder");
        }
        folder.make_database()?;
        // This fails on a full disk, which the health check reports.
        let _ = folder.ballast.keep(&folder.dir);
        Ok(folder)
    }

    /// Removes the permissions of other users. Files are made private, but earlier versions did not do that.
    fn make_private(&self, owner: Owner) -> io::Result<()> {
        self.dir.make_private()?;
        let pictures = self.dir.open_folder(PICTURES)?;
        pictures.make_private()?;
        if owner == Owner::Unmarked {
            for name in pictures.text_names()? {
                if names::Name::read(&name) != names::Name::Foreign && pictures.kind(&name)? == Some(Kind::File) {
                    pictures.make_file_private(&name)?;
                }
            }
        }
        self.dir.make_file_private(LOCK)
    }

    /// Makes the database file if it does not exist, so that it and the files that SQLite puts beside it are private.
    fn make_database(&self) -> Result<()> {
        for name in DATABASE {
            let path = self.root.join(name);
            let kind = self.dir.kind(name).map_err(Error::file("open", &path))?;
            if !matches!(kind, None | Some(Kind::File)) {
                let reason = io::Error::new(ErrorKind::InvalidInput, "not a file");
                return Err(Error::File { action: "open", path, reason });
            }
            if kind.is_none() && name == DATABASE[0] {
                self.dir.create(name).map_err(Error::file("make", &path))?;
            }
            if kind.is_some() {
                self.dir.make_file_private(name).map_err(Error::file("open", &path))?;
            }
        }
        Ok(())
    }

    /// The database file.
    pub(super) fn database(&self) -> PathBuf {
        self.root.join(DATABASE[0])
    }

    /// The database file, to inspect it independently of SQLite. It must stay open as long as SQLite has the database open:
    /// closing it would release the process's locks on it.
    pub(super) fn open_database(&self) -> Result<File> {
        self.dir.read(DATABASE[0]).map_err(Error::file("open", &self.database()))
    }

    /// Fails if the database's path no longer leads to this open file.
    pub(super) fn check_database(&self, open: &File) -> Result<()> {
        let path = self.database();
        let found = self.dir.identity(DATABASE[0]).map_err(Error::file("open", &path))?;
        let ours = Identity::of(open).map_err(Error::file("open", &path))?;
        if found == Some(ours) { Ok(()) } else { Err(Error::Replaced { path }) }
    }

    /// Fails if a file cannot be written, or the marker is missing.
    pub(super) fn check_disk(&self) -> Result<()> {
        room::probe(&self.dir).map_err(Error::file("write", &self.root))?;
        let marker = self.dir.kind(MARKER).map_err(Error::file("open", &self.root))?;
        if marker != Some(Kind::File) {
            return Err(Error::Replaced { path: self.root.join(MARKER) });
        }
        // The disk has space now: restore the reserve.
        self.ballast.keep(&self.dir).map_err(Error::file("write", &self.root))
    }

    /// Fails if the folder of pictures does not exist.
    pub(super) fn check_pictures(&self) -> Result<()> {
        self.pictures().map(|_| ()).map_err(Error::file("open folder", &self.root.join(PICTURES)))
    }

    /// Frees the reserve on a full disk, for an operation that frees more.
    pub(super) fn make_room(&self) {
        if let Err(error) = self.ballast.release(&self.dir) {
            tracing::warn!(%error, "could not free the disk space reserved for a full disk");
        }
    }

    /// The folder of pictures, opened anew each time: an operator may have mounted another disk.
    fn pictures(&self) -> io::Result<Dir> {
        self.dir.open_folder(PICTURES)
    }

    /// Writes and syncs the pictures of a task: all of them, or none if it fails.
    pub(super) fn write(&self, task: TaskId, pictures: &[NewPicture]) -> Result<()> {
        let written = self.pictures().and_then(|folder| {
            for (number, picture) in (0..).zip(pictures) {
                let partial = names::partial(task, number);
                folder.write(&partial, &picture.bytes)?;
                folder.rename(&partial, &folder, &names::picture(task, number))?;
            }
            folder.sync()
        });
        if written.is_err() {
            self.remove(task, pictures.len());
        }
        written.map_err(Error::file("write", &self.path(task, 0)))
    }

    /// Removes those pictures of a task that exist, finished or partial.
    pub(super) fn remove(&self, task: TaskId, count: usize) {
        for number in 0..count as u32 {
            self.remove_file(&names::partial(task, number));
            self.remove_file(&names::picture(task, number));
        }
    }

    /// Removes one picture's file.
    pub(super) fn remove_picture(&self, task: TaskId, number: u32) {
        self.remove_file(&names::picture(task, number));
    }

    /// Removes a file. A failure is no error: the next sweep removes it.
    fn remove_file(&self, name: &str) {
        if let Err(error) = self.pictures().and_then(|folder| folder.remove_if_there(name)) {
            tracing::warn!(name, %error, "could not remove a picture's file");
        }
    }

    /// Opens a picture for reading from byte `from`. [`Error::UnknownPicture`], [`Error::DamagedPicture`].
    pub(super) fn open_picture(&self, picture: &Picture, from: u64) -> Result<File> {
        let failed = || Error::file("read", &self.path(picture.task, picture.number));
        let name = names::picture(picture.task, picture.number);
        let file = self.pictures().and_then(|folder| folder.read_if_there(&name)).map_err(failed())?;
        let mut file = file.ok_or(Error::UnknownPicture { id: picture.id })?;
        let found = file.metadata().map_err(failed())?.len();
        if found != picture.length {
            self.report(picture, found);
            return Err(Error::DamagedPicture { id: picture.id, found, expected: picture.length });
        }
        file.seek(SeekFrom::Start(from)).map_err(failed())?;
        Ok(file)
    }

    /// Logs a damaged picture, once.
    fn report(&self, picture: &Picture, found: u64) {
        if self.damaged.lock().insert(picture.id) {
            let path = self.path(picture.task, picture.number);
            tracing::error!(path = %path.display(), found, expected = picture.length, "a picture is damaged");
        }
    }

    /// Sorts the picture files; never removes a complete picture.
    pub(super) fn sweep(&self, known: &Known) -> Result<()> {
        sweep::sweep(&self.dir, known).map_err(Error::file("sort", &self.root.join(PICTURES)))
    }

    fn path(&self, task: TaskId, number: u32) -> PathBuf {
        self.root.join(PICTURES).join(names::picture(task, number))
    }
}

/// Makes the folder private, and its parents with the default permissions.
fn make_root(root: &Path) -> io::Result<()> {
    if let Some(above) = root.parent() {
        fs::create_dir_all(above)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(root) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Takes the lock, or fails if another process has it.
fn lock(dir: &Dir, root: &Path) -> Result<File> {
    let path = root.join(LOCK);
    let lock = dir.open_or_create(LOCK).map_err(Error::file("open", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: root.to_owned() }),
        Err(TryLockError::Error(reason)) => Err(Error::File { action: "lock", path, reason }),
    }
}
