//! Tasks: a bounded queue with priorities, the workers that run them on engines, progress for any number of watchers,
//! and a store whose tasks and pictures survive a kill.
//!
//! A task is `pending`, then `processing`, and ends once as `completed`, `cancelled` or `error`. One conditional update in
//! the [`Store`] ends it, so a cancellation that races with a completion has one winner. [`Jobs`] connects the store, one
//! thread per [`Engine`], and the [`Watcher`]s.
//!
//! No tensors, no HTTP, no wire types: an engine's request passes through as opaque bytes.
//!
//! # Durability
//!
//! The store is the queue: a worker claims a waiting task in one transaction (`turns` says which one), and every end of a
//! task is an `UPDATE` conditional on its status. Nothing that must survive is kept in memory, so a shared store can serve
//! several hosts: with the feature `cluster`, `PostgresStore` does, and its head says how tasks survive the hosts.
//!
//! - Pictures are written, synced and renamed before the transaction that completes their task. A kill loses no finished
//!   picture, and a task that it interrupted is started again once.
//! - The data folder has a marker, and a folder without one is refused. Only files that Easel wrote are removed: at a
//!   start, partial files are deleted, whole pictures that the database does not know are moved to `lost+found`, and other
//!   files are left alone. No link below the folder is followed.
//! - Every call to the store has a deadline. A call that misses it changes nothing and fails with [`Error::Busy`].
//! - If the store refuses the end of a task (a full disk), its worker keeps trying and takes no other task until then.
//! - Progress is a log of events per task behind a `tokio::sync::watch` channel; a watcher is a position in that log.
//!   Engines never wait for watchers, and make previews only while a watcher wants them.

mod engine;
mod error;
mod feed;
mod follow;
mod jobs;
mod retention;
mod store;
mod task;
mod turns;
mod worker;

pub use engine::{Engine, EngineError, Job};
pub use error::{Error, Result};
pub use feed::{Event, WatchOptions, Watcher};
pub use jobs::{Jobs, Options};
pub use retention::Retention;
pub use store::{Claimed, Ending, Keeping, Notice, Part, SqliteStore, Store};
#[cfg(feature = "cluster")]
pub use store::{Cluster, PostgresStore};
pub use task::{
    Counts, Last, NewPicture, NewTask, Page, Picture, PictureId, PictureQuery, Priority, Progress, Run, Selection,
    Standing, Status, Task, TaskId, TaskQuery,
};
pub use turns::{Overtaken, Preference};
