//! What can go wrong with a task or its store.

use crate::{PictureId, Status, TaskId};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What can go wrong with a task or its store. Every message is one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As many tasks wait as may.
    #[error("the queue is full: {capacity} tasks are waiting")]
    QueueFull {
        /// The most tasks that may wait.
        capacity: usize,
    },
    /// Nothing new is accepted any more.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// There is no such task, or no longer.
    #[error("task {id} is not known")]
    UnknownTask {
        /// The task that was asked for.
        id: TaskId,
    },
    /// The task had ended before it could be cancelled.
    #[error("task {id} has ended already: {status}")]
    AlreadyEnded {
        /// The task.
        id: TaskId,
        /// How it ended.
        status: Status,
    },
    /// There is no such picture, or no longer.
    #[error("picture {id} is not known")]
    UnknownPicture {
        /// The picture that was asked for.
        id: PictureId,
    },
    /// The database refused an operation: it is locked, read-only, full or broken.
    #[error("{}: {reason}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        reason: rusqlite::Error,
    },
    /// The database file is damaged, or is no database.
    #[error("{}: the database is damaged: {reason}", path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// The first thing that SQLite's check found.
        reason: String,
    },
    /// The folder has files in it and does not say that it is Easel's.
    #[error(
        "{}: the folder has {found:?} in it and is no data folder of Easel's, so nothing in it was touched: name an empty \
         folder or a new one (--data)", path.display()
    )]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
        /// Something that is in it.
        found: String,
    },
    /// The data folder was laid out by a newer version of Easel.
    #[error("{}: the data folder has layout {found}, this version knows up to {newest}", path.display())]
    NewerFolder {
        /// The data folder.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The newest layout that is known here.
        newest: u32,
    },
    /// A file of the data folder was removed, or another one was put in its place.
    #[error("{}: the file was removed or replaced while it was in use: restart the service", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// A picture's file is not as long as it was written.
    #[error("the file of picture {id} has {found} bytes, expected {expected}")]
    DamagedPicture {
        /// The picture.
        id: PictureId,
        /// The length of its file.
        found: u64,
        /// The length that was written.
        expected: u64,
    },
    /// A picture could not be read to its end.
    #[error("picture {id} cannot be read: {reason}")]
    ReadPicture {
        /// The picture.
        id: PictureId,
        /// Why not.
        reason: std::io::Error,
    },
    /// The store has too much to do, or waits for its disk: the call was given up, and nothing was changed.
    #[error("the store did not get to it within {} ms", patience.as_millis())]
    Busy {
        /// How long the call may take.
        patience: Duration,
    },
    /// The latest run has not ended.
    #[error("a run is in progress")]
    RunInProgress,
    /// The latest run has no picture, or it was taken.
    #[error("the latest run has no picture to take")]
    RunNotComplete,
    /// The database was written by a newer version of Easel.
    #[error("{}: the database has schema {found}, this version knows up to {newest}", path.display())]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// The newest schema that is known here.
        newest: usize,
    },
    /// Another process has the data folder open.
    #[error("{}: another process uses this data folder", path.display())]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// A file of the data folder could not be worked with.
    #[error("{}: cannot {action}: {reason}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// An engine's thread has ended, because the service shuts down or by a fault of the queue's.
    #[error("an engine's thread has ended")]
    EngineEnded,
    /// A thread could not be started.
    #[error("cannot start a thread: {reason}")]
    Thread {
        /// Why not.
        reason: std::io::Error,
    },
    /// A retention schedule is not a cron expression.
    #[error("retention.{field}: `{expression}` is not a cron expression: {reason}")]
    Cron {
        /// `tasks` or `pictures`.
        field: &'static str,
        /// The expression as it was written.
        expression: String,
        /// Its fault.
        reason: String,
    },
}

/// What passes without anybody changing a file (Unix): too many open files in the process or the machine, and a file system
/// that the system has made read-only until somebody looks at it.
const TEMPORARY: [i32; 3] = [23, 24, 30];

impl Error {
    /// What happened, without the paths of this machine: for clients.
    pub fn for_clients(&self) -> Cow<'static, str> {
        match self {
            Self::Database { reason, .. } => match reason.sqlite_error() {
                Some(error) => rusqlite::ffi::code_to_str(error.extended_code & 0xff).to_lowercase().into(),
                None => "the database failed".into(),
            },
            Self::Corrupt { .. } => "the database is damaged".into(),
            Self::Replaced { .. } => "a file of the store was removed or replaced".into(),
            Self::File { action, reason, .. } => format!("cannot {action}: {reason}").into(),
            Self::NewerSchema { .. } | Self::NewerFolder { .. } | Self::ForeignFolder { .. } | Self::InUse { .. } => {
                "the data folder cannot be used".into()
            }
            other => other.to_string().into(),
        }
    }

    /// Whether the same call may succeed a moment later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Database { reason, .. } => {
                // A disk that fails or has become read-only under an open database is an input or output error to SQLite.
                use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly, SystemIoFailure};
                let code = reason.sqlite_error_code();
                matches!(code, Some(DatabaseBusy | DatabaseLocked | DiskFull | ReadOnly | SystemIoFailure))
            }
            Self::File { reason, .. } => reason.raw_os_error().is_some_and(|code| TEMPORARY.contains(&code)),
            _ => false,
        }
    }

    /// A file error, ready for `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |reason| Self::File { action, path, reason }
    }
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn a_disk_that_fails_or_is_read_only_may_work_again() {
        let database = |code| {
            let reason = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            Error::Database { path: "easel.db".into(), reason }
        };
        let temporary = [ffi::SQLITE_BUSY, ffi::SQLITE_FULL, ffi::SQLITE_READONLY, ffi::SQLITE_IOERR_WRITE];
        assert!(temporary.into_iter().all(|code| database(code).is_temporary()));
        assert!(!database(ffi::SQLITE_CORRUPT).is_temporary());
        let file = |kind: i32| Error::file("write", Path::new("picture"))(std::io::Error::from_raw_os_error(kind));
        assert!(TEMPORARY.into_iter().all(|code| file(code).is_temporary()));
        assert!(!file(28).is_temporary(), "a full disk ends a task, which makes room");
    }
}
