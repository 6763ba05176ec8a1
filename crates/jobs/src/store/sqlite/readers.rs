//! Connections that only read. In write-ahead mode they never wait for the writer, only for each other.

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use std::time::{Duration, Instant};

/// Some connections, lent one at a time.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        Self { idle: connections.into(), returned: Condvar::new() }
    }

    /// Asks on one of the connections; `None` if all are lent for longer than `patience`.
    pub(super) fn ask<T>(&self, patience: Duration, question: impl FnOnce(&mut Connection) -> T) -> Option<T> {
        let until = Instant::now() + patience;
        let mut idle = self.idle.lock();
        self.returned.wait_while_until(&mut idle, |idle| idle.is_empty(), until);
        let mut connection = idle.pop()?;
        drop(idle);
        let answer = question(&mut connection);
        self.idle.lock().push(connection);
        self.returned.notify_one();
        Some(answer)
    }
}
