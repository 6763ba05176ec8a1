//! Errors of tasks and their store.

use crate::{PictureId, Status, TaskId};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An error of a task or its store. Every message is one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The most tasks allowed are waiting.
    #[error("the queue is full: {capacity} tasks are waiting")]
    QueueFull {
        /// The most tasks that may wait.
        capacity: usize,
    },
    /// The queue is shutting down and accepts no more tasks.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// The task does not exist, or not any more.
    #[error("there is no task {id}")]
    UnknownTask {
        /// The task that was requested.
        id: TaskId,
    },
    /// The task ended before it could be cancelled.
    #[error("task {id} has already ended: {status}")]
    AlreadyEnded {
        /// The task.
        id: TaskId,
        /// How it ended.
        status: Status,
    },
    /// The picture does not exist, or not any more.
    #[error("there is no picture {id}")]
    UnknownPicture {
        /// The picture that was requested.
        id: PictureId,
    },
    /// The database refused an operation: it is locked, read-only, full or broken.
    #[error("{}: {reason}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// SQLite's error.
        reason: rusqlite::Error,
    },
    /// The database file is damaged or not a database.
    #[error("{}: the database is damaged: {reason}", path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// The first problem that SQLite's check found.
        reason: String,
    },
    /// The folder has files in it but no marker of Easel's.
    #[error(
        "{}: the folder contains {found:?} and is not an Easel data folder; nothing was changed: choose an empty or a new \
         folder with --data", path.display()
    )]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
        /// A file in it.
        found: String,
    },
    /// The data folder belongs to a newer version of Easel.
    #[error(
        "{}: the data folder has layout {found}, but this version of Easel supports layouts up to {newest}: \
         use a newer version", path.display()
    )]
    NewerFolder {
        /// The data folder.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The newest supported layout.
        newest: u32,
    },
    /// A file of the data folder was removed or replaced.
    #[error("{}: the file was removed or replaced while it was in use: restart the service", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// A picture's file has the wrong length.
    #[error("the file of picture {id} has {found} bytes, expected {expected}")]
    DamagedPicture {
        /// The picture.
        id: PictureId,
        /// The length of its file.
        found: u64,
        /// The length in the database.
        expected: u64,
    },
    /// A picture could not be read.
    #[error("picture {id} cannot be read: {reason}")]
    ReadPicture {
        /// The picture.
        id: PictureId,
        /// The cause.
        reason: std::io::Error,
    },
    /// The store is overloaded or its disk is slow. The call was abandoned and changed nothing.
    #[error("the store did not answer within {} ms: try again", patience.as_millis())]
    Busy {
        /// How long the call may take.
        patience: Duration,
    },
    /// The latest run has not ended.
    #[error("a run is in progress")]
    RunInProgress,
    /// The latest run has no picture, or its picture was taken.
    #[error("the latest run has no picture to take")]
    RunNotComplete,
    /// The database was written by a newer version of Easel.
    #[error(
        "{}: the database has schema {found}, but this version of Easel supports schemas up to {newest}: \
         use a newer version", path.display()
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// The newest supported schema.
        newest: usize,
    },
    /// Another process has the data folder open.
    #[error("{}: another process uses this data folder", path.display())]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// An operation on a file of the data folder failed.
    #[error("{}: cannot {action}: {reason}", path.display())]
    File {
        /// The operation, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: std::io::Error,
    },
    /// PostgreSQL cannot be reached or refused an operation.
    #[cfg(feature = "cluster")]
    #[error("store: {reason}")]
    Postgres {
        /// The message, which has no password in it.
        reason: String,
        /// Whether the call may succeed if it is repeated.
        is_temporary: bool,
    },
    /// The object store of the pictures cannot be reached or refused an operation.
    #[cfg(feature = "cluster")]
    #[error("pictures: {reason}")]
    Objects {
        /// The message.
        reason: String,
        /// Whether the call may succeed if it is repeated.
        is_temporary: bool,
    },
    /// The URL of a shared store is malformed. It may have a password in it, so it is not repeated.
    #[cfg(feature = "cluster")]
    #[error("{field}: expected {expected}")]
    Url {
        /// `store` or `pictures`.
        field: &'static str,
        /// The form of the URL.
        expected: &'static str,
    },
    /// An engine's thread has ended, because of a shutdown or a bug in the queue.
    #[error("an engine's thread has ended")]
    EngineEnded,
    /// A thread could not be started.
    #[error("cannot start a thread: {reason}")]
    Thread {
        /// The cause.
        reason: std::io::Error,
    },
    /// A retention schedule is not a cron expression.
    #[error("retention.{field}: `{expression}` is not a cron expression: {reason}")]
    Cron {
        /// `tasks` or `pictures`.
        field: &'static str,
        /// The expression as it was written.
        expression: String,
        /// The parser's message.
        reason: String,
    },
}

/// Unix error codes of temporary conditions: too many open files in the process or the machine, and a file system that the
/// system has made read-only.
const TEMPORARY: [i32; 3] = [23, 24, 30];

impl Error {
    /// The message for clients, without paths of this machine.
    pub fn for_clients(&self) -> Cow<'static, str> {
        match self {
            Self::Database { reason, .. } => match reason.sqlite_error() {
                Some(error) => rusqlite::ffi::code_to_str(error.extended_code & 0xff).to_lowercase().into(),
                None => "the database failed".into(),
            },
            Self::Corrupt { .. } => "the database is damaged".into(),
            Self::Replaced { .. } => "a file of the store was removed or replaced".into(),
            Self::File { action, reason, .. } => format!("cannot {action}: {reason}").into(),
            #[cfg(feature = "cluster")]
            Self::Postgres { .. } => "the database failed".into(),
            #[cfg(feature = "cluster")]
            Self::Objects { .. } => "the pictures cannot be reached".into(),
            Self::NewerSchema { .. } | Self::NewerFolder { .. } | Self::ForeignFolder { .. } | Self::InUse { .. } => {
                "the data folder cannot be used".into()
            }
            other => other.to_string().into(),
        }
    }

    /// Whether the call may succeed if it is repeated.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Database { reason, .. } => {
                // A disk that fails or has become read-only under an open database is an input or output error to SQLite.
                use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly, SystemIoFailure};
                let code = reason.sqlite_error_code();
                matches!(code, Some(DatabaseBusy | DatabaseLocked | DiskFull | ReadOnly | SystemIoFailure))
            }
            #[cfg(feature = "cluster")]
            Self::Postgres { is_temporary, .. } | Self::Objects { is_temporary, .. } => *is_temporary,
            Self::File { reason, .. } => reason.raw_os_error().is_some_and(|code| TEMPORARY.contains(&code)),
            _ => false,
        }
    }

    /// Makes a file error, for `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |reason| Self::File { action, path, reason }
    }
}

#[cfg(feature = "cluster")]
impl From<sqlx_core::Error> for Error {
    fn from(error: sqlx_core::Error) -> Self {
        /// SQLSTATE's classes of what may go away: connections, conflicts with other transactions, a lack of resources, and
        /// an operator who stops the server (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
        const PASSING: [&str; 6] = ["08", "25", "40", "53", "55", "57"];
        let is_temporary = match &error {
            sqlx_core::Error::Database(refused) => {
                refused.code().is_some_and(|code| PASSING.iter().any(|class| code.starts_with(class)))
            }
            sqlx_core::Error::Io(_) | sqlx_core::Error::Tls(_) | sqlx_core::Error::Protocol(_) => true,
            sqlx_core::Error::PoolTimedOut | sqlx_core::Error::PoolClosed | sqlx_core::Error::WorkerCrashed => true,
            sqlx_core::Error::BeginFailed => true,
            _ => false,
        };
        Self::Postgres { reason: error.to_string().replace('\n', " "), is_temporary }
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
