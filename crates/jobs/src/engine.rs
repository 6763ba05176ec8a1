//! What runs tasks, seen from the queue.

use crate::feed::Feed;
use crate::{NewPicture, Progress, Task};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes pictures. Each engine has a thread of its own and one task at a time, so it may block and keep state.
///
/// After a panic the task ends as an error and the same engine is given the next one: what it keeps between runs has to
/// be whole even then.
pub trait Engine: Send {
    /// Makes the pictures of one task, looking at [`Job::should_stop`] at least once a step.
    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError>;
}

/// Why an engine made no picture.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// It was asked to stop, and did.
    #[error("stopped")]
    Stopped,
    /// It failed, for this reason.
    #[error("{0}")]
    Failed(String),
}

/// A task in an engine's hands.
pub struct Job<'a> {
    pub(crate) task: &'a Task,
    pub(crate) request: &'a [u8],
    pub(crate) feed: &'a Feed,
    pub(crate) interrupt: &'a AtomicBool,
}

impl Job<'_> {
    /// The task.
    pub fn task(&self) -> &Task {
        self.task
    }

    /// What the engine is asked for, as [`crate::NewTask::request`] said it.
    pub fn request(&self) -> &[u8] {
        self.request
    }

    /// Whether to return [`EngineError::Stopped`] soon: the task was cancelled, or the process is about to end.
    pub fn should_stop(&self) -> bool {
        self.feed.is_cancelled() || self.interrupt.load(Ordering::Relaxed)
    }

    /// Whether anybody would see a preview.
    pub fn wants_previews(&self) -> bool {
        self.feed.wants_previews()
    }

    /// Tells the watchers how far the task is, and with a preview, a small encoded picture, what it looks like. Never
    /// waits for them.
    pub fn report(&self, progress: Progress, preview: Option<Bytes>) {
        self.feed.progress(progress, preview);
    }
}
