//! The shutdown of a process, and the start of the next.

use crate::engine::{fixture, new_task, start};
use easel_jobs::{Error, Status, WatchOptions};
use std::time::Duration;

#[tokio::test]
async fn running_tasks_may_finish_and_the_others_wait_for_the_next_process() {
    let fixture = fixture(1, 10);
    let running = fixture.submit("40");
    fixture.until(running, Status::Processing);
    let waiting = fixture.submit("1");
    let mut watcher = fixture.jobs.watch(waiting, WatchOptions::default()).unwrap();
    fixture.jobs.shutdown(Duration::from_secs(20));

    assert_eq!(fixture.jobs.task(running).unwrap().status, Status::Completed);
    assert_eq!(fixture.jobs.task(waiting).unwrap().status, Status::Pending);
    assert_eq!(watcher.next().await.unwrap().status, Status::Pending);
    assert_eq!(watcher.next().await, None, "streams end");
    assert!(matches!(fixture.jobs.submit(&new_task("1")), Err(Error::ShuttingDown)));
    assert!(matches!(fixture.jobs.watch(waiting, WatchOptions::default()), Err(Error::ShuttingDown)));
    assert!(matches!(fixture.jobs.check_engines(), Err(Error::EngineEnded)));

    drop(fixture.jobs);
    let jobs = start(&fixture.folder, &fixture.controls, 1, 10);
    let mut watcher = jobs.watch(waiting, WatchOptions::default()).unwrap();
    while watcher.next().await.is_some() {}
    assert_eq!(jobs.task(waiting).unwrap().status, Status::Completed);
}

#[test]
fn a_task_that_does_not_finish_in_time_waits_again_and_the_attempt_does_not_count() {
    let fixture = fixture(1, 10);
    let id = fixture.submit("hold");
    fixture.until(id, Status::Processing);
    fixture.jobs.shutdown(Duration::from_millis(20));
    let task = fixture.jobs.task(id).unwrap();
    assert_eq!((task.status, task.attempts, task.started_at), (Status::Pending, 0, None));
}

#[test]
fn a_queue_without_engines_keeps_its_tasks() {
    let fixture = fixture(0, 1);
    let id = fixture.submit("1");
    assert!(matches!(fixture.jobs.submit(&new_task("1")), Err(Error::QueueFull { capacity: 1 })));
    assert_eq!(fixture.jobs.task(id).unwrap().status, Status::Pending);
    fixture.jobs.check_engines().unwrap();
}
