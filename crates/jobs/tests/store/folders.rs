//! Data folders that are damaged, foreign, in use, full or read-only, and the cleanup after a killed process.

use easel_jobs::{
    Ending, Error, Jobs, Last, NewPicture, NewTask, Options, Part, PictureQuery, Preference, Retention, SqliteStore,
    Status, Store,
};
use rusqlite::Connection;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder with one task that has one picture.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    complete_one(&SqliteStore::open(folder.path()).unwrap());
    folder
}

fn complete_one(store: &SqliteStore) {
    store.submit(&NewTask::default(), 1).unwrap();
    let id = store.claim(&Preference::default()).unwrap().unwrap().task.id;
    let picture = NewPicture { bytes: "picture".into(), media_type: "image/png".into(), seed: 3 };
    assert!(store.end(id, &Ending::Completed(vec![picture]), Last::default()).unwrap());
}

fn open_error(folder: &TempDir) -> Error {
    SqliteStore::open(folder.path()).err().expect("an error")
}

#[test]
fn a_damaged_database_is_named_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("easel.db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..middle].fill(0xA5);
    fs::write(&path, &bytes).unwrap();
    let error = open_error(&folder);
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("easel.db: the database is damaged: "), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);

    fs::write(&path, "a shopping list, not a database, and long enough to be looked at".repeat(20)).unwrap();
    let error = open_error(&folder);
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[test]
fn a_newer_database_is_refused() {
    let folder = folder();
    Connection::open(folder.path().join("easel.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = open_error(&folder);
    assert!(matches!(error, Error::NewerSchema { found: 99, newest: 4, .. }), "{error}");
}

#[test]
fn a_folder_has_one_owner_at_a_time() {
    let folder = folder();
    let store = SqliteStore::open(folder.path()).unwrap();
    let error = open_error(&folder);
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    drop(store);
    SqliteStore::open(folder.path()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = folder();
    fs::remove_dir_all(folder.path().join("pictures")).unwrap();
    fs::write(folder.path().join("pictures"), "in the way").unwrap();
    let error = open_error(&folder).to_string();
    assert!(error.contains("pictures: cannot make folder: "), "{error}");
}

#[test]
fn a_database_that_refuses_a_picture_keeps_neither_file_nor_end() {
    let folder = folder();
    let store = SqliteStore::open(folder.path()).unwrap();
    let other = Connection::open(folder.path().join("easel.db")).unwrap();
    other.execute_batch("CREATE TRIGGER full BEFORE INSERT ON picture BEGIN SELECT RAISE(ABORT, 'full'); END").unwrap();
    let id = store.submit(&NewTask::default(), 1).unwrap().id;
    store.claim(&Preference::default()).unwrap();
    let pictures = vec![NewPicture { bytes: "new".into(), media_type: "image/png".into(), seed: 3 }];
    let error = store.end(id, &Ending::Completed(pictures.clone()), Last::default()).unwrap_err();
    assert!(error.to_string().ends_with("easel.db: full"), "{error}");
    assert_eq!(store.task(id).unwrap().status, Status::Processing);
    other.execute_batch("DROP TRIGGER full").unwrap();
    assert!(store.end(id, &Ending::Completed(pictures), Last::default()).unwrap(), "it can be tried again");
}

#[test]
fn a_database_that_stays_locked_is_an_error_and_reading_goes_on() {
    let folder = folder();
    let store = SqliteStore::open(folder.path()).unwrap();
    let other = Connection::open(folder.path().join("easel.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.check(Part::Database).unwrap_err();
    assert!(error.to_string().ends_with("easel.db: database is locked"), "{error}");
    assert_eq!(store.pictures(&PictureQuery::default()).unwrap().total, 1);
}

#[cfg(unix)]
#[test]
fn a_read_only_database_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("easel.db");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    if fs::OpenOptions::new().append(true).open(&path).is_ok() {
        return println!("skipped: this user may write to any file");
    }
    let refused = SqliteStore::open(folder.path()).and_then(|store| store.check(Part::Database));
    assert!(matches!(refused, Err(Error::Database { .. })), "{refused:?}");
}

#[test]
fn partial_pictures_of_a_killed_process_are_removed_and_finished_ones_stay() {
    let folder = folder();
    let pictures = folder.path().join("pictures");
    let stray = ["5e7b8a0e-0000-4000-8000-000000000000-0", "5e7b8a0e-0000-4000-8000-000000000000-1.partial"];
    for name in stray {
        fs::write(pictures.join(name), "half a pict").unwrap();
    }
    let store = SqliteStore::open(folder.path()).unwrap();
    assert_eq!(fs::read_dir(&pictures).unwrap().count(), 1);
    let [picture] = &store.pictures(&PictureQuery::default()).unwrap().items[..] else { panic!("one picture") };
    assert_eq!(store.read(picture).unwrap(), "picture");
}

#[test]
fn retention_clears_tasks_and_pictures() {
    let folder = folder();
    let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    complete_one(&store);
    let every_second = Some("* * * * * *".to_owned());
    let retention = Retention { tasks: every_second.clone(), pictures: every_second };
    let jobs =
        Jobs::start(Arc::clone(&store) as Arc<dyn Store>, Vec::new(), &Options { retention, capacity: 1 }).unwrap();
    let began = Instant::now();
    let rows = || jobs.tasks(&Default::default()).unwrap().total + jobs.pictures(&Default::default()).unwrap().total;
    let files = || fs::read_dir(folder.path().join("pictures")).unwrap().count();
    // A file is removed after its row, so that no row is ever without its file.
    while rows() > 0 || files() > 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{} rows and {} files are left", rows(), files());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_bad_schedule_is_refused_at_the_start() {
    let folder = folder();
    let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    let retention = Retention { tasks: Some("whenever".into()), pictures: None };
    let error = Jobs::start(store, Vec::new(), &Options { retention, capacity: 1 }).err().expect("an error");
    assert!(matches!(error, Error::Cron { field: "tasks", .. }), "{error}");
}
