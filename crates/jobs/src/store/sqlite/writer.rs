//! The thread that writes to the database, and its bounded queue. Every call has a deadline: an abandoned call changes
//! nothing, even if its turn comes later or it has already started.

use super::Sql;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, ffi};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The most waiting calls. More would miss their deadlines.
const QUEUE: usize = 256;

/// How much longer than SQLite the caller waits, to get SQLite's own error.
const MARGIN: Duration = Duration::from_millis(100);

/// How long a caller waits for a commit that has begun: it cannot be undone, but the disk may be stuck.
const COMMIT: Duration = Duration::from_secs(10);

/// The call has not begun to commit.
const OPEN: u8 = 0;
/// It is committing: the caller will get an answer.
const COMMITTING: u8 = 1;
/// Its caller has given up.
const GIVEN_UP: u8 = 2;

/// The writing thread and its queue.
pub(super) struct Writer {
    calls: Option<SyncSender<Call>>,
    thread: Option<JoinHandle<()>>,
}

type Call = Box<dyn FnOnce(&mut Connection) + Send>;

/// The call was abandoned.
#[derive(Debug)]
pub(super) struct GivenUp;

/// A call's deadline and state.
pub(super) struct Turn {
    until: Instant,
    state: Arc<AtomicU8>,
}

impl Turn {
    /// The time left, at least a millisecond.
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    /// Promises the caller an answer; `false` if the caller has given up.
    fn commit(&self) -> bool {
        self.advance(COMMITTING)
    }

    /// Tries again, unless the caller has given up: the first attempt did not commit.
    pub(super) fn retry<T>(&self, step: impl FnOnce(&Self) -> Sql<T>) -> Sql<T> {
        let is_open = self.state.compare_exchange(COMMITTING, OPEN, Ordering::AcqRel, Ordering::Acquire).is_ok();
        let is_waiting = is_open || self.state.load(Ordering::Acquire) == OPEN;
        if is_waiting { step(self) } else { Err(given_up()) }
    }

    fn advance(&self, to: u8) -> bool {
        self.state.compare_exchange(OPEN, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Writer {
    /// Starts a thread that owns the connection.
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (calls, waiting) = mpsc::sync_channel(QUEUE);
        let thread = thread::Builder::new().name("easel-database".into()).spawn(move || work(connection, &waiting))?;
        Ok(Self { calls: Some(calls), thread: Some(thread) })
    }

    /// Runs `step` on the thread, and waits up to `patience` for it.
    pub(super) fn call<T: Send + 'static>(
        &self,
        patience: Duration,
        step: impl FnOnce(&mut Connection, &Turn) -> Sql<T> + Send + 'static,
    ) -> Result<Sql<T>, GivenUp> {
        let turn = Turn { until: Instant::now() + patience, state: Arc::default() };
        let own = Turn { until: turn.until, state: Arc::clone(&turn.state) };
        let (answer, answered) = mpsc::sync_channel(1);
        let call = Box::new(move |connection: &mut Connection| {
            if own.state.load(Ordering::Acquire) != GIVEN_UP {
                // The caller may have given up.
                let _ = answer.send(connection.busy_timeout(own.left()).and_then(|()| step(connection, &own)));
            }
        });
        let queue = self.calls.as_ref().ok_or(GivenUp)?;
        queue.try_send(call).map_err(|_| GivenUp)?;
        match answered.recv_timeout(patience + MARGIN) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) if turn.advance(GIVEN_UP) => Err(GivenUp),
            Err(RecvTimeoutError::Timeout) => answered.recv_timeout(COMMIT).map_err(|_| GivenUp),
            Err(RecvTimeoutError::Disconnected) => Err(GivenUp),
        }
    }
}

impl Drop for Writer {
    /// Closes the database before returning.
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to close.
            let _ = thread.join();
        }
    }
}

fn work(mut connection: Connection, calls: &Receiver<Call>) {
    for call in calls {
        // SQLite rolls back an open transaction, and the caller's channel disconnects.
        if catch_unwind(AssertUnwindSafe(|| call(&mut connection))).is_err() {
            tracing::error!("a call to the database panicked");
        }
    }
}

/// Performs one atomic step, unless the caller gives up before it is done.
pub(super) fn transact<T>(
    connection: &mut Connection,
    turn: &Turn,
    step: impl Fn(&Transaction<'_>) -> Sql<T>,
) -> Sql<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = step(&transaction)?;
    if !turn.commit() {
        return Err(given_up());
    }
    transaction.commit()?;
    Ok(done)
}

/// An error that nobody receives: the caller has given up.
fn given_up() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None)
}

/// Whether the disk is full. The log's shared memory is a file too, and fails with another code.
pub(super) fn has_no_room(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure))
}

/// Moves the log into the database and truncates it, unless a reader still needs it.
pub(super) fn checkpoint(connection: &Connection) -> Sql<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE number (value INTEGER)").unwrap();
        Writer::start(connection).unwrap()
    }

    fn insert(writer: &Writer, patience: u64, before: impl Fn() + Send + 'static) -> Result<Sql<usize>, GivenUp> {
        writer.call(Duration::from_millis(patience), move |connection, turn| {
            transact(connection, turn, |transaction| {
                before();
                transaction.execute("INSERT INTO number VALUES (1)", [])
            })
        })
    }

    fn count(writer: &Writer) -> usize {
        let count = "SELECT count(*) FROM number";
        writer.call(Duration::from_secs(5), |c, _| c.query_row(count, [], |row| row.get(0))).unwrap().unwrap()
    }

    #[test]
    fn f9_a_call_that_is_given_up_changes_nothing_and_its_caller_waits_no_longer_than_its_deadline() {
        let writer = writer();
        let began = Instant::now();
        assert!(insert(&writer, 20, || thread::sleep(Duration::from_millis(400))).is_err());
        assert!(began.elapsed() < Duration::from_millis(390), "{:?}", began.elapsed());
        assert!(insert(&writer, 20, || ()).is_err(), "the first is still at work");
        assert_eq!(count(&writer), 0);
        assert_eq!(insert(&writer, 5000, || ()).unwrap().unwrap(), 1);
        assert_eq!(count(&writer), 1);
    }

    #[test]
    fn f9_the_queue_is_bounded_and_a_panic_does_not_end_the_thread() {
        let writer = Arc::new(writer());
        assert!(insert(&writer, 1000, || panic!("a wire came loose")).is_err());
        let (release, held) = mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let first = Arc::clone(&writer);
        let first = thread::spawn(move || insert(&first, 5000, move || assert!(held.lock().unwrap().recv().is_err())));
        thread::sleep(Duration::from_millis(50));
        for _ in 0..QUEUE {
            writer.calls.as_ref().unwrap().try_send(Box::new(|_| ())).unwrap();
        }
        let began = Instant::now();
        assert!(insert(&writer, 5000, || ()).is_err());
        assert!(began.elapsed() < Duration::from_millis(100), "it does not wait for a full queue");
        drop(release);
        assert_eq!(first.join().unwrap().unwrap().unwrap(), 1);
        assert_eq!(count(&writer), 1);
    }
}
