//! Read-only connections. In write-ahead mode they never wait for the writer, only for a free connection.

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use std::time::{Duration, Instant};

/// A pool of connections.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        Self { idle: connections.into(), returned: Condvar::new() }
    }

    /// Runs a query on a free connection; `None` if none is free within `patience`.
    pub(super) fn query<T>(&self, patience: Duration, query: impl FnOnce(&mut Connection) -> T) -> Option<T> {
        let until = Instant::now() + patience;
        let mut idle = self.idle.lock();
        self.returned.wait_while_until(&mut idle, |idle| idle.is_empty(), until);
        let mut connection = idle.pop()?;
        drop(idle);
        let answer = query(&mut connection);
        self.idle.lock().push(connection);
        self.returned.notify_one();
        Some(answer)
    }
}
