//! Tasks: a bounded queue with priorities, the workers that run them on engines, progress for any number of watchers,
//! and a store that keeps tasks and pictures through a kill.
//!
//! A task is `pending`, then `processing`, and ends once as `completed`, `cancelled` or `error`. What ends it is decided
//! by one conditional update in the [`Store`], so a cancellation and a completion that race have one winner. [`Jobs`]
//! joins the store, one thread for each [`Engine`], and the [`Watcher`]s.
//!
//! No tensors, no HTTP, no wire types: what an engine is asked to draw passes through as opaque bytes.
//!
//! # What survives
//!
//! The store is the queue: a worker claims the first waiting task by one `UPDATE`, and every end of a task is an
//! `UPDATE` that names the status it must have. Nothing that must survive lives in memory, so a shared store can serve
//! several hosts.
//!
//! - Pictures are written, synced and renamed before the transaction that completes their task. A kill loses no finished
//!   picture, and a task that it stopped is started again once.
//! - The data folder says whose it is, and one that does not is refused. Nothing in it is removed that Easel has not
//!   written: at a start, what a kill cut off goes, whole pictures that the database does not know are moved to
//!   `lost+found`, and other files are left alone. No link is followed below the folder.
//! - Every call of the store has a deadline. One that misses it has changed nothing, and says so ([`Error::Busy`]).
//! - A task that ends while the store refuses (a full disk) is kept by its worker, which takes no other until it is
//!   written.
//! - Progress is a log of events per task behind a `tokio::sync::watch` channel; a watcher is a place in that log.
//!   Engines wait for nobody, and make previews only while somebody wants them.

mod engine;
mod error;
mod feed;
mod jobs;
mod retention;
mod store;
mod task;
mod worker;

pub use engine::{Engine, EngineError, Job};
pub use error::{Error, Result};
pub use feed::{Event, WatchOptions, Watcher};
pub use jobs::{Jobs, Options};
pub use retention::Retention;
pub use store::{Claimed, Ending, Part, SqliteStore, Store};
pub use task::{
    Counts, Last, NewPicture, NewTask, Page, Picture, PictureId, PictureQuery, Priority, Progress, Run, Selection,
    Standing, Status, Task, TaskId, TaskQuery,
};
