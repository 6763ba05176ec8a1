//! The data folder: whose it is, its lock, and pictures as files that are whole or not there.

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

/// The folder that a store keeps its files in. One process at a time has it.
pub(super) struct Folder {
    root: PathBuf,
    dir: Dir,
    ballast: room::Ballast,
    /// The damaged pictures that the log has named.
    damaged: Mutex<HashSet<PictureId>>,
    _lock: File,
}

impl Folder {
    /// Opens the folder, making it if need be. [`Error::ForeignFolder`], [`Error::InUse`].
    pub(super) fn open(root: &Path) -> Result<Self> {
        make_root(root).map_err(Error::file("make folder", root))?;
        // SQLite follows no links either, so that the operator's own have to be resolved before.
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
        // A disk that has no room for it is full, which health says.
        let _ = folder.ballast.keep(&folder.dir);
        Ok(folder)
    }

    /// Takes the permissions of others away. Files are made without them, but earlier versions made others.
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

    /// Makes the database's file if it is not there, so that it is private, and so are those that SQLite puts beside it.
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

    /// The database's file, to look into beside SQLite. It must stay open as long as SQLite has the database open:
    /// closing a file gives up the process's locks on it.
    pub(super) fn open_database(&self) -> Result<File> {
        self.dir.read(DATABASE[0]).map_err(Error::file("open", &self.database()))
    }

    /// Fails if the database's name does not stand for this open file any more.
    pub(super) fn check_database(&self, open: &File) -> Result<()> {
        let path = self.database();
        let found = self.dir.identity(DATABASE[0]).map_err(Error::file("open", &path))?;
        let ours = Identity::of(open).map_err(Error::file("open", &path))?;
        if found == Some(ours) { Ok(()) } else { Err(Error::Replaced { path }) }
    }

    /// Fails if a file could not be written now, or the marker is gone.
    pub(super) fn check_disk(&self) -> Result<()> {
        room::probe(&self.dir).map_err(Error::file("write", &self.root))?;
        let marker = self.dir.kind(MARKER).map_err(Error::file("open", &self.root))?;
        if marker != Some(Kind::File) {
            return Err(Error::Replaced { path: self.root.join(MARKER) });
        }
        // The disk has room now: what was given away in need is taken back.
        self.ballast.keep(&self.dir).map_err(Error::file("write", &self.root))
    }

    /// Fails if the folder of the pictures is not there.
    pub(super) fn check_pictures(&self) -> Result<()> {
        self.pictures().map(|_| ()).map_err(Error::file("open folder", &self.root.join(PICTURES)))
    }

    /// Makes room on a full disk, for what will make more.
    pub(super) fn make_room(&self) {
        if let Err(error) = self.ballast.drop_it(&self.dir) {
            tracing::warn!(%error, "the room that is kept for a full disk could not be given away");
        }
    }

    /// The folder of the pictures, looked for anew: an operator may have put another disk there.
    fn pictures(&self) -> io::Result<Dir> {
        self.dir.open_folder(PICTURES)
    }

    /// Writes the pictures of a task. All are on the disk when this returns; none is there when it fails.
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

    /// Removes the pictures of a task, finished or not, as far as they are there.
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

    /// A file that cannot be removed now costs its room until the next sweep, which is no reason to fail.
    fn remove_file(&self, name: &str) {
        if let Err(error) = self.pictures().and_then(|folder| folder.remove_if_there(name)) {
            tracing::warn!(name, %error, "a picture's file was not removed");
        }
    }

    /// Opens a picture, to be read from this byte on. [`Error::UnknownPicture`], [`Error::DamagedPicture`].
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

    /// Names a damaged picture in the log, once.
    fn report(&self, picture: &Picture, found: u64) {
        if self.damaged.lock().insert(picture.id) {
            let path = self.path(picture.task, picture.number);
            tracing::error!(path = %path.display(), found, expected = picture.length, "a picture is damaged");
        }
    }

    /// Puts the pictures in order; a picture is never removed by this.
    pub(super) fn sweep(&self, known: &Known) -> Result<()> {
        sweep::sweep(&self.dir, known).map_err(Error::file("put in order", &self.root.join(PICTURES)))
    }

    fn path(&self, task: TaskId, number: u32) -> PathBuf {
        self.root.join(PICTURES).join(names::picture(task, number))
    }
}

/// Makes the folder, for its owner alone, and those above it as the system makes them.
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
    let lock = dir.keep(LOCK).map_err(Error::file("open", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: root.to_owned() }),
        Err(TryLockError::Error(reason)) => Err(Error::File { action: "lock", path, reason }),
    }
}
