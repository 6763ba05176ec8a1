//! Read-only connections. In write-ahead mode they never wait for the writer, only for a free connection, and a query that
//! takes too long is interrupted: <https://sqlite.org/c3ref/progress_handler.html>.

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// The number of instructions of SQLite's virtual machine between two looks at the clock: some tens of microseconds.
const INSTRUCTIONS: i32 = 1000;

/// A pool of connections.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        Self { idle: connections.into(), returned: Condvar::new() }
    }

    /// Runs a query on a free connection; `None` if none is free within `patience`. A query that is still running by then
    /// fails with `SQLITE_INTERRUPT`.
    pub(super) fn query<T>(
        &self,
        patience: Duration,
        query: impl FnOnce(&mut Connection) -> Result<T>,
    ) -> Option<Result<T>> {
        let until = Instant::now() + patience;
        let mut idle = self.idle.lock();
        self.returned.wait_while_until(&mut idle, |idle| idle.is_empty(), until);
        let mut connection = idle.pop()?;
        drop(idle);
        // A panic must not cost the pool a connection.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            connection.progress_handler(INSTRUCTIONS, Some(move || Instant::now() >= until))?;
            query(&mut connection)
        }));
        self.idle.lock().push(connection);
        self.returned.notify_one();
        Some(answer.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ErrorCode;

    const ENDLESS: &str =
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number) SELECT max(n) FROM number";

    fn readers() -> Readers {
        Readers::new(vec![Connection::open_in_memory().unwrap()])
    }

    fn ask(readers: &Readers, sql: &str) -> Option<Result<i64>> {
        readers.query(Duration::from_millis(50), |connection| connection.query_row(sql, [], |row| row.get(0)))
    }

    #[test]
    fn f9_a_query_that_takes_too_long_is_interrupted_and_the_connection_serves_on() {
        let readers = readers();
        let error = ask(&readers, ENDLESS).unwrap().unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
        assert_eq!(ask(&readers, "SELECT 7").unwrap().unwrap(), 7);
    }

    #[test]
    fn f9_a_caller_waits_for_a_connection_no_longer_than_its_deadline() {
        let readers = readers();
        let within = readers.query(Duration::from_millis(50), |_| Ok(ask(&readers, "SELECT 7").is_none()));
        assert!(within.unwrap().unwrap(), "the only connection is in use");
    }

    #[test]
    fn a_panic_does_not_cost_a_connection() {
        let readers = readers();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            readers.query(Duration::from_millis(50), |_| -> Result<()> { panic!("a wire came loose") })
        }));
        assert!(panicked.is_err());
        assert_eq!(ask(&readers, "SELECT 7").unwrap().unwrap(), 7);
    }
}
