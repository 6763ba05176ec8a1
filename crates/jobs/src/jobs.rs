//! The queue as a service sees it: what may be done with tasks and pictures.

use crate::feed::Feed;
use crate::retention::{self, Schedule};
use crate::{
    Counts, Engine, Error, NewTask, Page, Part, Picture, PictureId, PictureQuery, Progress, Result, Retention, Run,
    Selection, Standing, Status, Store, Task, TaskId, TaskQuery, WatchOptions, Watcher, worker,
};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long engines have to stop once they are asked to.
const STOP: Duration = Duration::from_secs(10);

/// How a queue is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most tasks that may wait.
    pub capacity: usize,
    /// When tasks and pictures are cleared away.
    pub retention: Retention,
}

impl Default for Options {
    fn default() -> Self {
        Self { capacity: 1000, retention: Retention::default() }
    }
}

/// The queue. Its methods block for as long as the store takes, usually far less than a millisecond and some for a
/// write to the disk, and never longer than the store's deadline; only [`Watcher::next`] waits for an engine. No lock is
/// held while the store is asked.
pub struct Jobs {
    shared: Arc<Shared>,
    capacity: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the queue's threads share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) gate: Gate,
    /// Tells every engine to stop because the process ends.
    pub(crate) interrupt: AtomicBool,
    /// The tasks that someone watches or an engine works on.
    feeds: Mutex<HashMap<TaskId, Arc<Feed>>>,
}

impl Jobs {
    /// Takes up what an earlier process left and starts one worker for each engine.
    pub fn start(store: Arc<dyn Store>, engines: Vec<Box<dyn Engine>>, options: &Options) -> Result<Self> {
        let schedule = Schedule::parse(&options.retention)?;
        let (again, failed) = store.recover()?;
        if again + failed > 0 {
            tracing::warn!(again, failed, "an earlier process ended while tasks ran");
        }
        let shared = Arc::new(Shared {
            store,
            gate: Gate::default(),
            interrupt: AtomicBool::new(false),
            feeds: Mutex::default(),
        });
        let jobs = Self { shared, capacity: options.capacity, threads: Mutex::default() };
        for engine in engines {
            jobs.spawn("easel-engine", |shared| worker::work(shared, engine))?;
        }
        jobs.spawn("easel-retention", move |shared| retention::keep(shared, &schedule))?;
        Ok(jobs)
    }

    fn spawn(&self, name: &str, run: impl FnOnce(&Shared) + Send + 'static) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(name.into()).spawn(move || run(&shared));
        self.threads.lock().push(thread.map_err(|reason| Error::Thread { reason })?);
        Ok(())
    }

    /// Queues a task. [`Error::QueueFull`], [`Error::ShuttingDown`].
    pub fn submit(&self, task: &NewTask) -> Result<Task> {
        if self.shared.gate.is_closed() {
            return Err(Error::ShuttingDown);
        }
        let task = self.shared.store.submit(task, self.capacity)?;
        self.shared.gate.signal();
        Ok(task)
    }

    /// Starts a run; one at a time is in progress. [`Error::RunInProgress`], and those of [`Self::submit`].
    pub fn start_run(&self, task: &NewTask) -> Result<Task> {
        if self.shared.gate.is_closed() {
            return Err(Error::ShuttingDown);
        }
        let task = self.shared.store.start_run(task, self.capacity)?;
        self.shared.gate.signal();
        Ok(task)
    }

    /// The latest run, with its progress of this moment, unless its task was deleted.
    pub fn latest_run(&self) -> Result<Option<Run>> {
        let run = self.shared.store.latest_run()?;
        Ok(run.map(|run| Run { task: self.shared.with_progress(run.task), ..run }))
    }

    /// Takes the picture of the latest run. [`Error::RunNotComplete`].
    pub fn take_run(&self) -> Result<Picture> {
        self.shared.store.take_run()
    }

    /// Watches a task to its end. [`Error::UnknownTask`].
    pub fn watch(&self, id: TaskId, options: WatchOptions) -> Result<Watcher> {
        if let Some(watcher) = self.shared.feeds.lock().get(&id).map(|feed| feed.watch(options)) {
            return Ok(watcher);
        }
        let task = self.shared.store.task(id)?;
        if task.status.is_end() {
            return Ok(Watcher::of_ended(&task));
        }
        if self.shared.gate.is_closed() {
            return Err(Error::ShuttingDown);
        }
        let feed = self.shared.feed(&task);
        let watcher = feed.watch(options);
        // The task may have ended between the question and the subscription: then nobody will tell this feed.
        let task = self.shared.store.task(id);
        let has_ended = task.as_ref().map_or(true, |task| task.status.is_end());
        if has_ended && self.shared.forget_this(id, &feed) {
            let task = task?;
            feed.enter(task.status, task.error.clone());
            return Ok(Watcher::of_ended(&task));
        }
        Ok(watcher)
    }

    /// Cancels a task that has not ended; a running one stops at its next step. [`Error::UnknownTask`],
    /// [`Error::AlreadyEnded`].
    pub fn cancel(&self, id: TaskId) -> Result<()> {
        let feed = self.shared.feeds.lock().get(&id).cloned();
        let _held = feed.as_ref().map(|feed| feed.hold());
        let last = feed.as_ref().map(|feed| feed.end());
        let before = self.shared.store.cancel(id, last)?;
        let mut feeds = self.shared.feeds.lock();
        // A worker that has claimed the task, but has no feed for it yet, asks the store when it has one.
        let feed = if before.status == Status::Pending { feeds.remove(&id) } else { feeds.get(&id).cloned() };
        drop(feeds);
        feed.iter().for_each(|feed| feed.cancel());
        Ok(())
    }

    /// One task, with its progress of this moment. [`Error::UnknownTask`].
    pub fn task(&self, id: TaskId) -> Result<Task> {
        Ok(self.shared.with_progress(self.shared.store.task(id)?))
    }

    /// Tasks, newest first, with their progress of this moment.
    pub fn tasks(&self, query: &TaskQuery) -> Result<Page<Task>> {
        let page = self.shared.store.tasks(query)?;
        let items = page.items.into_iter().map(|task| self.shared.with_progress(task)).collect();
        Ok(Page { items, ..page })
    }

    /// How many waiting tasks come before this one; `None` if it does not wait.
    pub fn queue_position(&self, id: TaskId) -> Result<Option<usize>> {
        Ok(self.standings(&[id])?.pop().and_then(|standing| standing.position))
    }

    /// Where each of these tasks stands, in this order.
    pub fn standings(&self, tasks: &[TaskId]) -> Result<Vec<Standing>> {
        self.shared.store.standings(tasks)
    }

    /// How many tasks are in each status.
    pub fn counts(&self) -> Result<Counts> {
        self.shared.store.counts()
    }

    /// Deletes tasks that have ended, and says how many. Their pictures stay.
    pub fn delete_tasks(&self, selection: &Selection) -> Result<usize> {
        self.shared.store.delete_tasks(selection)
    }

    /// Pictures, newest first, and of one task in the order they were drawn.
    pub fn pictures(&self, query: &PictureQuery) -> Result<Page<Picture>> {
        self.shared.store.pictures(query)
    }

    /// One picture. [`Error::UnknownPicture`].
    pub fn picture(&self, id: PictureId) -> Result<Picture> {
        self.shared.store.picture(id)
    }

    /// The encoded picture. [`Error::UnknownPicture`] if it has been deleted.
    pub fn read(&self, picture: &Picture) -> Result<Bytes> {
        self.shared.store.read(picture)
    }

    /// Opens the encoded picture, to be read from this byte on. [`Error::UnknownPicture`] if it has been deleted,
    /// [`Error::DamagedPicture`] if it is not whole.
    pub fn open(&self, picture: &Picture, from: u64) -> Result<Box<dyn Read + Send>> {
        self.shared.store.open(picture, from)
    }

    /// Deletes one picture. [`Error::UnknownPicture`].
    pub fn delete_picture(&self, id: PictureId) -> Result<()> {
        self.shared.store.delete_picture(id)
    }

    /// Fails if this part of the store does not work now.
    pub fn check_store(&self, part: Part) -> Result<()> {
        self.shared.store.check(part)
    }

    /// Fails if an engine's thread has ended. [`Error::EngineEnded`].
    pub fn check_engines(&self) -> Result<()> {
        let is_alive = !self.shared.gate.is_closed() && !self.threads.lock().iter().any(JoinHandle::is_finished);
        if is_alive { Ok(()) } else { Err(Error::EngineEnded) }
    }

    /// How long the engine that has said nothing for longest has said nothing; `None` if no engine works.
    pub fn silence(&self) -> Option<Duration> {
        self.shared.feeds.lock().values().filter_map(|feed| feed.silence()).max()
    }

    /// Stops: nothing new is accepted, tasks that run have `grace` to finish, then they are stopped and wait in the
    /// store for the next process, as those that have not begun do. Blocks until all threads have ended, or an engine
    /// has not looked at its flag for ten seconds.
    pub fn shutdown(&self, grace: Duration) {
        self.shared.gate.close();
        // Nothing more will be said of tasks that wait: their watchers need not wait for the grace.
        self.shared.feeds.lock().retain(|_, feed| feed.is_running());
        if !self.join(grace) {
            self.shared.interrupt.store(true, Ordering::Relaxed);
            if !self.join(STOP) {
                tracing::error!("an engine did not stop; its task will be started again");
            }
        }
        self.threads.lock().clear();
        self.shared.feeds.lock().clear();
    }

    /// Waits for all threads to end.
    fn join(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut threads = self.threads.lock();
        loop {
            threads.retain(|thread| !thread.is_finished());
            if threads.is_empty() || Instant::now() >= until {
                return threads.is_empty();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Jobs {
    /// Without a grace; [`Jobs::shutdown`] has one.
    fn drop(&mut self) {
        self.shutdown(Duration::ZERO);
    }
}

impl Shared {
    /// The feed of a task that runs now.
    pub(crate) fn feed(&self, task: &Task) -> Arc<Feed> {
        Arc::clone(self.feeds.lock().entry(task.id).or_insert_with(|| Arc::new(Feed::new(task))))
    }

    /// The task has left its engine.
    pub(crate) fn forget(&self, id: TaskId) {
        self.feeds.lock().remove(&id);
    }

    /// The same, unless another feed has taken this one's place; says whether it was there.
    fn forget_this(&self, id: TaskId, feed: &Arc<Feed>) -> bool {
        let mut feeds = self.feeds.lock();
        let is_there = feeds.get(&id).is_some_and(|found| Arc::ptr_eq(found, feed));
        if is_there {
            feeds.remove(&id);
        }
        is_there
    }

    fn progress(&self, id: TaskId) -> Option<Progress> {
        self.feeds.lock().get(&id).map(|feed| feed.latest())
    }

    fn with_progress(&self, task: Task) -> Task {
        let running = (task.status == Status::Processing).then(|| self.progress(task.id)).flatten();
        Task { progress: running.unwrap_or(task.progress), ..task }
    }
}

/// Wakes the threads when there is work, and lets them go when there will be none.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct GateState {
    signals: u64,
    is_closed: bool,
}

impl Gate {
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    pub(crate) fn signals(&self) -> u64 {
        self.state.lock().signals
    }

    /// There is a task.
    fn signal(&self) {
        self.state.lock().signals += 1;
        self.changed.notify_all();
    }

    fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits for more signals than `seen`, the gate's closing or `patience` to pass; returns the signals so far.
    pub(crate) fn wait(&self, seen: u64, patience: Duration) -> u64 {
        self.wait_while(patience, |state| state.signals == seen).signals
    }

    /// Sleeps unless the gate closes, and says whether it did.
    pub(crate) fn sleep(&self, patience: Duration) -> bool {
        self.wait_while(patience, |_| true).is_closed
    }

    fn wait_while(&self, patience: Duration, keeps_waiting: impl Fn(&GateState) -> bool) -> GateState {
        let waits = |state: &mut GateState| !state.is_closed && keeps_waiting(state);
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, waits, patience);
        *state
    }
}
