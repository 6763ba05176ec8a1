//! Watchers and cancellations on another host than the one that draws.

use crate::engine::{Controls, Fixture, SLOW, TestEngine, new_task};
use crate::home;
use easel_jobs::{Engine, Event, Jobs, Options, Status, WatchOptions, Watcher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;

/// A host without engines, and one with an engine, on the same store.
fn hosts() -> (Jobs, Fixture) {
    let folder = TempDir::new().unwrap();
    let front = host(&folder, Vec::new());
    let controls = Arc::new(Controls::default());
    let jobs = host(&folder, vec![Box::new(TestEngine(Arc::clone(&controls)))]);
    (front, Fixture { jobs, controls, folder })
}

fn host(folder: &TempDir, engines: Vec<Box<dyn Engine>>) -> Jobs {
    Jobs::start(home::store(folder), engines, &Options::default()).unwrap()
}

async fn next(watcher: &mut Watcher) -> Option<Event> {
    tokio::time::timeout(Duration::from_secs(20), watcher.next()).await.expect("an event")
}

async fn all(mut watcher: Watcher) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = next(&mut watcher).await {
        events.push(event);
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_on_another_host_sees_every_step_and_the_previews() {
    let (front, back) = hosts();
    let held = front.submit(&new_task("hold")).unwrap().id;
    let id = front.submit(&new_task("40")).unwrap().id;
    let options = WatchOptions { after: None, previews: true };
    let there = front.watch(id, options).unwrap();
    let here = back.jobs.watch(id, WatchOptions::default()).unwrap();
    back.controls.open.store(true, Ordering::Relaxed);
    let there = all(there).await;
    let here = all(here).await;
    let brief =
        |events: &[Event]| events.iter().map(|event| (event.id, event.status, event.progress)).collect::<Vec<_>>();
    assert_eq!(brief(&there), brief(&here));
    assert_eq!(there.len(), 1 + 1 + 40 + 1, "pending, processing, the steps, completed");
    assert!(there.iter().any(|event| event.preview.is_some()), "it was asked for previews");
    assert_eq!(front.task(id).unwrap().status, Status::Completed);
    assert_eq!(back.until(held, Status::Completed).attempts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_watcher_on_another_host_starts_from_the_current_state_or_where_it_was() {
    let (front, back) = hosts();
    let id = front.submit(&new_task("hold")).unwrap().id;
    let mut watcher = front.watch(id, WatchOptions::default()).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(next(&mut watcher).await.unwrap());
    }
    // A third host, as if the client's second connection went there.
    let other = host(&back.folder, Vec::new());
    let mut late = other.watch(id, WatchOptions::default()).unwrap();
    let current = next(&mut late).await.unwrap();
    assert!(current.id >= seen[4].id && current.progress.step > 0, "{current:?}");
    let third = host(&back.folder, Vec::new());
    let mut again = third.watch(id, WatchOptions { after: Some(seen[2].id), previews: false }).unwrap();
    assert_eq!(next(&mut again).await.unwrap(), seen[3]);
    assert!(third.task(id).unwrap().progress.percent() > 0);
    assert_eq!(third.silence(), None, "it runs nothing");

    third.cancel(id).unwrap();
    let last = |events: Vec<Event>| events.last().unwrap().status;
    assert_eq!(last(all(late).await), Status::Cancelled);
    assert_eq!(last(all(again).await), Status::Cancelled);
    assert_eq!(last(all(watcher).await), Status::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_on_another_host_stops_the_engine_within_two_steps() {
    let (front, back) = hosts();
    let id = front.submit(&new_task("slow")).unwrap().id;
    back.until(id, Status::Processing);
    let mut watcher = front.watch(id, WatchOptions::default()).unwrap();
    while next(&mut watcher).await.unwrap().progress.step == 0 {}
    let before = back.controls.steps.load(Ordering::Relaxed);
    front.cancel(id).unwrap();
    let next_one = front.submit(&new_task("1")).unwrap().id;
    back.until(next_one, Status::Completed);
    assert_eq!(all(watcher).await.last().unwrap().status, Status::Cancelled);
    assert_eq!(back.jobs.task(id).unwrap().status, Status::Cancelled);
    let steps = back.controls.steps.load(Ordering::Relaxed) - before;
    assert!(steps <= 2 + 1, "{steps} steps after the cancellation, one of them the next task's");
    std::thread::sleep(2 * SLOW);
    assert_eq!(back.controls.steps.load(Ordering::Relaxed) - before, steps, "the engine rests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_released_by_a_shutdown_goes_on_on_another_host() {
    let (front, back) = hosts();
    let id = front.submit(&new_task("hold")).unwrap().id;
    back.until(id, Status::Processing);
    let watcher = front.watch(id, WatchOptions::default()).unwrap();
    back.jobs.shutdown(Duration::ZERO);
    back.controls.open.store(true, Ordering::Relaxed);
    let other = host(&back.folder, vec![Box::new(TestEngine(Arc::clone(&back.controls)))]);
    assert_eq!(all(watcher).await.last().unwrap().status, Status::Completed);
    assert_eq!(other.task(id).unwrap().attempts, 1, "the attempt that was stopped does not count");
}
