//! The store of tasks and pictures. It is also the queue: its waiting tasks wait for an engine.

mod dir;
mod folder;
mod sqlite;

pub use sqlite::SqliteStore;

use crate::{
    Counts, Last, NewPicture, NewTask, Page, Picture, PictureId, PictureQuery, Result, Run, Selection, Standing,
    Status, Task, TaskId, TaskQuery,
};
use bytes::Bytes;
use std::io::Read;

/// A task that a worker has claimed for its engine.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The task, now `processing`.
    pub task: Task,
    /// The engine's input.
    pub request: Vec<u8>,
}

/// How a task leaves its engine.
#[derive(Clone, Debug)]
pub enum Ending {
    /// With these pictures.
    Completed(Vec<NewPicture>),
    /// With this error.
    Error(String),
    /// Unfinished because of a shutdown: it returns to its place in the queue, and this attempt does not count.
    Released,
}

/// A part of a store that can fail independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The database of tasks.
    Database,
    /// Free space on the disk.
    Disk,
    /// The folder of pictures.
    Pictures,
}

/// Stores tasks and pictures. Every method is one atomic step and may be called from any thread. It blocks while the disk
/// works, but for a bounded time: a call that would take longer is abandoned and changes nothing
/// ([`crate::Error::Busy`]).
pub trait Store: Send + Sync {
    /// Adds a waiting task, unless `capacity` tasks are waiting ([`crate::Error::QueueFull`]).
    fn submit(&self, task: &NewTask, capacity: usize) -> Result<Task>;

    /// The same for a run, unless one is in progress ([`crate::Error::RunInProgress`]).
    fn start_run(&self, task: &NewTask, capacity: usize) -> Result<Task>;

    /// The latest run, unless its task was deleted.
    fn latest_run(&self) -> Result<Option<Run>>;

    /// Takes the first picture of the latest run. [`crate::Error::RunNotComplete`] if there is none or it was taken.
    fn take_run(&self) -> Result<Picture>;

    /// Claims the first waiting task, and counts the attempt.
    fn claim(&self) -> Result<Option<Claimed>>;

    /// Ends a task that is being processed; its pictures are on the disk before it is `completed`. If the task is not being
    /// processed any more, returns `false` and neither changes nor keeps anything.
    fn end(&self, id: TaskId, ending: &Ending, last: Last) -> Result<bool>;

    /// Cancels a task that has not ended, and returns its previous state; `last` is known if it has a log of events.
    /// [`crate::Error::UnknownTask`], [`crate::Error::AlreadyEnded`].
    fn cancel(&self, id: TaskId, last: Option<Last>) -> Result<Task>;

    /// One task. [`crate::Error::UnknownTask`].
    fn task(&self, id: TaskId) -> Result<Task>;

    /// The standing of each of these tasks, in this order, from one snapshot.
    fn standings(&self, tasks: &[TaskId]) -> Result<Vec<Standing>>;

    /// Tasks, newest first.
    fn tasks(&self, query: &TaskQuery) -> Result<Page<Task>>;

    /// How many tasks are in each status.
    fn counts(&self) -> Result<Counts>;

    /// Deletes tasks that have ended, and returns how many. Their pictures stay.
    fn delete_tasks(&self, selection: &Selection) -> Result<usize>;

    /// Pictures, newest first.
    fn pictures(&self, query: &PictureQuery) -> Result<Page<Picture>>;

    /// One picture. [`crate::Error::UnknownPicture`].
    fn picture(&self, id: PictureId) -> Result<Picture>;

    /// Opens the encoded picture for reading from byte `from`; an open picture can still be read after a deletion.
    /// [`crate::Error::UnknownPicture`] if it was deleted, [`crate::Error::DamagedPicture`] if its length is wrong.
    fn open(&self, picture: &Picture, from: u64) -> Result<Box<dyn Read + Send>>;

    /// Reads the whole picture.
    fn read(&self, picture: &Picture) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(usize::try_from(picture.length).unwrap_or_default());
        let read = self.open(picture, 0)?.read_to_end(&mut bytes);
        read.map_err(|reason| crate::Error::ReadPicture { id: picture.id, reason })?;
        Ok(bytes.into())
    }

    /// Deletes one picture. [`crate::Error::UnknownPicture`].
    fn delete_picture(&self, id: PictureId) -> Result<()>;

    /// Deletes all pictures, and returns how many.
    fn delete_pictures(&self) -> Result<usize>;

    /// Recovers the tasks that an earlier process was running: each waits again, or is an error if that happened before.
    /// Returns how many wait again and how many failed.
    fn recover(&self) -> Result<(usize, usize)>;

    /// Frees unused disk space, in small steps; called periodically.
    fn tidy(&self) -> Result<()>;

    /// Fails if this part is not working.
    fn check(&self, part: Part) -> Result<()>;
}

impl Ending {
    /// The task's status afterwards.
    pub fn status(&self) -> Status {
        match self {
            Self::Completed(_) => Status::Completed,
            Self::Error(_) => Status::Error,
            Self::Released => Status::Pending,
        }
    }
}
