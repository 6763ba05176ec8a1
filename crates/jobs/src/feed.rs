//! The progress of one task, for any number of watchers.
//!
//! The events are in one log behind a [`tokio::sync::watch`] channel. A watcher is a position in that log: it cannot delay
//! the engine or another watcher, and leaves nothing behind when it is dropped.

use crate::{Last, Progress, Status, Task};
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
    /// The first event of a task, from its state in the store.
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

    fn push(&mut self, mut event: Event) {
        event.id = self.next;
        self.next += 1;
        self.last_change = Instant::now();
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The first kept event with this id or a later one.
    fn from(&self, id: u64) -> Option<&Event> {
        let first = self.events.front()?.id;
        self.events.get(usize::try_from(id.saturating_sub(first)).ok()?)
    }
}

/// The engine's and the queue's handle to a task that has not ended.
pub(crate) struct Feed {
    log: watch::Sender<Log>,
    cancelled: AtomicBool,
    /// Held while the store cancels the task.
    cancelling: Mutex<()>,
    /// Shared by the watchers that want previews: its count shows whether there are any.
    previews: Arc<()>,
}

impl Feed {
    pub(crate) fn new(task: &Task) -> Self {
        Self {
            log: watch::Sender::new(Log::new(Event::of(task))),
            cancelled: AtomicBool::new(false),
            cancelling: Mutex::default(),
            previews: Arc::default(),
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn wants_previews(&self) -> bool {
        Arc::strong_count(&self.previews) > 1
    }

    /// Asks the engine to stop and tells the watchers.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.enter(Status::Cancelled, None);
    }

    /// Keeps the task from beginning, so that the id of its last event is known. Steps of a running task do not wait for
    /// this.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.cancelling.lock()
    }

    /// An engine begins the task.
    pub(crate) fn begin(&self) {
        let _held = self.hold();
        self.enter(Status::Processing, None);
    }

    /// Changes the task's status.
    pub(crate) fn enter(&self, status: Status, error: Option<String>) {
        self.push(|last| {
            let progress = match status {
                Status::Pending | Status::Processing => Progress { step: 0, ..last.progress },
                Status::Completed => last.progress.done(),
                Status::Cancelled | Status::Error => last.progress,
            };
            Event { id: 0, status, progress, preview: None, error }
        });
    }

    /// Reports progress without a change of status.
    pub(crate) fn progress(&self, progress: Progress, preview: Option<Bytes>) {
        self.push(|last| Event { id: 0, status: last.status, progress, preview, error: None });
    }

    /// Whether an engine is running the task.
    pub(crate) fn is_running(&self) -> bool {
        self.log.borrow().last().is_some_and(|last| last.status == Status::Processing)
    }

    /// The time since the last event, if an engine is running the task.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let log = self.log.borrow();
        log.last().filter(|last| last.status == Status::Processing).map(|_| log.last_change.elapsed())
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

    /// Adds an event, unless the task has ended: its engine may not have noticed yet.
    fn push(&self, event: impl FnOnce(&Event) -> Event) {
        self.log.send_if_modified(|log| {
            let event = log.last().filter(|last| !last.status.is_end()).map(event);
            event.map(|event| log.push(event)).is_some()
        });
    }

    pub(crate) fn watch(&self, options: WatchOptions) -> Watcher {
        let log = self.log.subscribe();
        let (current, ended) = {
            let log = log.borrow();
            (log.next - 1, log.last().is_some_and(|last| last.status.is_end()))
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
