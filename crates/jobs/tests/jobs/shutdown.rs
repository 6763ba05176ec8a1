//! The end of the process, and the beginning of the next.

use crate::engine::{new_task, start, theatre};
use easel_jobs::{Error, Status, WatchOptions};
use std::time::Duration;

#[tokio::test]
async fn tasks_that_run_may_finish_and_the_others_wait_for_the_next_process() {
    let theatre = theatre(1, 10);
    let running = theatre.submit("40");
    theatre.until(running, Status::Processing);
    let waiting = theatre.submit("1");
    let mut watcher = theatre.jobs.watch(waiting, WatchOptions::default()).unwrap();
    theatre.jobs.shutdown(Duration::from_secs(20));

    assert_eq!(theatre.jobs.task(running).unwrap().status, Status::Completed);
    assert_eq!(theatre.jobs.task(waiting).unwrap().status, Status::Pending);
    assert_eq!(watcher.next().await.unwrap().status, Status::Pending);
    assert_eq!(watcher.next().await, None, "streams end");
    assert!(matches!(theatre.jobs.submit(&new_task("1")), Err(Error::ShuttingDown)));
    assert!(matches!(theatre.jobs.watch(waiting, WatchOptions::default()), Err(Error::ShuttingDown)));
    assert!(matches!(theatre.jobs.check_engines(), Err(Error::EngineEnded)));

    drop(theatre.jobs);
    let jobs = start(&theatre.folder, &theatre.stage, 1, 10);
    let mut watcher = jobs.watch(waiting, WatchOptions::default()).unwrap();
    while watcher.next().await.is_some() {}
    assert_eq!(jobs.task(waiting).unwrap().status, Status::Completed);
}

#[test]
fn a_task_that_does_not_finish_in_time_waits_again_and_the_attempt_does_not_count() {
    let theatre = theatre(1, 10);
    let id = theatre.submit("hold");
    theatre.until(id, Status::Processing);
    theatre.jobs.shutdown(Duration::from_millis(20));
    let task = theatre.jobs.task(id).unwrap();
    assert_eq!((task.status, task.attempts, task.started_at), (Status::Pending, 0, None));
}

#[test]
fn a_queue_without_engines_keeps_what_it_is_given() {
    let theatre = theatre(0, 1);
    let id = theatre.submit("1");
    assert!(matches!(theatre.jobs.submit(&new_task("1")), Err(Error::QueueFull { capacity: 1 })));
    assert_eq!(theatre.jobs.task(id).unwrap().status, Status::Pending);
    theatre.jobs.check_engines().unwrap();
}
