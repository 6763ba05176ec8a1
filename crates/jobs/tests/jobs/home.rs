//! Where the tests have their tasks: a data folder.

use easel_jobs::{SqliteStore, Store};
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) fn store(folder: &TempDir) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(folder.path()).unwrap())
}

/// How many files of pictures there are.
pub(crate) fn files(folder: &TempDir) -> usize {
    std::fs::read_dir(folder.path().join("pictures")).unwrap().count()
}
