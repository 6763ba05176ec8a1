//! Tasks: a bounded queue with priorities, the workers that run them on engines, progress for any number of watchers,
//! and a store that keeps tasks and pictures through a kill.
//!
//! A task is `pending`, then `processing`, and ends once as `completed`, `cancelled` or `error`. What ends it is decided
//! by one conditional update in the [`Store`], so a cancellation and a completion that race have one winner. [`Jobs`]
//! joins the store, one thread for each [`Engine`], and the [`Watcher`]s.
//!
//! No tensors, no HTTP, no wire types: what an engine is asked to draw passes through as opaque bytes.

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
pub use store::{Claimed, Ending, SqliteStore, Store};
pub use task::{
    Counts, Last, NewPicture, NewTask, Page, Picture, PictureId, PictureQuery, Priority, Progress, Selection, Status,
    Task, TaskId, TaskQuery,
};
