//! What can go wrong with a task or its store.

use crate::{PictureId, Status, TaskId};
use std::path::{Path, PathBuf};

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

impl Error {
    /// A file error, ready for `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::File { action, path, reason }
    }
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
