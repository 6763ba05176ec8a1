//! Cancellation in every state, and in a race with completion.

use crate::engine::fixture;
use crate::home;
use easel_jobs::{Error, PictureQuery, Status, WatchOptions};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test]
async fn a_waiting_task_is_cancelled_at_once_and_never_run() {
    let fixture = fixture(1, 10);
    let held = fixture.submit("hold");
    fixture.until(held, Status::Processing);
    let id = fixture.submit("5");
    let mut watcher = fixture.jobs.watch(id, WatchOptions::default()).unwrap();
    fixture.jobs.cancel(id).unwrap();
    assert_eq!(watcher.next().await.unwrap().status, Status::Pending);
    assert_eq!(watcher.next().await.unwrap().status, Status::Cancelled);
    assert_eq!(watcher.next().await, None);
    fixture.controls.open.store(true, Ordering::Relaxed);
    fixture.until(held, Status::Completed);
    assert_eq!(*fixture.controls.order.lock().unwrap(), ["hold"]);
    assert_eq!(fixture.jobs.task(id).unwrap().started_at, None);
}

#[tokio::test]
async fn a_running_task_stops_within_a_step() {
    let fixture = fixture(1, 10);
    let id = fixture.submit("hold");
    let mut watcher = fixture.jobs.watch(id, WatchOptions::default()).unwrap();
    while watcher.next().await.unwrap().progress.step == 0 {}
    fixture.jobs.cancel(id).unwrap();
    let steps = fixture.controls.steps.load(Ordering::Relaxed);
    assert_eq!(fixture.events(id).await.last().unwrap().status, Status::Cancelled);
    let next = fixture.submit("1");
    fixture.until(next, Status::Completed);
    assert!(fixture.controls.steps.load(Ordering::Relaxed) - steps <= 2 + 1, "one step may be under way, one begins");
    let task = fixture.jobs.task(id).unwrap();
    assert_eq!((task.status, task.progress.percent()), (Status::Cancelled, 50));
}

#[test]
fn a_task_that_has_ended_cannot_be_cancelled() {
    let fixture = fixture(1, 10);
    let ids = ["1", "fail", "hold"].map(|request| fixture.submit(request));
    fixture.until(ids[2], Status::Processing);
    fixture.jobs.cancel(ids[2]).unwrap();
    for (id, status) in ids.into_iter().zip([Status::Completed, Status::Error, Status::Cancelled]) {
        let refused = fixture.jobs.cancel(id).unwrap_err();
        assert!(matches!(refused, Error::AlreadyEnded { status: found, .. } if found == status), "{refused}");
    }
}

#[test]
fn pictures_that_come_after_the_cancellation_are_dropped() {
    let fixture = fixture(1, 10);
    let id = fixture.submit("deaf");
    fixture.until(id, Status::Processing);
    fixture.jobs.cancel(id).unwrap();
    let next = fixture.submit("fail");
    fixture.until(next, Status::Error);
    assert_eq!(fixture.jobs.task(id).unwrap().status, Status::Cancelled);
    assert_eq!(fixture.jobs.pictures(&PictureQuery::default()).unwrap().total, 0);
    assert_eq!(home::files(&fixture.folder), 0);
}

#[test]
fn a_cancelled_task_keeps_its_finished_pictures() {
    let fixture = fixture(1, 10);
    let id = fixture.submit("keep");
    let began = std::time::Instant::now();
    while fixture.jobs.task(id).unwrap().progress.step == 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "it has begun");
        std::thread::sleep(Duration::from_millis(1));
    }
    fixture.jobs.cancel(id).unwrap();
    let pictures = || fixture.jobs.pictures(&PictureQuery { task: Some(id), ..PictureQuery::default() }).unwrap().items;
    assert_eq!(pictures().iter().map(|picture| picture.seed).collect::<Vec<_>>(), [1]);
    assert_eq!(fixture.jobs.read(&pictures()[0]).unwrap(), vec![7; 100]);
    let next = fixture.submit("1");
    fixture.until(next, Status::Completed);
    assert_eq!((fixture.jobs.task(id).unwrap().status, pictures().len()), (Status::Cancelled, 1));
}

#[test]
fn what_was_kept_of_a_completed_task_is_stored_once() {
    let fixture = fixture(1, 10);
    fixture.controls.open.store(true, Ordering::Relaxed);
    let id = fixture.submit("keep");
    fixture.until(id, Status::Completed);
    let pictures = fixture.jobs.pictures(&PictureQuery { task: Some(id), ..PictureQuery::default() }).unwrap();
    assert_eq!(pictures.total, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_with_completion_has_one_winner() {
    let fixture = fixture(1, 10);
    let mut won = 0;
    for round in 0..60 {
        let id = fixture.submit("1");
        let mut watcher = fixture.jobs.watch(id, WatchOptions::default()).unwrap();
        std::thread::sleep(Duration::from_micros(round * 400));
        let cancelled = fixture.jobs.cancel(id);
        let mut last = None;
        while let Some(event) = watcher.next().await {
            last = Some(event.status);
        }
        let task = fixture.jobs.task(id).unwrap();
        let pictures = fixture.jobs.pictures(&PictureQuery { task: Some(id), ..PictureQuery::default() }).unwrap();
        assert_eq!(last, Some(task.status), "watchers and store agree");
        match cancelled {
            Ok(()) => assert_eq!((task.status, pictures.total), (Status::Cancelled, 0)),
            Err(Error::AlreadyEnded { status, .. }) => {
                assert_eq!((status, task.status, pictures.total), (Status::Completed, Status::Completed, 2));
            }
            Err(error) => panic!("{error}"),
        }
        won += usize::from(cancelled.is_ok());
    }
    println!("{won} of 60 cancellations came first");
}
