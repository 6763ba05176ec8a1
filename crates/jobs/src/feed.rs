//! Progress of one task for any number of watchers.
//!
//! The events lie in one log behind a [`tokio::sync::watch`] channel. A watcher is a place in that log: it cannot hold
//! up the engine or another watcher, and leaves nothing behind when it goes.

use crate::{Last, Progress, Status, Task};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The most events that are kept for watchers that fall behind or come back.
const KEPT: usize = 256;

/// Something happened to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place among the task's events, from 0.
    pub id: u64,
    /// Where the task is in its life; the last event has one that is an end.
    pub status: Status,
    /// How far it is.
    pub progress: Progress,
    /// What the picture looks like so far, if the engine made a preview in this step.
    pub preview: Option<Bytes>,
    /// Why the task failed.
    pub error: Option<String>,
}

impl Event {
    /// What the store says of a task, as its first event.
    fn of(task: &Task) -> Self {
        let id = task.last_event;
        let error = task.error.clone();
        Self { id, status: task.status, progress: task.progress, preview: None, error }
    }
}

/// The latest events of a task: never empty.
struct Log {
    events: VecDeque<Event>,
    next: u64,
    /// When the latest event came.
    heard: Instant,
}

impl Log {
    fn new(first: Event) -> Self {
        Self { next: first.id + 1, events: [first].into(), heard: Instant::now() }
    }

    /// The state that the latest event left the task in.
    fn last(&self) -> Option<&Event> {
        self.events.back()
    }

    fn push(&mut self, mut event: Event) {
        event.id = self.next;
        self.next += 1;
        self.heard = Instant::now();
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The first event that is kept from place `id` on.
    fn from(&self, id: u64) -> Option<&Event> {
        let first = self.events.front()?.id;
        self.events.get(usize::try_from(id.saturating_sub(first)).ok()?)
    }
}

/// The engine's and the queue's side of a task that has not ended.
pub(crate) struct Feed {
    log: watch::Sender<Log>,
    cancelled: AtomicBool,
    /// Held while the store is asked to cancel the task.
    cancelling: Mutex<()>,
    /// Shared by the watchers that want previews: its count says whether there are any.
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

    /// Keeps the task from being begun, so that the event that will be its last is known. Steps of a task that was begun
    /// do not wait for this.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.cancelling.lock()
    }

    /// An engine takes the task up.
    pub(crate) fn begin(&self) {
        let _held = self.hold();
        self.enter(Status::Processing, None);
    }

    /// The task goes on to another status.
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

    /// The task goes on within its status.
    pub(crate) fn progress(&self, progress: Progress, preview: Option<Bytes>) {
        self.push(|last| Event { id: 0, status: last.status, progress, preview, error: None });
    }

    /// Whether an engine works on the task.
    pub(crate) fn is_running(&self) -> bool {
        self.log.borrow().last().is_some_and(|last| last.status == Status::Processing)
    }

    /// How long an engine that works on the task has said nothing.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let log = self.log.borrow();
        log.last().filter(|last| last.status == Status::Processing).map(|_| log.heard.elapsed())
    }

    /// How far the task is.
    pub(crate) fn latest(&self) -> Progress {
        self.log.borrow().last().map_or(Progress::default(), |event| event.progress)
    }

    /// What the store is to remember if the next event is the last.
    pub(crate) fn end(&self) -> Last {
        let log = self.log.borrow();
        Last { event: log.next, progress: log.last().map_or(Progress::default(), |event| event.progress) }
    }

    /// Adds an event, unless the task has ended: an engine that has yet to notice has no say any more.
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
        // A watcher that has seen the end sees it again: nothing else will come.
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
    /// See previews. Engines make none while no watcher wants them.
    pub previews: bool,
}

/// Sees the events of one task.
pub struct Watcher {
    log: watch::Receiver<Log>,
    next: u64,
    ended: bool,
    previews: Option<Arc<()>>,
}

impl Watcher {
    /// Sees the one event of a task that has ended.
    pub(crate) fn of_ended(task: &Task) -> Self {
        Feed::new(task).watch(WatchOptions::default())
    }

    /// Waits for the next event. `None` after the last one, and when the process ends before the task does.
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
