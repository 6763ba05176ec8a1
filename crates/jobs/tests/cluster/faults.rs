//! Hosts whose workers fail.

use crate::engine::{Controls, TestEngine, new_task};
use crate::home::{cluster, sql};
use easel_jobs::{Cluster, Jobs, Options, PostgresStore, Status};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// The lease of the hosts, short enough to wait until it has run out.
const LEASE: Duration = Duration::from_secs(2);

/// What a worker logs when the store refuses the end of a task.
const REFUSED: &str = "could not write the end of a task";

/// How often the log has panicked.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// A log that panics when the store refuses the end of a task.
struct Fragile;

impl Subscriber for Fragile {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "easel_jobs::worker"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        if message.0 == REFUSED {
            PANICS.fetch_add(1, Ordering::Relaxed);
            panic!("the log is full");
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

fn host(folder: &TempDir) -> Jobs {
    let cluster = Cluster { lease: LEASE, ..cluster(folder) };
    let store = PostgresStore::open(&cluster).unwrap();
    let engine = Box::new(TestEngine(Arc::new(Controls::default())));
    Jobs::start(Arc::new(store), vec![engine], &Options::default()).unwrap()
}

/// Waits until something has happened.
fn until(what: &str, mut has_happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !has_happened() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_task_whose_worker_could_not_end_it_goes_back_to_the_queue() {
    // Other tests here have no end that the store refuses.
    tracing::subscriber::set_global_default(Fragile).unwrap();
    let folder = TempDir::new().unwrap();
    let jobs = host(&folder);
    sql(&folder, "ALTER TABLE task ADD CONSTRAINT never_ends CHECK (status IN ('pending', 'processing'))");
    let id = jobs.submit(&new_task("1")).unwrap().id;
    until("the worker fails twice", || PANICS.load(Ordering::Relaxed) >= 2);
    sql(&folder, "ALTER TABLE task DROP CONSTRAINT never_ends");
    until("the task is drawn again", || jobs.task(id).unwrap().status == Status::Completed);
    assert!(jobs.task(id).unwrap().attempts >= 2);
}
