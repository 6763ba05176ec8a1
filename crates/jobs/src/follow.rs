//! Follows the tasks that other hosts run, so that any host of a shared store can show a task's progress and cancel it.
//!
//! The store says what has changed. A notice can get lost with a connection, so all tasks that are watched here are looked
//! at from time to time, too.

use crate::feed::Feed;
use crate::jobs::Shared;
use crate::{Error, Notice, Result, Status, TaskId};
use std::collections::BTreeSet;
use std::iter;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for a notice: a closed queue is noticed within this time.
const WAIT: Duration = Duration::from_millis(100);

/// How often all watched tasks are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Acts on notices until the queue closes.
pub(crate) fn run(shared: &Shared, notices: &Receiver<Notice>) {
    let mut looked = Instant::now();
    while !shared.gate.is_closed() {
        let mut due = Due { all: looked.elapsed() >= LOOK, ..Due::default() };
        match notices.recv_timeout(WAIT) {
            Ok(first) => iter::once(first).chain(notices.try_iter()).for_each(|notice| act(shared, notice, &mut due)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(WAIT),
        }
        if due.all {
            due.tasks.extend(shared.feeds.lock().keys());
            looked = Instant::now();
        }
        for id in due.tasks {
            if let Err(error) = look(shared, id) {
                tracing::debug!(%id, %error, "could not look at a task");
            }
        }
    }
}

/// What is to be looked at.
#[derive(Default)]
struct Due {
    tasks: BTreeSet<TaskId>,
    all: bool,
}

fn act(shared: &Shared, notice: Notice, due: &mut Due) {
    match notice {
        Notice::Waiting => shared.gate.signal(),
        Notice::Changed(id) => {
            due.tasks.insert(id);
        }
        Notice::Lost(id) => lose(shared, id),
        Notice::Previews(id) => with_feed(shared, id, Feed::want_previews),
        Notice::Missed => {
            shared.gate.signal();
            due.all = true;
        }
    }
}

fn with_feed(shared: &Shared, id: TaskId, act: impl FnOnce(&Feed)) {
    let feed = shared.feeds.lock().get(&id).cloned();
    if let Some(feed) = feed {
        act(&feed);
    }
}

/// Stops the engine of a task that this host may not end any more.
fn lose(shared: &Shared, id: TaskId) {
    with_feed(shared, id, |feed| match shared.store.task(id) {
        Ok(task) if task.status == Status::Cancelled => feed.cancel(),
        _ => feed.lose(),
    });
}

/// Brings the watchers of a task up to date.
fn look(shared: &Shared, id: TaskId) -> Result<()> {
    let feed = shared.feeds.lock().get(&id).cloned();
    let Some(feed) = feed else { return Ok(()) };
    // In this order, the events of a task that has ended are complete.
    let task = match shared.store.task(id) {
        Err(Error::UnknownTask { .. }) if !feed.is_here() => {
            shared.forget_this(id, &feed);
            return Ok(());
        }
        task => task?,
    };
    if feed.is_here() {
        // Its worker sees every other end itself.
        if task.status == Status::Cancelled {
            feed.cancel();
        }
        return Ok(());
    }
    follow(shared, id, &feed)?;
    if task.status.is_end() {
        feed.finish(&task);
        shared.forget_this(id, &feed);
    }
    Ok(())
}

/// Adds the events that other hosts have published.
fn follow(shared: &Shared, id: TaskId, feed: &Arc<Feed>) -> Result<()> {
    let events = shared.store.events(id, feed.next())?;
    let begins = events.iter().any(|event| event.status == Status::Processing && event.progress.step == 0);
    feed.follow(events);
    // The host that runs it now has not been asked.
    if begins && feed.is_watched_for_previews() {
        shared.store.want_previews(id);
    }
    Ok(())
}
