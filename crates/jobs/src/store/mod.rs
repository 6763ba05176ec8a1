//! The store of tasks and pictures. It is also the queue: its waiting tasks wait for an engine.

mod dir;
mod folder;
#[cfg(feature = "cluster")]
mod objects;
#[cfg(feature = "cluster")]
mod postgres;
mod sqlite;

#[cfg(feature = "cluster")]
pub use postgres::{Cluster, PostgresStore};
pub use sqlite::SqliteStore;

use crate::{
    Counts, Event, Last, NewPicture, NewTask, Overtaken, Page, Picture, PictureId, PictureQuery, Preference, Result,
    Run, Selection, Standing, Status, Task, TaskId, TaskQuery,
};
use bytes::Bytes;
use std::io::Read;
use std::sync::mpsc::Receiver;

/// A task that a worker has claimed for its engine.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The task, now `processing`.
    pub task: Task,
    /// The engine's input.
    pub request: Vec<u8>,
    /// The task that was first, if this one has overtaken it.
    pub overtaken: Option<Overtaken>,
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

/// What happened in a store that several hosts share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A task waits.
    Waiting,
    /// Another host changed this task, or published events of it.
    Changed(TaskId),
    /// This host may not end this task any more: it was cancelled, or given to another host.
    Lost(TaskId),
    /// A watcher on another host wants previews of this task.
    Previews(TaskId),
    /// Notices may have been missed.
    Missed,
}

/// The right to clear what is due, until it is dropped.
pub type Keeping = Box<dyn Send>;

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

    /// Claims the first waiting task, or the first of the same priority whose model is preferred, and counts the attempt.
    fn claim(&self, preference: &Preference) -> Result<Option<Claimed>>;

    /// Ends a task that is being processed; its pictures are on the disk before it is `completed`. If the task is not being
    /// processed any more, returns `false` and neither changes nor keeps anything.
    fn end(&self, id: TaskId, ending: &Ending, last: Last) -> Result<bool>;

    /// Nobody here works on this task any more, whether or not its end was written: another host may have it once its lease
    /// has run out. Changes nothing else, and does not wait.
    fn abandon(&self, _id: TaskId) {}

    /// Cancels a task that has not ended, and returns its previous state; `last` is known if it has a log of events. A running
    /// task keeps its `finished` pictures if the disk has room for them.
    /// [`crate::Error::UnknownTask`], [`crate::Error::AlreadyEnded`].
    fn cancel(&self, id: TaskId, last: Option<Last>, finished: &[NewPicture]) -> Result<Task>;

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

    /// Recovers the tasks that a process was running when it ended: each waits again, or is an error if that happened
    /// before. Returns how many wait again and how many failed.
    fn recover(&self) -> Result<(usize, usize)>;

    /// Frees unused disk space, in small steps; called periodically.
    fn tidy(&self) -> Result<()>;

    /// Fails if this part is not working.
    fn check(&self, part: Part) -> Result<()>;

    /// What happens in the store from now on, if other hosts share it. Only the first call gets anything.
    fn notices(&self) -> Option<Receiver<Notice>> {
        None
    }

    /// Passes an event of a task that runs here on to other hosts, without waiting.
    fn publish(&self, _id: TaskId, _event: &Event) {}

    /// The published events of a task that has not ended, from this number on.
    fn events(&self, _id: TaskId, _from: u64) -> Result<Vec<Event>> {
        Ok(Vec::new())
    }

    /// Asks the host that runs this task for previews, without waiting.
    fn want_previews(&self, _id: TaskId) {}

    /// The right to clear tasks and pictures that are due; `None` while another host does.
    fn keep_house(&self) -> Result<Option<Keeping>> {
        Ok(Some(Box::new(())))
    }
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
