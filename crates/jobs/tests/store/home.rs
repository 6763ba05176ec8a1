//! Where the random operations have their tasks: a data folder.

use easel_jobs::{SqliteStore, Store};
use std::sync::Arc;
use tempfile::TempDir;

/// After how many attempts that ended with the process a task fails.
pub(crate) const ATTEMPTS: u32 = 2;

/// How many random runs there are.
pub(crate) const CASES: u32 = 48;

pub(crate) fn store(folder: &TempDir) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(folder.path()).unwrap())
}

/// A killed process leaves nothing that says so.
pub(crate) fn all_die(_folder: &TempDir) {}

/// How many files of pictures there are.
pub(crate) fn files(folder: &TempDir) -> usize {
    std::fs::read_dir(folder.path().join("pictures")).unwrap().count()
}
