//! Tasks, pictures, and the questions that can be asked about them.

use bytes::Bytes;
use std::fmt;
use std::time::SystemTime;

/// Names a task, for good and everywhere.
pub type TaskId = uuid::Uuid;

/// Names a picture within its store; later pictures have larger numbers, and none is used twice.
pub type PictureId = i64;

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It waits for an engine.
    Pending,
    /// An engine works on it.
    Processing,
    /// Its pictures are in the store.
    Completed,
    /// Someone asked for it to stop.
    Cancelled,
    /// It failed; the task says why.
    Error,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Processing, Self::Completed, Self::Cancelled, Self::Error];

    /// The status in one lower-case word.
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

    /// Whether the task will never change again.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Error)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which waiting task an engine takes first. Tasks of one priority are taken in the order in which they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// After all others.
    Low,
    /// In turn.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Steps done.
    pub step: u32,
    /// Steps in all; 0 while that is not known.
    pub steps: u32,
}

impl Progress {
    /// The share that is done, 0 to 100.
    pub fn percent(self) -> u32 {
        if self.steps == 0 { 0 } else { (u64::from(self.step.min(self.steps)) * 100 / u64::from(self.steps)) as u32 }
    }

    /// All steps done, and at least one.
    pub fn done(self) -> Self {
        let steps = self.steps.max(1);
        Self { step: steps, steps }
    }
}

/// Where a task ends in its log of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// The number of the last event.
    pub event: u64,
    /// How far the task came.
    pub progress: Progress,
}

/// A task to be queued.
#[derive(Clone, Debug, Default)]
pub struct NewTask {
    /// What listings show.
    pub prompt: String,
    /// Everything the engine needs, in the engine's own encoding. It is kept until the task ends.
    pub request: Vec<u8>,
    /// Which waiting task goes first.
    pub priority: Priority,
    /// The seed of the first picture.
    pub seed: u64,
    /// How many steps it is expected to take; 0 if only the engine knows.
    pub steps: u32,
}

/// A task as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// Where it is in its life.
    pub status: Status,
    /// Which waiting task goes first.
    pub priority: Priority,
    /// What listings show.
    pub prompt: String,
    /// The seed of its first picture.
    pub seed: u64,
    /// How far it is, or was when it ended.
    pub progress: Progress,
    /// The number of its last event, once it has ended.
    pub last_event: u64,
    /// How often an engine has started it: more than once if a process was killed.
    pub attempts: u32,
    /// Why it failed, if its status is [`Status::Error`].
    pub error: Option<String>,
    /// When it was accepted.
    pub created_at: SystemTime,
    /// When an engine last took it up.
    pub started_at: Option<SystemTime>,
    /// When it ended.
    pub completed_at: Option<SystemTime>,
}

/// What is around a task: its place in the queue, and what it has drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many waiting tasks come before it; `None` if it does not wait.
    pub position: Option<usize>,
    /// Its pictures, in the order in which they were drawn.
    pub pictures: Vec<PictureId>,
}

/// A task that runs alone among its kind, and whose picture is taken once.
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
    /// How it is encoded, `image/png` say.
    pub media_type: String,
    /// The seed it was drawn with.
    pub seed: u64,
}

/// A finished picture in the store. It never changes, and stays when its task is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its name.
    pub id: PictureId,
    /// The task that asked for it.
    pub task: TaskId,
    /// Its place among the task's pictures, from 0.
    pub number: u32,
    /// The task's prompt.
    pub prompt: String,
    /// The seed it was drawn with.
    pub seed: u64,
    /// How it is encoded, `image/png` say.
    pub media_type: String,
    /// The length of the encoded picture in bytes.
    pub length: u64,
    /// The SHA-256 of the encoded picture in hexadecimal digits.
    pub digest: String,
    /// When it was finished.
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

/// Which pictures to list, newest first, and of one task in the order they were drawn.
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

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// How many there are without limit and offset.
    pub total: usize,
    /// Those that were asked for.
    pub items: Vec<T>,
}

/// Which of the tasks that have ended to delete: all that fit every field that is set. The others are always kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only those of these names; unknown ones are passed over.
    pub ids: Option<Vec<TaskId>>,
    /// Only those in this status.
    pub status: Option<Status>,
}

/// How many tasks are in each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([usize; Status::ALL.len()]);

impl Counts {
    /// How many are in this status.
    pub fn of(&self, status: Status) -> usize {
        self.0[status as usize]
    }

    /// Sets how many are in this status.
    pub fn set(&mut self, status: Status, count: usize) {
        self.0[status as usize] = count;
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
