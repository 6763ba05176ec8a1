//! Engines, as the queue sees them.

use crate::feed::Feed;
use crate::{NewPicture, Progress, Store, Task};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes pictures. Each engine has its own thread and runs one task at a time, so it may block and keep state.
///
/// After a panic the task ends as an error and the same engine gets the next one: its state must be consistent even
/// then.
pub trait Engine: Send {
    /// The models that are in memory: tasks of these may be taken before others ([`crate::NewTask::model`]).
    fn loaded(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes the pictures of one task, checking [`Job::should_stop`] at least once per step.
    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError>;
}

/// Why an engine made no picture.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// It stopped as requested.
    #[error("stopped")]
    Stopped,
    /// It failed for this reason.
    #[error("{0}")]
    Failed(String),
}

/// A task being run by an engine.
pub struct Job<'a> {
    pub(crate) task: &'a Task,
    pub(crate) request: &'a [u8],
    pub(crate) feed: &'a Feed,
    pub(crate) store: &'a dyn Store,
    pub(crate) interrupt: &'a AtomicBool,
}

impl Job<'_> {
    /// The task.
    pub fn task(&self) -> &Task {
        self.task
    }

    /// The engine's input, from [`crate::NewTask::request`].
    pub fn request(&self) -> &[u8] {
        self.request
    }

    /// Whether to return [`EngineError::Stopped`] soon: the task was cancelled or given to another host, or the process is
    /// shutting down.
    pub fn should_stop(&self) -> bool {
        self.feed.should_stop() || self.interrupt.load(Ordering::Relaxed)
    }

    /// Whether any watcher wants previews.
    pub fn wants_previews(&self) -> bool {
        self.feed.wants_previews()
    }

    /// Keeps a finished picture. A task that is cancelled later ends with the pictures that were kept. [`Engine::run`] returns
    /// it again with the same bytes.
    pub fn keep(&self, picture: NewPicture) {
        self.feed.keep(picture);
    }

    /// Reports progress to the watchers, with a small encoded picture as a preview if there is one. Never waits for them.
    pub fn report(&self, progress: Progress, preview: Option<Bytes>) {
        if let Some(event) = self.feed.progress(progress, preview) {
            self.store.publish(self.task.id, &event);
        }
    }
}
