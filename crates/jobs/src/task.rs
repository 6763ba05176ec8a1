//! Tasks, pictures, and queries for them.

use bytes::Bytes;
use std::fmt;
use std::time::SystemTime;

/// A task's globally unique id.
pub type TaskId = uuid::Uuid;

/// A picture's id in its store: ascending, and never reused.
pub type PictureId = i64;

/// The status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waiting for an engine.
    Pending,
    /// Running on an engine.
    Processing,
    /// Finished, with its pictures in the store.
    Completed,
    /// Cancelled by a client.
    Cancelled,
    /// Failed; the task has the reason.
    Error,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Processing, Self::Completed, Self::Cancelled, Self::Error];

    /// The status as a lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
        }
    }

    /// The status of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether the task has ended.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Error)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which waiting task goes first. Tasks of the same priority go in order of arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// After all others.
    Low,
    /// In order of arrival.
    #[default]
    Normal,
    /// Before all others.
    High,
}

impl Priority {
    /// Every priority.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// The priority as a lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// The progress of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Steps done.
    pub step: u32,
    /// Steps in all; 0 while unknown.
    pub steps: u32,
}

impl Progress {
    /// The share done in percent, 0 to 100.
    pub fn percent(self) -> u32 {
        if self.steps == 0 { 0 } else { (u64::from(self.step.min(self.steps)) * 100 / u64::from(self.steps)) as u32 }
    }

    /// The progress of a finished task: all steps done, and at least one.
    pub fn done(self) -> Self {
        let steps = self.steps.max(1);
        Self { step: steps, steps }
    }
}

/// The last event of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// Its number.
    pub event: u64,
    /// The task's final progress.
    pub progress: Progress,
}

/// A task to be queued.
#[derive(Clone, Debug, Default)]
pub struct NewTask {
    /// The prompt, shown in listings.
    pub prompt: String,
    /// The engine's input, in its own encoding. It is kept until the task ends.
    pub request: Vec<u8>,
    /// Which waiting task goes first.
    pub priority: Priority,
    /// The seed of the first picture.
    pub seed: u64,
    /// The expected number of steps; 0 if only the engine knows.
    pub steps: u32,
    /// The model that an engine must have in memory for it; empty if it needs none.
    pub model: String,
}

/// A task in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its status.
    pub status: Status,
    /// Which waiting task goes first.
    pub priority: Priority,
    /// The prompt, shown in listings.
    pub prompt: String,
    /// The seed of its first picture.
    pub seed: u64,
    /// Its progress, final once it has ended.
    pub progress: Progress,
    /// The number of its last event, once it has ended.
    pub last_event: u64,
    /// How often an engine has started it; more than once if a process was killed.
    pub attempts: u32,
    /// Why it failed, if its status is [`Status::Error`].
    pub error: Option<String>,
    /// When it was accepted.
    pub created_at: SystemTime,
    /// When an engine last started it.
    pub started_at: Option<SystemTime>,
    /// When it ended.
    pub completed_at: Option<SystemTime>,
}

/// A task's place in the queue and its pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many waiting tasks are ahead of it; `None` if it is not waiting.
    pub position: Option<usize>,
    /// Its pictures, in the order they were drawn.
    pub pictures: Vec<PictureId>,
}

/// A run: only one is in progress at a time, and its picture can be taken once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its task.
    pub task: Task,
    /// Whether its picture was taken.
    pub taken: bool,
}

/// A picture that an engine made.
#[derive(Clone, Debug)]
pub struct NewPicture {
    /// The encoded picture.
    pub bytes: Bytes,
    /// Its media type, such as `image/png`.
    pub media_type: String,
    /// The seed it was drawn with.
    pub seed: u64,
}

/// A picture in the store. It never changes, and stays when its task is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its id.
    pub id: PictureId,
    /// The task that it belongs to.
    pub task: TaskId,
    /// Its number among the task's pictures, from 0.
    pub number: u32,
    /// The task's prompt.
    pub prompt: String,
    /// The seed it was drawn with.
    pub seed: u64,
    /// Its media type, such as `image/png`.
    pub media_type: String,
    /// The length of the encoded picture in bytes.
    pub length: u64,
    /// The SHA-256 of the encoded picture in hexadecimal digits.
    pub digest: String,
    /// When it was stored.
    pub created_at: SystemTime,
}

/// Which tasks to list, newest first.
#[derive(Clone, Debug)]
pub struct TaskQuery {
    /// Only those in this status.
    pub status: Option<Status>,
    /// The most entries to return.
    pub limit: usize,
    /// The number of entries to skip.
    pub offset: usize,
}

impl Default for TaskQuery {
    fn default() -> Self {
        Self { status: None, limit: usize::MAX, offset: 0 }
    }
}

/// Which pictures to list: newest first; those of a single task in the order they were drawn.
#[derive(Clone, Debug)]
pub struct PictureQuery {
    /// Only those of this task.
    pub task: Option<TaskId>,
    /// The most entries to return.
    pub limit: usize,
    /// The number of entries to skip.
    pub offset: usize,
}

impl Default for PictureQuery {
    fn default() -> Self {
        Self { task: None, limit: usize::MAX, offset: 0 }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The length of the whole list.
    pub total: usize,
    /// This page's entries.
    pub items: Vec<T>,
}

/// Which tasks to delete: those that have ended and match every field that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only those with these ids; unknown ids are ignored.
    pub ids: Option<Vec<TaskId>>,
    /// Only those in this status.
    pub status: Option<Status>,
}

/// How many tasks are in each status, and how many of each priority wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    of: [usize; Status::ALL.len()],
    waiting: [usize; Priority::ALL.len()],
}

impl Counts {
    /// How many are in this status.
    pub fn of(&self, status: Status) -> usize {
        self.of[status as usize]
    }

    /// Sets how many are in this status.
    pub fn set(&mut self, status: Status, count: usize) {
        self.of[status as usize] = count;
    }

    /// How many of this priority wait.
    pub fn waiting(&self, priority: Priority) -> usize {
        self.waiting[priority as usize]
    }

    /// Sets how many of this priority wait.
    pub fn set_waiting(&mut self, priority: Priority, count: usize) {
        self.waiting[priority as usize] = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_found_by_its_name_and_keeps_its_place() {
        for (place, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(Status::from_name(status.name()), Some(status));
            assert_eq!(status as usize, place);
        }
        assert_eq!(Status::from_name("done"), None);
    }

    #[test]
    fn percent_stays_within_bounds() {
        let percent = |step, steps| Progress { step, steps }.percent();
        assert_eq!((percent(0, 0), percent(0, 3), percent(1, 3), percent(3, 3), percent(9, 3)), (0, 0, 33, 100, 100));
        assert_eq!(percent(u32::MAX, u32::MAX), 100);
    }
}
