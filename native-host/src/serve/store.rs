//! The store of the tasks: this host's own, or one that several hosts share.

use super::{Config, Result};
use easel_jobs::{SqliteStore, Store};
use std::sync::Arc;

/// Opens the store.
pub(super) fn open(config: &Config) -> Result<Arc<dyn Store>> {
    #[cfg(feature = "cluster")]
    if let Some(shared) = &config.shared {
        let cluster = easel_jobs::Cluster {
            database: shared.store.expose().to_owned(),
            pictures: shared.pictures.expose().to_owned(),
            lease: config.lease,
        };
        return Ok(Arc::new(easel_jobs::PostgresStore::open(&cluster)?));
    }
    Ok(Arc::new(SqliteStore::open(&config.data)?))
}
