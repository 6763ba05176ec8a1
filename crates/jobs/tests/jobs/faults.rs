//! Engines that fail, disks that cannot be written, other programs that lock the database.

use crate::engine::fixture;
use easel_jobs::{Part, Status};
use rusqlite::Connection;
use std::fs;
use std::time::Duration;

#[test]
fn an_engine_that_panics_or_fails_ends_its_task_and_carries_on() {
    let fixture = fixture(1, 10);
    let [panics, fails, works] = ["panic", "fail", "1"].map(|request| fixture.submit(request));
    fixture.until(works, Status::Completed);
    let reason = |id| fixture.until(id, Status::Error).error.unwrap();
    assert_eq!(reason(panics), "the engine panicked: a wire came loose");
    assert_eq!(reason(fails), "out of paint");
    fixture.jobs.check_store(Part::Database).unwrap();
    fixture.jobs.check_engines().unwrap();
}

#[test]
fn a_picture_that_cannot_be_written_is_an_error_of_its_task() {
    let fixture = fixture(1, 10);
    let pictures = fixture.folder.path().join("pictures");
    fs::remove_dir(&pictures).unwrap();
    fs::write(&pictures, "in the way").unwrap();
    let id = fixture.submit("1");
    let reason = fixture.until(id, Status::Error).error.unwrap();
    assert!(reason.contains("cannot write: "), "{reason}");
    fs::remove_file(&pictures).unwrap();
    fs::create_dir(&pictures).unwrap();
    let id = fixture.submit("1");
    fixture.until(id, Status::Completed);
}

#[test]
fn a_database_that_is_locked_delays_a_task_and_loses_nothing() {
    let fixture = fixture(1, 10);
    let other = Connection::open(fixture.folder.path().join("easel.db")).unwrap();
    let id = fixture.submit("100");
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::sleep(Duration::from_millis(800));
    assert_ne!(fixture.jobs.task(id).unwrap().status, Status::Completed, "reading goes on");
    other.execute_batch("COMMIT").unwrap();
    fixture.until(id, Status::Completed);
}

#[test]
fn an_end_that_the_database_refuses_is_written_later() {
    let fixture = fixture(1, 10);
    let other = Connection::open(fixture.folder.path().join("easel.db")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON picture BEGIN SELECT RAISE(ABORT, 'full'); END";
    other.execute_batch(full).unwrap();
    let [id, next] = ["1", "1"].map(|request| fixture.submit(request));
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(fixture.jobs.task(id).unwrap().status, Status::Processing);
    assert_eq!(fixture.jobs.task(next).unwrap().status, Status::Pending, "no other task is started");
    other.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(fixture.until(next, Status::Completed).attempts, 1);
    assert_eq!(fixture.until(id, Status::Completed).attempts, 1);
}

#[test]
fn f18_messages_for_clients_have_no_path_of_the_data_folder() {
    let fixture = fixture(1, 10);
    let folder = fixture.folder.path().display().to_string();
    fs::remove_dir(fixture.folder.path().join("pictures")).unwrap();
    let id = fixture.submit("1");
    let reason = fixture.until(id, Status::Error).error.unwrap();
    assert!(reason.starts_with("cannot write: ") && !reason.contains(&folder), "{reason}");
    let missing = fixture.jobs.check_store(Part::Pictures).unwrap_err();
    assert!(missing.to_string().contains(&folder), "the operator sees the path: {missing}");
    assert!(!missing.for_clients().contains(&folder), "{}", missing.for_clients());
}
