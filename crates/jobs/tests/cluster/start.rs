//! Starts: of several hosts at once, with a database of a newer version, and with what cannot be reached.

use crate::home::{cluster, host, server, sql};
use easel_jobs::{Cluster, Error, PostgresStore, Store};
use std::thread;
use tempfile::TempDir;

fn error(cluster: &Cluster) -> Error {
    PostgresStore::open(cluster).err().expect("an error")
}

#[test]
fn hosts_that_start_together_migrate_once() {
    let folder = TempDir::new().unwrap();
    let cluster = cluster(&folder);
    let opened: Vec<_> = thread::scope(|scope| {
        let opening: Vec<_> = (0..6).map(|_| scope.spawn(|| PostgresStore::open(&cluster))).collect();
        opening.into_iter().map(|opening| opening.join().unwrap()).collect()
    });
    for store in opened {
        store.unwrap().counts().unwrap();
    }
    assert_eq!(sql(&folder, "SELECT count(*) FROM _sqlx_migrations"), "2");
}

#[test]
fn a_newer_database_is_refused() {
    let folder = TempDir::new().unwrap();
    drop(host(&folder));
    sql(&folder, "INSERT INTO _sqlx_migrations VALUES (99, 'easel', now(), true, '', 0)");
    let error = error(&cluster(&folder));
    assert!(matches!(error, Error::NewerSchema { found: 99, newest: 2, .. }), "{error}");
}

#[test]
fn what_cannot_be_reached_is_named_without_its_password() {
    let folder = TempDir::new().unwrap();
    let good = cluster(&folder);
    let store = |database: &str| error(&Cluster { database: database.into(), ..good.clone() }).to_string();
    let refused = store("postgres://me:secret@127.0.0.1:1/easel");
    assert!(refused.starts_with("store: ") && !refused.contains("secret"), "{refused}");
    let refused = store(&server().url("nothing"));
    assert!(refused.starts_with("store: ") && refused.contains("\"nothing\" does not exist"), "{refused}");
    for malformed in ["mysql://me:secret@host/easel", "postgres://me:secret@host:port/easel", "secret"] {
        assert_eq!(store(malformed), "store: expected postgres://USER:PASSWORD@HOST/NAME");
    }
    let pictures = error(&Cluster { pictures: "file:///no/such/folder".into(), ..good.clone() }).to_string();
    assert_eq!(pictures, "pictures: /no/such/folder: no such folder");
}

#[test]
fn every_kind_of_store_of_pictures_opens_or_says_what_it_lacks() {
    let folder = TempDir::new().unwrap();
    let good = cluster(&folder);
    let open = |pictures: &str| PostgresStore::open(&Cluster { pictures: pictures.into(), ..good.clone() });
    // Whether their keys are right shows when the first picture is written, or when somebody asks for their health.
    open("s3://bucket/easel").unwrap();
    open("gs://bucket/easel").unwrap();
    for (url, reason) in [
        ("az://container/easel", "Account must be specified"),
        ("s3://", "Unable to recognise URL"),
        ("ftp://host/easel", "expected s3://BUCKET/PREFIX, gs://BUCKET/PREFIX"),
    ] {
        let refused = open(url).err().unwrap_or_else(|| panic!("{url} was opened")).to_string();
        assert!(refused.starts_with("pictures: ") && refused.contains(reason), "{url}: {refused}");
    }
}
