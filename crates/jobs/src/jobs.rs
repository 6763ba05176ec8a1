//! The queue's API: the operations on tasks and pictures.

use crate::feed::Feed;
use crate::follow;
use crate::retention::{self, Schedule};
use crate::turns::Turns;
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

/// How long engines may take to stop on request.
const STOP: Duration = Duration::from_secs(10);

/// Options of a queue.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most tasks that may wait.
    pub capacity: usize,
    /// When tasks and pictures are cleared.
    pub retention: Retention,
}

impl Default for Options {
    fn default() -> Self {
        Self { capacity: 1000, retention: Retention::default() }
    }
}

/// The queue. Its methods block while the store works, usually far less than a millisecond, some for a disk write, and
/// never longer than the store's deadline; only [`Watcher::next`] waits for an engine. No lock is held during a call to
/// the store.
pub struct Jobs {
    shared: Arc<Shared>,
    capacity: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The state that the queue's threads share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) gate: Gate,
    /// Tells every engine to stop because the process is shutting down.
    pub(crate) interrupt: AtomicBool,
    /// The tasks that are being overtaken.
    pub(crate) turns: Turns,
    /// The tasks that are watched or running.
    pub(crate) feeds: Mutex<HashMap<TaskId, Arc<Feed>>>,
}

impl Jobs {
    /// Recovers the tasks of an earlier process and starts one worker per engine.
    pub fn start(store: Arc<dyn Store>, engines: Vec<Box<dyn Engine>>, options: &Options) -> Result<Self> {
        let schedule = Schedule::parse(&options.retention)?;
        let (again, failed) = store.recover()?;
        if again + failed > 0 {
            tracing::warn!(again, failed, "an earlier process ended while tasks were running");
        }
        let shared = Arc::new(Shared {
            store,
            gate: Gate::default(),
            interrupt: AtomicBool::new(false),
            turns: Turns::default(),
            feeds: Mutex::default(),
        });
        let jobs = Self { shared, capacity: options.capacity, threads: Mutex::default() };
        for engine in engines {
            jobs.spawn("easel-engine", |shared| worker::work(shared, engine))?;
        }
        jobs.spawn("easel-retention", move |shared| retention::run(shared, &schedule))?;
        if let Some(notices) = jobs.shared.store.notices() {
            jobs.spawn("easel-follow", move |shared| follow::run(shared, &notices))?;
        }
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

    /// Starts a run; only one is in progress at a time. [`Error::RunInProgress`], and those of [`Self::submit`].
    pub fn start_run(&self, task: &NewTask) -> Result<Task> {
        if self.shared.gate.is_closed() {
            return Err(Error::ShuttingDown);
        }
        let task = self.shared.store.start_run(task, self.capacity)?;
        self.shared.gate.signal();
        Ok(task)
    }

    /// The latest run with its current progress, unless its task was deleted.
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
        let feed = self.shared.feeds.lock().get(&id).cloned();
        if let Some(feed) = feed {
            return Ok(self.attach(&feed, id, options));
        }
        let task = self.shared.store.task(id)?;
        if task.status.is_end() {
            return Ok(Watcher::of_ended(&task));
        }
        if self.shared.gate.is_closed() {
            return Err(Error::ShuttingDown);
        }
        let feed = self.shared.feed(&task);
        feed.follow(self.shared.store.events(id, feed.next())?);
        let watcher = self.attach(&feed, id, options);
        // The task may have ended before this feed was registered: then nothing will be sent to it.
        let task = self.shared.store.task(id);
        let has_ended = task.as_ref().map_or(true, |task| task.status.is_end());
        if has_ended && self.shared.forget_this(id, &feed) {
            let task = task?;
            feed.enter(task.status, task.error.clone());
            return Ok(Watcher::of_ended(&task));
        }
        Ok(watcher)
    }

    /// Watches a feed. If another host runs the task, it is asked for the previews that the watcher wants.
    fn attach(&self, feed: &Feed, id: TaskId, options: WatchOptions) -> Watcher {
        if options.previews && !feed.is_here() {
            self.shared.store.want_previews(id);
        }
        feed.watch(options)
    }

    /// Cancels a task that has not ended; a running one stops at its next step, and keeps its finished pictures.
    /// [`Error::UnknownTask`], [`Error::AlreadyEnded`].
    pub fn cancel(&self, id: TaskId) -> Result<()> {
        let feed = self.shared.feeds.lock().get(&id).cloned();
        let _held = feed.as_ref().map(|feed| feed.hold());
        let last = feed.as_ref().map(|feed| feed.end());
        let finished = feed.as_ref().map(|feed| feed.kept()).unwrap_or_default();
        let before = self.shared.store.cancel(id, last, &finished)?;
        let mut feeds = self.shared.feeds.lock();
        // A worker that has claimed the task but not made its feed yet checks the store afterwards.
        let feed = if before.status == Status::Pending { feeds.remove(&id) } else { feeds.get(&id).cloned() };
        drop(feeds);
        if let Some(feed) = feed {
            feed.cancel();
            if feed.is_elsewhere() {
                self.shared.forget_this(id, &feed);
            }
        }
        Ok(())
    }

    /// One task with its current progress. [`Error::UnknownTask`].
    pub fn task(&self, id: TaskId) -> Result<Task> {
        Ok(self.shared.with_progress(self.shared.store.task(id)?))
    }

    /// Tasks, newest first, with their current progress.
    pub fn tasks(&self, query: &TaskQuery) -> Result<Page<Task>> {
        let page = self.shared.store.tasks(query)?;
        let items = page.items.into_iter().map(|task| self.shared.with_progress(task)).collect();
        Ok(Page { items, ..page })
    }

    /// How many waiting tasks are ahead of this one; `None` if it is not waiting.
    pub fn queue_position(&self, id: TaskId) -> Result<Option<usize>> {
        Ok(self.standings(&[id])?.pop().and_then(|standing| standing.position))
    }

    /// The standing of each of these tasks, in this order.
    pub fn standings(&self, tasks: &[TaskId]) -> Result<Vec<Standing>> {
        self.shared.store.standings(tasks)
    }

    /// How many tasks are in each status.
    pub fn counts(&self) -> Result<Counts> {
        self.shared.store.counts()
    }

    /// Deletes tasks that have ended, and returns how many. Their pictures stay.
    pub fn delete_tasks(&self, selection: &Selection) -> Result<usize> {
        self.shared.store.delete_tasks(selection)
    }

    /// Pictures, newest first; those of a single task in the order they were drawn.
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

    /// Opens the encoded picture for reading from byte `from`. [`Error::UnknownPicture`] if it was deleted,
    /// [`Error::DamagedPicture`] if its file has the wrong length.
    pub fn open(&self, picture: &Picture, from: u64) -> Result<Box<dyn Read + Send>> {
        self.shared.store.open(picture, from)
    }

    /// Deletes one picture. [`Error::UnknownPicture`].
    pub fn delete_picture(&self, id: PictureId) -> Result<()> {
        self.shared.store.delete_picture(id)
    }

    /// Fails if this part of the store is not working.
    pub fn check_store(&self, part: Part) -> Result<()> {
        self.shared.store.check(part)
    }

    /// Fails if an engine's thread has ended. [`Error::EngineEnded`].
    pub fn check_engines(&self) -> Result<()> {
        let is_alive = !self.shared.gate.is_closed() && !self.threads.lock().iter().any(JoinHandle::is_finished);
        if is_alive { Ok(()) } else { Err(Error::EngineEnded) }
    }

    /// The longest time that a running engine has reported nothing; `None` if no engine is running.
    pub fn silence(&self) -> Option<Duration> {
        self.shared.feeds.lock().values().filter_map(|feed| feed.silence()).max()
    }

    /// Shuts down. No new task is accepted, and running tasks have `grace` to finish before they are stopped. Unfinished
    /// tasks wait in the store for the next process. Blocks until all threads have ended, or until an engine has not
    /// stopped for ten seconds.
    pub fn shutdown(&self, grace: Duration) {
        self.shared.gate.close();
        // Waiting tasks have no more events, so their watchers need not wait for the grace period.
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
    /// Shuts down without a grace period; [`Jobs::shutdown`] has one.
    fn drop(&mut self) {
        self.shutdown(Duration::ZERO);
    }
}

impl Shared {
    /// The feed of a running task.
    pub(crate) fn feed(&self, task: &Task) -> Arc<Feed> {
        Arc::clone(self.feeds.lock().entry(task.id).or_insert_with(|| Arc::new(Feed::new(task))))
    }

    /// Drops the feed of a task that has left its engine.
    pub(crate) fn forget(&self, id: TaskId) {
        self.feeds.lock().remove(&id);
    }

    /// Drops this feed unless another has replaced it; returns whether it was there.
    pub(crate) fn forget_this(&self, id: TaskId, feed: &Arc<Feed>) -> bool {
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

/// Wakes the threads when there is work, and ends them at a shutdown.
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

    /// Announces a task.
    pub(crate) fn signal(&self) {
        self.state.lock().signals += 1;
        self.changed.notify_all();
    }

    fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits until there are more signals than `seen`, the gate closes, or `patience` runs out; returns the signals so far.
    pub(crate) fn wait(&self, seen: u64, patience: Duration) -> u64 {
        self.wait_while(patience, |state| state.signals == seen).signals
    }

    /// Sleeps until the gate closes or `patience` runs out; returns whether it closed.
    pub(crate) fn sleep(&self, patience: Duration) -> bool {
        self.wait_while(patience, |_| true).is_closed
    }

    fn wait_while(&self, patience: Duration, keeps_waiting: impl Fn(&GateState) -> bool) -> GateState {
        let is_waiting = |state: &mut GateState| !state.is_closed && keeps_waiting(state);
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, is_waiting, patience);
        *state
    }
}
