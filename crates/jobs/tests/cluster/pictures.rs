//! Pictures in an object store: read in parts, deleted, and cleared away if no task has them.

use crate::home::{files, host, sql};
use easel_jobs::{
    Ending, Error, Last, NewPicture, NewTask, Part, Picture, PictureQuery, PostgresStore, Preference, Selection,
    Status, Store,
};
use std::fs;
use std::io::Read;
use tempfile::TempDir;

fn drawn(store: &PostgresStore, bytes: Vec<u8>) -> Picture {
    let id = store.submit(&NewTask::default(), 9).unwrap().id;
    store.claim(&Preference::default()).unwrap().unwrap();
    let picture = NewPicture { bytes: bytes.into(), media_type: "image/png".into(), seed: 1 };
    assert!(store.end(id, &Ending::Completed(vec![picture]), Last::default()).unwrap());
    store.pictures(&PictureQuery { task: Some(id), ..PictureQuery::default() }).unwrap().items.remove(0)
}

#[test]
fn a_long_picture_is_read_in_parts() {
    let folder = TempDir::new().unwrap();
    let store = host(&folder);
    let bytes: Vec<u8> = (0..200_000u32).map(|place| (place % 251) as u8).collect();
    let picture = drawn(&store, bytes.clone());
    assert_eq!(store.read(&picture).unwrap(), bytes);
    for from in [0, 1, 100_000, 199_999, 200_000] {
        let mut part = Vec::new();
        store.open(&picture, from as u64).unwrap().read_to_end(&mut part).unwrap();
        assert!(part == bytes[from..], "from {from}");
    }
    let mut some = vec![0; 1000];
    store.open(&picture, 7).unwrap().read_exact(&mut some).unwrap();
    assert!(some == bytes[7..1007]);
}

#[test]
fn a_task_that_is_cancelled_twice_keeps_its_pictures() {
    let folder = TempDir::new().unwrap();
    let store = host(&folder);
    let id = store.submit(&NewTask::default(), 9).unwrap().id;
    store.claim(&Preference::default()).unwrap().unwrap();
    let finished = [NewPicture { bytes: "picture".into(), media_type: "image/png".into(), seed: 1 }];
    store.cancel(id, None, &finished).unwrap();
    for _ in 0..3 {
        assert!(matches!(store.cancel(id, None, &finished), Err(Error::AlreadyEnded { .. })));
    }
    let kept = store.pictures(&PictureQuery { task: Some(id), ..PictureQuery::default() }).unwrap().items;
    assert_eq!(kept.len(), 1);
    assert_eq!(store.read(&kept[0]).unwrap(), "picture");
    assert_eq!(files(&folder), 1);
}

#[test]
fn a_deleted_picture_is_told_from_a_damaged_one() {
    let folder = TempDir::new().unwrap();
    let store = host(&folder);
    let [damaged, gone, deleted] = [1, 2, 3].map(|number| drawn(&store, vec![number; 10]));
    let path = |picture: &Picture| {
        let object = sql(&folder, &format!("SELECT object FROM picture WHERE id = {}", picture.id));
        folder.path().join("pictures").join(object)
    };
    fs::write(path(&damaged), "PNG").unwrap();
    fs::remove_file(path(&gone)).unwrap();
    store.delete_picture(deleted.id).unwrap();
    assert!(matches!(store.read(&damaged), Err(Error::DamagedPicture { found: 3, expected: 10, .. })));
    assert!(matches!(store.open(&damaged, 8), Err(Error::DamagedPicture { found: 3, expected: 10, .. })));
    assert!(matches!(store.read(&gone), Err(Error::UnknownPicture { .. })));
    assert!(matches!(store.read(&deleted), Err(Error::UnknownPicture { .. })));
    assert!(matches!(store.delete_picture(deleted.id), Err(Error::UnknownPicture { .. })));
    assert_eq!(store.delete_pictures().unwrap(), 2);
    assert_eq!(files(&folder), 0);
}

#[test]
fn objects_that_no_task_has_are_cleared_away_once_nobody_can_be_writing_them() {
    let folder = TempDir::new().unwrap();
    let store = host(&folder);
    let kept = drawn(&store, vec![1; 10]);
    fs::create_dir(folder.path().join("pictures/dead")).unwrap();
    for name in ["old-0", "new-0"] {
        fs::write(folder.path().join("pictures/dead").join(name), "half a picture").unwrap();
    }
    sql(
        &folder,
        "INSERT INTO stray (object, since) VALUES ('dead/old-0', easel_now() - 7200000000), ('dead/new-0', easel_now())",
    );
    store.tidy().unwrap();
    assert_eq!(files(&folder), 2);
    assert!(folder.path().join("pictures/dead/new-0").exists());
    assert_eq!(store.read(&kept).unwrap(), vec![1; 10]);
}

#[test]
fn an_object_that_is_being_deleted_becomes_no_picture() {
    let folder = TempDir::new().unwrap();
    let store = host(&folder);
    let id = store.submit(&NewTask::default(), 9).unwrap().id;
    store.claim(&Preference::default()).unwrap().unwrap();
    let mark = "INSERT INTO stray (object, removing) SELECT id || '/' || attempt || '-0', true FROM task";
    sql(&folder, mark);
    let picture = NewPicture { bytes: "a".into(), media_type: "image/png".into(), seed: 1 };
    let ending = Ending::Completed(vec![picture]);
    assert!(store.end(id, &ending, Last::default()).unwrap_err().is_temporary());
    assert_eq!(store.task(id).unwrap().status, Status::Processing);
    sql(&folder, "DELETE FROM stray");
    assert!(store.end(id, &ending, Last::default()).unwrap());
    assert_eq!(files(&folder), 1);
}

#[test]
fn thousands_of_tasks_pictures_and_events_are_deleted() {
    let folder = TempDir::new().unwrap();
    let store = host(&folder);
    sql(
        &folder,
        "INSERT INTO task (id, status, priority, prompt, seed, request, completed_at)
             SELECT gen_random_uuid(), CASE WHEN n % 2 = 0 THEN 'error' ELSE 'completed' END, 1, '', 0, '', 1
             FROM generate_series(1, 5001) AS n;
         INSERT INTO picture (task, number, object, prompt, seed, media_type, length, digest)
             SELECT id, 0, id || '/0', '', 0, 'image/png', 1, '' FROM task WHERE status = 'completed';
         INSERT INTO event (task, id, status, step, steps) SELECT id, 0, 'processing', 1, 1 FROM task",
    );
    let waiting = store.submit(&NewTask::default(), 9).unwrap().id;
    let failed = Selection { ids: None, status: Some(Status::Error) };
    assert_eq!(store.delete_tasks(&failed).unwrap(), 2500);
    assert_eq!(store.delete_tasks(&Selection::default()).unwrap(), 2501);
    assert_eq!(
        store.delete_tasks(&Selection { ids: Some(vec![waiting]), status: None }).unwrap(),
        0,
        "it has not ended"
    );
    assert_eq!(store.delete_pictures().unwrap(), 2501);
    store.tidy().unwrap();
    assert_eq!(sql(&folder, "SELECT (SELECT count(*) FROM stray) + (SELECT count(*) FROM event)"), "0");
    assert_eq!(store.counts().unwrap().of(Status::Pending), 1);
}

#[test]
fn a_folder_that_goes_away_is_reported_and_loses_no_task() {
    let folder = TempDir::new().unwrap();
    let store = host(&folder);
    store.check(Part::Pictures).unwrap();
    store.check(Part::Database).unwrap();
    fs::rename(folder.path().join("pictures"), folder.path().join("moved")).unwrap();
    let missing = store.check(Part::Pictures).unwrap_err();
    assert!(missing.is_temporary() && !missing.for_clients().contains("pictures/"), "{missing}");
    let id = store.submit(&NewTask::default(), 9).unwrap().id;
    store.claim(&Preference::default()).unwrap().unwrap();
    let picture = NewPicture { bytes: "a".into(), media_type: "image/png".into(), seed: 1 };
    let ending = Ending::Completed(vec![picture]);
    assert!(store.end(id, &ending, Last::default()).unwrap_err().is_temporary());
    fs::rename(folder.path().join("moved"), folder.path().join("pictures")).unwrap();
    assert!(store.end(id, &ending, Last::default()).unwrap());
}
