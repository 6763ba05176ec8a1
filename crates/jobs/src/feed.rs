//! The progress of one task, for any number of watchers.
//!
//! The events are in one log behind a [`tokio::sync::watch`] channel. A watcher is a position in that log: it cannot delay
//! the engine or another watcher, and leaves nothing behind when it is dropped.

use crate::{Last, NewPicture, Progress, Status, Task};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The most events kept for watchers that fall behind or reconnect.
const KEPT: usize = 256;

/// A change of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number among the task's events, from 0.
    pub id: u64,
    /// The task's status; final in the last event.
    pub status: Status,
    /// The task's progress.
    pub progress: Progress,
    /// A preview of the picture, if the engine made one in this step.
    pub preview: Option<Bytes>,
    /// Why the task failed.
    pub error: Option<String>,
}

impl Event {
    /// A task's state in the store as an event.
    fn of(task: &Task) -> Self {
        let id = task.last_event;
        let error = task.error.clone();
        Self { id, status: task.status, progress: task.progress, preview: None, error }
    }
}

/// The latest events of a task; never empty.
struct Log {
    events: VecDeque<Event>,
    next: u64,
    /// The time of the latest event.
    last_change: Instant,
}

impl Log {
    fn new(first: Event) -> Self {
        Self { next: first.id + 1, events: [first].into(), last_change: Instant::now() }
    }

    /// The latest event, which has the task's current state.
    fn last(&self) -> Option<&Event> {
        self.events.back()
    }

    fn has_ended(&self) -> bool {
        self.last().is_some_and(|last| last.status.is_end())
    }

    /// Adds an event with an id that no earlier one has.
    fn push(&mut self, event: Event) {
        self.next = event.id + 1;
        self.last_change = Instant::now();
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The first kept event with this id or a later one.
    fn from(&self, id: u64) -> Option<&Event> {
        self.events.get(self.events.partition_point(|event| event.id < id))
    }
}

/// The engine's and the queue's handle to a task that has not ended.
pub(crate) struct Feed {
    log: watch::Sender<Log>,
    cancelled: AtomicBool,
    /// Whether an engine of this process runs the task.
    is_here: AtomicBool,
    /// Whether events came from another host.
    is_followed: AtomicBool,
    /// The engine should stop, because the store has given the task to another host.
    is_lost: AtomicBool,
    /// Whether a watcher on another host wants previews.
    previews_elsewhere: AtomicBool,
    /// Held while the store cancels the task.
    cancelling: Mutex<()>,
    /// The finished pictures of a task that is not finished.
    kept: Mutex<Vec<NewPicture>>,
    /// Shared by the watchers that want previews: its count shows whether there are any.
    previews: Arc<()>,
}

impl Feed {
    pub(crate) fn new(task: &Task) -> Self {
        Self {
            log: watch::Sender::new(Log::new(Event::of(task))),
            cancelled: AtomicBool::new(false),
            is_here: AtomicBool::new(false),
            is_followed: AtomicBool::new(false),
            is_lost: AtomicBool::new(false),
            previews_elsewhere: AtomicBool::new(false),
            cancelling: Mutex::default(),
            kept: Mutex::default(),
            previews: Arc::default(),
        }
    }

    /// Whether the engine should stop.
    pub(crate) fn should_stop(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.is_lost.load(Ordering::Relaxed)
    }

    pub(crate) fn wants_previews(&self) -> bool {
        self.is_watched_for_previews() || self.previews_elsewhere.load(Ordering::Relaxed)
    }

    /// Whether a watcher of this process wants previews.
    pub(crate) fn is_watched_for_previews(&self) -> bool {
        Arc::strong_count(&self.previews) > 1
    }

    /// A watcher on another host wants previews.
    pub(crate) fn want_previews(&self) {
        self.previews_elsewhere.store(true, Ordering::Relaxed);
    }

    /// Whether an engine of this process runs the task.
    pub(crate) fn is_here(&self) -> bool {
        self.is_here.load(Ordering::Relaxed)
    }

    /// Whether the task runs on another host.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.is_followed.load(Ordering::Relaxed) && !self.is_here()
    }

    /// Asks the engine to stop: whatever it makes will be refused.
    pub(crate) fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    /// The engine has stopped, and the task goes on elsewhere.
    pub(crate) fn let_go(&self) {
        self.is_followed.store(true, Ordering::Relaxed);
        self.is_here.store(false, Ordering::Relaxed);
    }

    /// Asks the engine to stop and tells the watchers.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.enter(Status::Cancelled, None);
    }

    /// Keeps a finished picture in case the task is cancelled.
    pub(crate) fn keep(&self, picture: NewPicture) {
        self.kept.lock().push(picture);
    }

    /// The finished pictures.
    pub(crate) fn kept(&self) -> Vec<NewPicture> {
        self.kept.lock().clone()
    }

    /// Keeps the task from beginning, so that the id of its last event is known. Steps of a running task do not wait for
    /// this.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.cancelling.lock()
    }

    /// An engine of this process begins the task. Its events have numbers from `next` on: those before it are of other
    /// attempts.
    pub(crate) fn begin(&self, next: u64) -> Option<Event> {
        let _held = self.hold();
        self.is_here.store(true, Ordering::Relaxed);
        self.is_lost.store(false, Ordering::Relaxed);
        // An earlier attempt of this process may have kept some, which this one draws again.
        self.kept.lock().clear();
        self.log.send_if_modified(|log| {
            log.next = log.next.max(next);
            false
        });
        self.enter(Status::Processing, None)
    }

    /// Changes the task's status.
    pub(crate) fn enter(&self, status: Status, error: Option<String>) -> Option<Event> {
        self.push(|id, last| {
            let progress = match status {
                Status::Pending | Status::Processing => Progress { step: 0, ..last.progress },
                Status::Completed => last.progress.done(),
                Status::Cancelled | Status::Error => last.progress,
            };
            Event { id, status, progress, preview: None, error }
        })
    }

    /// Reports progress without a change of status.
    pub(crate) fn progress(&self, progress: Progress, preview: Option<Bytes>) -> Option<Event> {
        self.push(|id, last| Event { id, status: last.status, progress, preview, error: None })
    }

    /// Adds those of another host's events that are new.
    pub(crate) fn follow(&self, events: Vec<Event>) {
        if !events.is_empty() {
            self.is_followed.store(true, Ordering::Relaxed);
        }
        self.log.send_if_modified(|log| {
            let before = log.next;
            for event in events {
                if event.id >= log.next && !log.has_ended() {
                    log.push(event);
                }
            }
            log.next > before
        });
    }

    /// The task has ended elsewhere.
    pub(crate) fn finish(&self, task: &Task) {
        self.push(|id, _| {
            let event = Event::of(task);
            Event { id: id.max(event.id), ..event }
        });
    }

    /// The number of the next event.
    pub(crate) fn next(&self) -> u64 {
        self.log.borrow().next
    }

    /// Whether an engine of this process is running the task.
    pub(crate) fn is_running(&self) -> bool {
        !self.is_elsewhere() && self.log.borrow().last().is_some_and(|last| last.status == Status::Processing)
    }

    /// The time since the last event, if an engine of this process is running the task.
    pub(crate) fn silence(&self) -> Option<Duration> {
        self.is_running().then(|| self.log.borrow().last_change.elapsed())
    }

    /// The task's progress.
    pub(crate) fn latest(&self) -> Progress {
        self.log.borrow().last().map_or(Progress::default(), |event| event.progress)
    }

    /// The last event, for the store, if the next one is the last.
    pub(crate) fn end(&self) -> Last {
        let log = self.log.borrow();
        Last { event: log.next, progress: log.last().map_or(Progress::default(), |event| event.progress) }
    }

    /// Adds an event with the next number, and returns it; `None` if the task has ended, which its engine may not have
    /// noticed yet.
    fn push(&self, event: impl FnOnce(u64, &Event) -> Event) -> Option<Event> {
        let mut pushed = None;
        self.log.send_if_modified(|log| {
            let next = log.next;
            pushed = log.last().filter(|last| !last.status.is_end()).map(|last| event(next, last));
            pushed.iter().cloned().for_each(|event| log.push(event));
            pushed.is_some()
        });
        pushed
    }

    pub(crate) fn watch(&self, options: WatchOptions) -> Watcher {
        let log = self.log.subscribe();
        let (current, ended) = {
            let log = log.borrow();
            (log.last().map_or(0, |last| last.id), log.has_ended())
        };
        // A watcher that has seen the last event gets it again, as nothing else will come.
        let newest = if ended { current } else { current + 1 };
        let next = options.after.filter(|after| *after <= current).map_or(current, |after| newest.min(after + 1));
        Watcher { log, next, ended: false, previews: options.previews.then(|| Arc::clone(&self.previews)) }
    }
}

/// How a task is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Start after this event, if it is still known; else from the current state.
    pub after: Option<u64>,
    /// Receive previews. Engines make them only while a watcher wants them.
    pub previews: bool,
}

/// Receives the events of one task.
pub struct Watcher {
    log: watch::Receiver<Log>,
    next: u64,
    ended: bool,
    previews: Option<Arc<()>>,
}

impl Watcher {
    /// A watcher of a task that has ended, with its one event.
    pub(crate) fn of_ended(task: &Task) -> Self {
        Feed::new(task).watch(WatchOptions::default())
    }

    /// Waits for the next event. `None` after the last one, and when the process shuts down before the task ends.
    pub async fn next(&mut self) -> Option<Event> {
        while !self.ended {
            if let Some(event) = self.log.borrow_and_update().from(self.next) {
                self.next = event.id + 1;
                self.ended = event.status.is_end();
                let preview = event.preview.clone().filter(|_| self.previews.is_some());
                return Some(Event { preview, ..event.clone() });
            }
            self.ended = self.log.changed().await.is_err();
        }
        None
    }
}
