//! A worker: takes a task, runs it on its engine, and ends it.

use crate::feed::Feed;
use crate::jobs::Shared;
use crate::{Claimed, Ending, Engine, EngineError, Error, Job, Status};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long an idle worker sleeps: the store may recover meanwhile, or another host may queue a task.
const IDLE: Duration = Duration::from_secs(1);

/// How long to wait before retrying a write of a task's end that the store refused.
const RETRY: Duration = Duration::from_millis(500);

/// Runs tasks until the queue closes. After a panic outside the engine, in a log subscriber for example, the running task
/// ends as an error and the worker carries on.
pub(crate) fn work(shared: &Shared, mut engine: Box<dyn Engine>) {
    let mut running = None;
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| take_and_run(shared, &mut *engine, &mut running))) {
        if let Some(claimed) = running.take() {
            let feed = shared.feed(&claimed.task);
            let ending = Ending::Error(format!("the worker panicked: {}", message(&*panic)));
            // After a second panic, the next start recovers the task, or another host of a shared store does.
            let _ = catch_unwind(AssertUnwindSafe(|| end(shared, &feed, &claimed, ending)));
            shared.store.abandon(claimed.task.id);
            shared.forget(claimed.task.id);
        }
    }
}

fn take_and_run(shared: &Shared, engine: &mut dyn Engine, running: &mut Option<Claimed>) {
    let mut seen = shared.gate.signals();
    while !shared.gate.is_closed() {
        let preference = shared.turns.preference(engine.loaded(), Instant::now());
        match shared.store.claim(&preference) {
            Ok(Some(claimed)) => {
                if let Some(overtaken) = claimed.overtaken {
                    shared.turns.overtook(overtaken, Instant::now());
                }
                run(shared, engine, running.insert(claimed));
                *running = None;
            }
            Ok(None) => seen = shared.gate.wait(seen, IDLE),
            Err(error) => {
                tracing::error!(%error, "could not take a task from the queue");
                seen = shared.gate.wait(seen, IDLE);
            }
        }
    }
}

fn run(shared: &Shared, engine: &mut dyn Engine, claimed: &Claimed) {
    let task = &claimed.task;
    let feed = shared.feed(task);
    if let Some(event) = feed.begin(task.last_event) {
        shared.store.publish(task.id, &event);
    }
    // A cancellation between the claim and the feed had no feed to notify.
    if shared.store.task(task.id).is_ok_and(|task| task.status == Status::Cancelled) {
        feed.cancel();
        // Changes nothing but the lease of a store that has leases.
        if let Err(error) = shared.store.end(task.id, &Ending::Released, feed.end()) {
            tracing::warn!(id = %task.id, %error, "could not put down a cancelled task");
        }
        return shared.forget(task.id);
    }
    let store = &*shared.store;
    let job = Job { task, request: &claimed.request, feed: &feed, store, interrupt: &shared.interrupt };
    // The engine's state is consistent after a panic: `Engine` requires that.
    let result = catch_unwind(AssertUnwindSafe(|| engine.run(&job)));
    let ending = match result {
        Ok(Ok(pictures)) => Ending::Completed(pictures),
        Ok(Err(EngineError::Stopped)) if shared.interrupt.load(Ordering::Relaxed) => Ending::Released,
        Ok(Err(error)) => Ending::Error(error.to_string()),
        Err(panic) => Ending::Error(format!("the engine panicked: {}", message(&*panic))),
    };
    end(shared, &feed, claimed, ending);
    if feed.is_here() {
        shared.forget(task.id);
    }
}

/// Ends the task in the store, retrying while the store refuses: a full disk must not lose a task. Until then this worker
/// takes no other, so a host without a disk stops instead of drawing pictures that it cannot keep.
fn end(shared: &Shared, feed: &Feed, claimed: &Claimed, mut ending: Ending) {
    let id = claimed.task.id;
    loop {
        let mut last = feed.end();
        if let Ending::Completed(_) = ending {
            last.progress = last.progress.done();
        }
        match shared.store.end(id, &ending, last) {
            Ok(true) => {
                let status = ending.status();
                feed.enter(status, if let Ending::Error(reason) = ending { Some(reason) } else { None });
                return;
            }
            Ok(false) => return ended_elsewhere(shared, feed, claimed),
            Err(error @ Error::File { .. }) if !error.is_temporary() => {
                tracing::error!(%id, %error, "could not write the pictures of a task");
                ending = Ending::Error(error.for_clients().into_owned());
            }
            Err(error) => {
                tracing::error!(%id, %error, "could not write the end of a task");
                // The next process recovers the task as if this one had been killed.
                if shared.gate.is_closed() {
                    return;
                }
                std::thread::sleep(RETRY);
            }
        }
    }
}

/// The task has already ended, usually by a cancellation that its watchers have seen, or another host runs it.
fn ended_elsewhere(shared: &Shared, feed: &Feed, claimed: &Claimed) {
    match shared.store.task(claimed.task.id) {
        Ok(task) if task.status.is_end() => {
            feed.enter(task.status, task.error);
        }
        Ok(task) => {
            tracing::warn!(id = %task.id, "this host was too slow: another one gets the task");
            feed.let_go();
        }
        Err(error) => {
            feed.enter(Status::Error, Some(error.for_clients().into_owned()));
        }
    }
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    text.and_then(|text| text.lines().next()).unwrap_or("no message")
}
