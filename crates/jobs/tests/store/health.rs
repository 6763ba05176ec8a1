//! The store's health checks: each fails when its part does not work.

use easel_jobs::{
    Ending, Error, Last, NewPicture, NewTask, Part, Picture, PictureQuery, Preference, SqliteStore, Store,
};
use rusqlite::Connection;
use std::fs;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn store() -> (TempDir, SqliteStore) {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open_with(folder.path(), Duration::from_millis(50)).unwrap();
    for part in [Part::Database, Part::Disk, Part::Pictures] {
        store.check(part).unwrap();
    }
    (folder, store)
}

fn picture(store: &SqliteStore) -> Picture {
    store.submit(&NewTask::default(), 1).unwrap();
    let task = store.claim(&Preference::default()).unwrap().unwrap().task;
    let picture = NewPicture { bytes: "picture".into(), media_type: "image/png".into(), seed: 3 };
    assert!(store.end(task.id, &Ending::Completed(vec![picture]), Last::default()).unwrap());
    let query = PictureQuery { task: Some(task.id), ..PictureQuery::default() };
    store.pictures(&query).unwrap().items.remove(0)
}

#[test]
fn f10_a_deleted_or_replaced_database_is_reported() {
    let (folder, store) = store();
    let path = folder.path().join("easel.db");
    let saved = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let gone = store.check(Part::Database).unwrap_err();
    assert!(matches!(gone, Error::Replaced { .. }), "{gone}");
    fs::write(&path, saved).unwrap();
    let replaced = store.check(Part::Database).unwrap_err();
    assert!(matches!(replaced, Error::Replaced { .. }), "{replaced}");
    assert!(!replaced.for_clients().contains("easel.db"));
}

#[test]
fn f10_an_overwritten_database_is_reported() {
    let (folder, store) = store();
    let path = folder.path().join("easel.db");
    let length = fs::metadata(&path).unwrap().len() as usize;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut &file, &vec![b'x'; length]).unwrap();
    let overwritten = store.check(Part::Database).unwrap_err();
    assert!(matches!(overwritten, Error::Corrupt { .. }), "{overwritten}");
}

#[test]
fn f10_a_missing_folder_of_pictures_is_reported() {
    let (folder, store) = store();
    let pictures = folder.path().join("pictures");
    fs::rename(&pictures, folder.path().join("moved")).unwrap();
    let missing = store.check(Part::Pictures).unwrap_err();
    assert!(missing.to_string().contains("pictures: cannot open folder: "), "{missing}");
    fs::rename(folder.path().join("moved"), &pictures).unwrap();
    store.check(Part::Pictures).unwrap();
}

#[test]
fn f9_a_locked_database_costs_each_call_its_deadline_and_reading_nothing() {
    let (folder, store) = store();
    let waiting = store.submit(&NewTask::default(), 9).unwrap();
    let other = Connection::open(folder.path().join("easel.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let refused = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..20).map(|_| scope.spawn(|| store.submit(&NewTask::default(), 9))).collect();
        calls.into_iter().map(|call| call.join().unwrap().unwrap_err()).collect::<Vec<_>>()
    });
    assert!(refused.iter().all(Error::is_temporary), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "they wait at the same time, not one after the other");
    let began = Instant::now();
    assert_eq!(store.task(waiting.id).unwrap(), waiting);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(store.tasks(&Default::default()).unwrap().total, 1, "what was refused was not queued");
    store.submit(&NewTask::default(), 9).unwrap();
}

#[test]
fn f13_a_short_or_missing_file_is_told_from_a_deleted_picture_and_an_open_one_outlives_its_deletion() {
    let (folder, store) = store();
    let [short, gone, open] = [(); 3].map(|()| picture(&store));
    let path = |picture: &Picture| folder.path().join("pictures").join(format!("{}-0", picture.task));
    fs::write(path(&short), "pict").unwrap();
    fs::remove_file(path(&gone)).unwrap();
    assert!(matches!(store.read(&short), Err(Error::DamagedPicture { found: 4, expected: 7, .. })));
    assert!(matches!(store.read(&gone), Err(Error::UnknownPicture { .. })));
    let mut reader = store.open(&open, 2).unwrap();
    store.delete_picture(open.id).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    assert_eq!(text, "cture");
}

#[test]
fn f19_a_run_survives_a_restart_and_no_second_one_starts_beside_it() {
    let (folder, store) = store();
    let first = store.start_run(&NewTask::default(), 9).unwrap();
    drop(store);
    let store = SqliteStore::open(folder.path()).unwrap();
    assert!(matches!(store.start_run(&NewTask::default(), 9), Err(Error::RunInProgress)));
    assert!(matches!(store.take_run(), Err(Error::RunNotComplete)));
    store.claim(&Preference::default()).unwrap();
    assert!(matches!(store.start_run(&NewTask::default(), 9), Err(Error::RunInProgress)));
    let pictures = ["a", "b"].map(|text| NewPicture { bytes: text.into(), media_type: "image/png".into(), seed: 3 });
    assert!(store.end(first.id, &Ending::Completed(pictures.to_vec()), Last::default()).unwrap());
    drop(store);
    let store = SqliteStore::open(folder.path()).unwrap();
    let run = store.latest_run().unwrap().unwrap();
    assert_eq!((run.task.id, run.taken), (first.id, false));
    let picture = store.take_run().unwrap();
    assert_eq!((picture.task, picture.number), (first.id, 0));
    assert!(matches!(store.take_run(), Err(Error::RunNotComplete)));
    assert!(store.latest_run().unwrap().unwrap().taken);
    let second = store.start_run(&NewTask::default(), 9).unwrap();
    assert_eq!(store.latest_run().unwrap().unwrap().task.id, second.id);
}

#[test]
fn f20_the_database_shrinks_when_tasks_are_deleted() {
    let (folder, store) = store();
    let task = NewTask { request: vec![1; 1 << 20], prompt: "a".repeat(1 << 20), ..NewTask::default() };
    for _ in 0..4 {
        let id = store.submit(&task, 9).unwrap().id;
        store.claim(&Preference::default()).unwrap();
        store.end(id, &Ending::Error("no".into()), Last::default()).unwrap();
    }
    let length = || fs::metadata(folder.path().join("easel.db")).unwrap().len();
    store.tidy().unwrap();
    Connection::open(folder.path().join("easel.db")).unwrap().execute_batch("PRAGMA wal_checkpoint").unwrap();
    let full = length();
    assert!(full > 4 << 20, "{full}");
    assert_eq!(store.delete_tasks(&Default::default()).unwrap(), 4);
    store.tidy().unwrap();
    assert!(length() < 1 << 20, "{} of {full}", length());
}
