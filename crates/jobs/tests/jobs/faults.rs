//! Engines that fail, disks that refuse, other programs that lock the database.

use crate::engine::theatre;
use easel_jobs::{Part, Status};
use rusqlite::Connection;
use std::fs;
use std::time::Duration;

#[test]
fn an_engine_that_panics_or_fails_ends_its_task_and_goes_on() {
    let theatre = theatre(1, 10);
    let [panics, fails, works] = ["panic", "fail", "1"].map(|request| theatre.submit(request));
    theatre.until(works, Status::Completed);
    let reason = |id| theatre.until(id, Status::Error).error.unwrap();
    assert_eq!(reason(panics), "the engine panicked: a wire came loose");
    assert_eq!(reason(fails), "out of paint");
    theatre.jobs.check_store(Part::Database).unwrap();
    theatre.jobs.check_engines().unwrap();
}

#[test]
fn a_picture_that_cannot_be_written_is_an_error_of_its_task() {
    let theatre = theatre(1, 10);
    let pictures = theatre.folder.path().join("pictures");
    fs::remove_dir(&pictures).unwrap();
    fs::write(&pictures, "in the way").unwrap();
    let id = theatre.submit("1");
    let reason = theatre.until(id, Status::Error).error.unwrap();
    assert!(reason.contains("cannot write: "), "{reason}");
    fs::remove_file(&pictures).unwrap();
    fs::create_dir(&pictures).unwrap();
    let id = theatre.submit("1");
    theatre.until(id, Status::Completed);
}

#[test]
fn a_database_that_is_locked_delays_a_task_and_loses_nothing() {
    let theatre = theatre(1, 10);
    let other = Connection::open(theatre.folder.path().join("easel.db")).unwrap();
    let id = theatre.submit("100");
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::sleep(Duration::from_millis(800));
    assert_ne!(theatre.jobs.task(id).unwrap().status, Status::Completed, "reading goes on");
    other.execute_batch("COMMIT").unwrap();
    theatre.until(id, Status::Completed);
}

#[test]
fn an_end_that_the_database_refuses_is_written_when_it_does_not_any_more() {
    let theatre = theatre(1, 10);
    let other = Connection::open(theatre.folder.path().join("easel.db")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON picture BEGIN SELECT RAISE(ABORT, 'full'); END";
    other.execute_batch(full).unwrap();
    let [id, next] = ["1", "1"].map(|request| theatre.submit(request));
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(theatre.jobs.task(id).unwrap().status, Status::Processing);
    assert_eq!(theatre.jobs.task(next).unwrap().status, Status::Pending, "no work in vain");
    other.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(theatre.until(next, Status::Completed).attempts, 1);
    assert_eq!(theatre.until(id, Status::Completed).attempts, 1);
}

#[test]
fn f18_no_path_of_the_data_folder_is_in_what_clients_are_told() {
    let theatre = theatre(1, 10);
    let folder = theatre.folder.path().display().to_string();
    fs::remove_dir(theatre.folder.path().join("pictures")).unwrap();
    let id = theatre.submit("1");
    let reason = theatre.until(id, Status::Error).error.unwrap();
    assert!(reason.starts_with("cannot write: ") && !reason.contains(&folder), "{reason}");
    let missing = theatre.jobs.check_store(Part::Pictures).unwrap_err();
    assert!(missing.to_string().contains(&folder), "the operator is told where: {missing}");
    assert!(!missing.for_clients().contains(&folder), "{}", missing.for_clients());
}
