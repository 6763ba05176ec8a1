//! Where tasks and pictures are kept. The store is the queue: what waits there waits for an engine.

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

/// A task that an engine is to run now.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The task, `processing` by now.
    pub task: Task,
    /// What the engine is asked for.
    pub request: Vec<u8>,
}

/// How a task that was being processed leaves its engine.
#[derive(Clone, Debug)]
pub enum Ending {
    /// With these pictures.
    Completed(Vec<NewPicture>),
    /// With this error.
    Error(String),
    /// Unfinished, through no fault of its own: it goes back to where it waited, and this attempt does not count.
    Released,
}

/// A part of a store that may fail by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Where tasks are kept.
    Database,
    /// The room for more.
    Disk,
    /// Where pictures are kept.
    Pictures,
}

/// Keeps tasks and pictures. Every method is one atomic step and may be called from any thread. It blocks for as long
/// as a disk takes, but for a bounded time: a call that would take longer is given up and changes nothing
/// ([`crate::Error::Busy`]).
pub trait Store: Send + Sync {
    /// Adds a waiting task, unless `capacity` tasks wait already ([`crate::Error::QueueFull`]).
    fn submit(&self, task: &NewTask, capacity: usize) -> Result<Task>;

    /// The same for a run; one at a time is in progress ([`crate::Error::RunInProgress`]).
    fn start_run(&self, task: &NewTask, capacity: usize) -> Result<Task>;

    /// The latest run, unless its task was deleted.
    fn latest_run(&self) -> Result<Option<Run>>;

    /// Takes the first picture of the latest run. [`crate::Error::RunNotComplete`] if there is none, or it was taken.
    fn take_run(&self) -> Result<Picture>;

    /// Takes the waiting task that comes first, and counts the attempt.
    fn claim(&self) -> Result<Option<Claimed>>;

    /// Ends a task that is being processed; pictures are on the disk before the task is `completed`. `false`, and
    /// nothing is changed or kept, if the task is not being processed any more.
    fn end(&self, id: TaskId, ending: &Ending, last: Last) -> Result<bool>;

    /// Cancels a task that has not ended, and returns it as it was before; `last` is known if it has a log of events.
    /// [`crate::Error::UnknownTask`], [`crate::Error::AlreadyEnded`].
    fn cancel(&self, id: TaskId, last: Option<Last>) -> Result<Task>;

    /// One task. [`crate::Error::UnknownTask`].
    fn task(&self, id: TaskId) -> Result<Task>;

    /// Where each of these tasks stands, all at one moment and in this order.
    fn standings(&self, tasks: &[TaskId]) -> Result<Vec<Standing>>;

    /// Tasks, newest first.
    fn tasks(&self, query: &TaskQuery) -> Result<Page<Task>>;

    /// How many tasks are in each status.
    fn counts(&self) -> Result<Counts>;

    /// Deletes tasks that have ended, and says how many. Their pictures stay.
    fn delete_tasks(&self, selection: &Selection) -> Result<usize>;

    /// Pictures, newest first.
    fn pictures(&self, query: &PictureQuery) -> Result<Page<Picture>>;

    /// One picture. [`crate::Error::UnknownPicture`].
    fn picture(&self, id: PictureId) -> Result<Picture>;

    /// Opens the encoded picture, to be read from this byte on; what is open outlives a deletion.
    /// [`crate::Error::UnknownPicture`] if it has been deleted, [`crate::Error::DamagedPicture`] if it is not whole.
    fn open(&self, picture: &Picture, from: u64) -> Result<Box<dyn Read + Send>>;

    /// The whole picture.
    fn read(&self, picture: &Picture) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(usize::try_from(picture.length).unwrap_or_default());
        let read = self.open(picture, 0)?.read_to_end(&mut bytes);
        read.map_err(|reason| crate::Error::ReadPicture { id: picture.id, reason })?;
        Ok(bytes.into())
    }

    /// Deletes one picture. [`crate::Error::UnknownPicture`].
    fn delete_picture(&self, id: PictureId) -> Result<()>;

    /// Deletes all pictures, and says how many.
    fn delete_pictures(&self) -> Result<usize>;

    /// Takes up what an earlier process left: a task it was running waits again, or is an error if that happened
    /// before. Returns how many were started again and how many failed.
    fn recover(&self) -> Result<(usize, usize)>;

    /// Gives back room that is not needed any more, in small steps; called from time to time.
    fn tidy(&self) -> Result<()>;

    /// Fails if this part does not work now.
    fn check(&self, part: Part) -> Result<()>;
}

impl Ending {
    /// The status that a task has afterwards.
    pub fn status(&self) -> Status {
        match self {
            Self::Completed(_) => Status::Completed,
            Self::Error(_) => Status::Error,
            Self::Released => Status::Pending,
        }
    }
}
