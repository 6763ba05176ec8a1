//! Where the tests have their tasks: a database of the test's server, and a folder of pictures.

use crate::server::{self, Server};
use easel_jobs::{Cluster, PostgresStore, Store};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// After how many attempts that ended without the host a task fails.
pub(crate) const ATTEMPTS: u32 = 3;

/// How many random runs there are: each has a database of its own.
pub(crate) const CASES: u32 = 10;

/// Longer than any test, so that leases run out only when a test says so.
const LEASE: Duration = Duration::from_secs(600);

/// The server of this program. Without PostgreSQL there is nothing to test, and the program ends.
pub(crate) fn server() -> &'static Server {
    server::server().unwrap_or_else(|| std::process::exit(0))
}

/// The database and the pictures of a folder; the database is made at the first call.
pub(crate) fn cluster(folder: &TempDir) -> Cluster {
    let name = folder.path().join("database");
    let pictures = folder.path().join("pictures");
    if !name.exists() {
        fs::write(&name, server().make_database()).unwrap();
        fs::create_dir(&pictures).unwrap();
    }
    Cluster {
        database: server().url(&fs::read_to_string(&name).unwrap()),
        pictures: format!("file://{}", pictures.display()),
        lease: LEASE,
    }
}

/// A host of its own.
pub(crate) fn host(folder: &TempDir) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(&cluster(folder)).unwrap())
}

pub(crate) fn store(folder: &TempDir) -> Arc<dyn Store> {
    host(folder)
}

/// All hosts have been silent for longer than their leases.
pub(crate) fn all_die(folder: &TempDir) {
    sql(folder, "UPDATE task SET lease_until = 0 WHERE status = 'processing'");
}

/// What `psql` prints for a statement.
pub(crate) fn sql(folder: &TempDir, statement: &str) -> String {
    let name = fs::read_to_string(folder.path().join("database")).unwrap();
    server().sql(&name, statement)
}

/// How many files of pictures there are.
pub(crate) fn files(folder: &TempDir) -> usize {
    count(&folder.path().join("pictures"))
}

fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}
