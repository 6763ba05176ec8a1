//! Ownership of data folders: a foreign folder is neither used nor changed, and Easel's is private to its owner.

use easel_jobs::{Ending, Error, Last, NewPicture, NewTask, PictureQuery, Preference, SqliteStore, Store};
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with one task that has one picture, and the picture's file.
fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let task = store.submit(&NewTask::default(), 1).unwrap();
    store.claim(&Preference::default()).unwrap();
    let picture = NewPicture { bytes: "picture".into(), media_type: "image/png".into(), seed: 3 };
    assert!(store.end(task.id, &Ending::Completed(vec![picture]), Last::default()).unwrap());
    let file = folder.path().join("pictures").join(format!("{}-0", task.id));
    (folder, file)
}

/// The same, as left by the version before markers.
fn unmarked() -> (TempDir, PathBuf) {
    let (folder, file) = folder();
    let database = Connection::open(folder.path().join("easel.db")).unwrap();
    let before = "DROP INDEX task_model; DROP INDEX task_queue; ALTER TABLE task DROP COLUMN model;
                  CREATE INDEX task_queue ON task (priority DESC, number) WHERE status = 'pending'; DROP TABLE run;
                  PRAGMA user_version = 2; PRAGMA application_id = 0; PRAGMA auto_vacuum = 0; VACUUM";
    database.execute_batch(before).unwrap();
    for name in ["easel-data", "ballast"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    (folder, file)
}

fn error(path: &Path) -> Error {
    SqliteStore::open(path).err().expect("an error")
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort_unstable();
    names
}

#[test]
fn f2_a_strangers_picture_survives_a_start() {
    let folder = TempDir::new().unwrap();
    let holiday = folder.path().join("pictures/holiday0.jpg");
    fs::create_dir(folder.path().join("pictures")).unwrap();
    fs::write(&holiday, "the sea").unwrap();
    let error = error(folder.path());
    assert!(matches!(error, Error::ForeignFolder { .. }), "{error}");
    assert!(error.to_string().contains("contains \"pictures\" and is not an Easel data folder"), "{error}");
    assert_eq!(fs::read_to_string(holiday).unwrap(), "the sea");
    assert_eq!(names(folder.path()), ["pictures"], "nothing was created");
}

#[test]
fn f2_a_strangers_database_is_not_taken_over() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("easel.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE task (id); PRAGMA user_version = 2").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(error(folder.path()), Error::ForeignFolder { .. }));
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::write(&path, "a shopping list").unwrap();
    assert!(matches!(error(folder.path()), Error::ForeignFolder { .. }));
}

#[test]
fn f2_a_start_with_an_emptied_or_a_missing_database_keeps_every_picture() {
    let (folder, file) = folder();
    let name = file.file_name().unwrap().to_owned();
    let lost = folder.path().join("lost+found").join(&name);
    let database = folder.path().join("easel.db");
    let saved = fs::read(&database).unwrap();
    fs::write(&database, "").unwrap();
    drop(SqliteStore::open(folder.path()).unwrap());
    assert_eq!(fs::read_to_string(&lost).unwrap(), "picture");
    fs::write(&file, "another").unwrap();
    fs::remove_file(&database).unwrap();
    drop(SqliteStore::open(folder.path()).unwrap());
    assert_eq!(names(lost.parent().unwrap()).len(), 2, "earlier files there are kept");

    fs::write(&database, saved).unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let [picture] = &store.pictures(&PictureQuery::default()).unwrap().items[..] else { panic!("one picture") };
    assert_eq!(store.read(picture).unwrap(), "picture", "it came back with its database");
}

#[test]
fn f2_foreign_files_among_the_pictures_are_left_alone() {
    let (folder, file) = folder();
    let pictures = file.parent().unwrap();
    let foreign = ["holiday0.jpg", "5E7B8A0E-0000-4000-8000-000000000000-0", "notes.partial"];
    for name in foreign {
        fs::write(pictures.join(name), "mine").unwrap();
    }
    fs::create_dir(pictures.join("5e7b8a0e-0000-4000-8000-000000000000-7")).unwrap();
    drop(SqliteStore::open(folder.path()).unwrap());
    assert_eq!(names(pictures).len(), 5);
    assert!(foreign.iter().all(|name| fs::read(pictures.join(name)).unwrap() == b"mine"));
    assert!(!folder.path().join("lost+found").exists());
}

#[test]
fn f2_the_folder_of_an_earlier_version_is_taken_over() {
    let (folder, file) = unmarked();
    let store = SqliteStore::open(folder.path()).unwrap();
    let [picture] = &store.pictures(&PictureQuery::default()).unwrap().items[..] else { panic!("one picture") };
    assert_eq!(store.read(picture).unwrap(), "picture");
    assert!(file.exists());
    drop(store);
    let number = |name: &str| {
        let database = Connection::open(folder.path().join("easel.db")).unwrap();
        database.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((number("application_id"), number("user_version")), (0x4561_736C, 4));
    assert_eq!(number("auto_vacuum"), 2, "f20: it can shrink from now on");
    assert_eq!(fs::read_to_string(folder.path().join("easel-data")).unwrap(), "easel data folder, layout 1\n");
}

#[test]
fn f2_a_folder_of_a_newer_version_is_refused() {
    let (folder, _) = folder();
    fs::write(folder.path().join("easel-data"), "easel data folder, layout 2\n").unwrap();
    assert!(matches!(error(folder.path()), Error::NewerFolder { found: 2, newest: 1, .. }));
    fs::write(folder.path().join("easel-data"), "a shopping list\n").unwrap();
    assert!(matches!(error(folder.path()), Error::ForeignFolder { .. }));
}

#[cfg(unix)]
mod unix {
    use super::{error, folder, names, unmarked};
    use easel_jobs::SqliteStore;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use tempfile::TempDir;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn f2_no_link_below_the_folder_is_followed() {
        let target = TempDir::new().unwrap();
        fs::write(target.path().join("5e7b8a0e-0000-4000-8000-000000000000-0"), "theirs").unwrap();
        let (folder, _) = folder();
        let pictures = folder.path().join("pictures");
        fs::remove_dir_all(&pictures).unwrap();
        symlink(target.path(), &pictures).unwrap();
        let refused = error(folder.path()).to_string();
        assert!(refused.contains("pictures: "), "{refused}");
        assert_eq!(names(target.path()).len(), 1);

        fs::remove_file(&pictures).unwrap();
        for name in ["easel.db", "easel.db-wal", "lock", "easel-data"] {
            let own = folder.path().join(name);
            let theirs = target.path().join(name);
            fs::write(&theirs, "theirs").unwrap();
            if own.exists() {
                fs::rename(&own, folder.path().join("saved")).unwrap();
            }
            symlink(&theirs, &own).unwrap();
            let refused = error(folder.path()).to_string();
            assert!(refused.contains(name), "{name}: {refused}");
            assert_eq!(fs::read(&theirs).unwrap(), b"theirs", "f20: {name} was not truncated");
            fs::remove_file(&own).unwrap();
            if folder.path().join("saved").exists() {
                fs::rename(folder.path().join("saved"), &own).unwrap();
            }
        }
        SqliteStore::open(folder.path()).unwrap();
    }

    #[test]
    fn f20_everything_is_private_to_its_owner() {
        let check = |root: &Path| {
            let store = SqliteStore::open(root).unwrap();
            let mut seen = 0;
            for path in names(root).iter().map(|name| root.join(name)).chain([root.to_owned()]) {
                let private = if path.is_dir() { 0o700 } else { 0o600 };
                assert_eq!(mode(&path), private, "{}", path.display());
                seen += 1;
            }
            assert!(seen > 6, "{seen} files");
            drop(store);
        };
        let (new, file) = folder();
        assert_eq!(mode(&file), 0o600);
        check(new.path());

        let (old, file) = unmarked();
        for (path, mode) in [(file.as_path(), 0o644), (file.parent().unwrap(), 0o755), (old.path(), 0o755)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(old.path().join("easel.db"), fs::Permissions::from_mode(0o644)).unwrap();
        check(old.path());
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().unwrap()), 0o700);
    }
}
