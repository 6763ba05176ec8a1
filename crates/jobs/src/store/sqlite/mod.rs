//! The store of one host: an SQLite database in write-ahead mode, with the pictures as files beside it.
//!
//! One thread writes ([`writer`]); other connections only read ([`readers`]). Each call has a deadline, so a locked
//! database or a stuck disk delays callers no longer than that.

mod pictures;
mod queue;
mod readers;
mod rows;
mod run;
pub(super) mod schema;
mod tasks;
mod upkeep;
mod writer;

use super::folder::Folder;
use super::{Claimed, Ending, Part, Standing, Store};
use crate::{
    Counts, Error, Last, NewPicture, NewTask, Page, Picture, PictureId, PictureQuery, Preference, Result, Run,
    Selection, Status, Task, TaskId, TaskQuery,
};
use parking_lot::Mutex;
use readers::Readers;
use rows::PICTURE;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, ToSql, Transaction, TransactionBehavior};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use writer::{GivenUp, Writer, transact};

/// How long a call may take: another program, such as a backup, may have the database locked.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest log after a checkpoint, in bytes.
const LOG_BYTES: i64 = 4 << 20;

/// The number of reading connections.
const READERS: usize = 2;

/// SQLite's result, before the database's path is added to the error.
type Sql<T> = rusqlite::Result<T>;

/// The store of one host: a data folder, open in one process at a time.
pub struct SqliteStore {
    // Fields are dropped in this order: the file after the connections, and the locked folder last.
    writer: Writer,
    readers: Readers,
    file: File,
    folder: Arc<Folder>,
    path: PathBuf,
    patience: Duration,
    /// Held while a task ends with pictures, because two ends of one task would write the same files.
    ending: Mutex<()>,
}

impl SqliteStore {
    /// Opens the store in this folder, making or migrating it if needed, and cleans up after a killed process.
    /// [`Error::ForeignFolder`], [`Error::InUse`], [`Error::Corrupt`].
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, PATIENCE)
    }

    /// The same with a deadline for every call; a call that misses it is [`Error::Busy`].
    pub fn open_with(root: &Path, patience: Duration) -> Result<Self> {
        let folder = Folder::open(root)?;
        let path = folder.database();
        let file = folder.open_database()?;
        let failed = |reason| schema::database_error(&path, reason);
        let mut connection = connect(&path, patience).map_err(failed)?;
        schema::check_sound(&connection, &path)?;
        schema::migrate(&mut connection, &path)?;
        if !schema::adopt(&connection).map_err(failed)? {
            tracing::warn!("the database cannot shrink: there was not enough disk space to convert it");
        }
        // The health check reads the start of the file.
        writer::checkpoint(&connection).map_err(failed)?;
        folder.sweep(&upkeep::known(&connection).map_err(failed)?)?;
        let readers = (0..READERS).map(|_| connect(&path, patience)).collect::<Sql<_>>().map_err(failed)?;
        let writer = Writer::start(connection).map_err(|reason| Error::Thread { reason })?;
        Ok(Self {
            writer,
            readers: Readers::new(readers),
            file,
            folder: folder.into(),
            path,
            patience,
            ending: Mutex::default(),
        })
    }

    fn error(&self, reason: rusqlite::Error) -> Error {
        schema::database_error(&self.path, reason)
    }

    fn busy(&self) -> Error {
        Error::Busy { patience: self.patience }
    }

    /// Reads from one snapshot.
    fn read<T>(&self, query: impl FnOnce(&Transaction<'_>) -> Sql<T>) -> Result<T> {
        let answer = self.readers.query(self.patience, |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            query(&transaction)
        });
        match answer {
            None => Err(self.busy()),
            Some(Err(reason)) if reason.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                Err(self.busy())
            }
            Some(answer) => answer.map_err(|reason| self.error(reason)),
        }
    }

    /// Performs one atomic step.
    fn write<T: Send + 'static>(&self, step: impl Fn(&Transaction<'_>) -> Sql<T> + Send + 'static) -> Result<T> {
        let answer = self.writer.call(self.patience, |connection, turn| transact(connection, turn, step));
        answer.map_err(|GivenUp| self.busy())?.map_err(|reason| self.error(reason))
    }

    /// Performs one atomic step that frees space or ends a task. On a full disk it uses the reserved space.
    fn release<T: Send + 'static>(&self, step: impl Fn(&Transaction<'_>) -> Sql<T> + Send + 'static) -> Result<T> {
        let folder = Arc::clone(&self.folder);
        let answer = self.writer.call(self.patience, move |connection, turn| match transact(connection, turn, &step) {
            Err(error) if writer::has_no_room(&error) => {
                folder.make_room();
                // The log takes space, too. If this fails, so does the retry.
                let _ = writer::checkpoint(connection);
                turn.retry(|turn| transact(connection, turn, &step))
            }
            done => done,
        });
        answer.map_err(|GivenUp| self.busy())?.map_err(|reason| self.error(reason))
    }

    /// Writes the pictures to the disk, then the task's end to the database.
    fn complete(&self, id: TaskId, pictures: &[NewPicture], last: Last) -> Result<bool> {
        let _turn = self.ending.lock();
        if self.task(id)?.status != Status::Processing {
            return Ok(false);
        }
        self.folder.write(id, pictures)?;
        let records: Vec<pictures::Record> = pictures.iter().map(pictures::Record::of).collect();
        let completed = self.write(move |transaction| {
            let completed = tasks::finish(transaction, id, Status::Completed, None, Some(last))?;
            if completed {
                pictures::insert(transaction, id, &records)?;
            }
            Ok(completed)
        })?;
        if !completed {
            self.folder.remove(id, pictures.len());
        }
        Ok(completed)
    }

    /// Cancels a task, and keeps the pictures whose files were written.
    fn cancel_with(&self, id: TaskId, last: Option<Last>, pictures: Vec<pictures::Record>) -> Result<Task> {
        let before = self.release(move |transaction| {
            let before = tasks::find(transaction, id)?;
            if before.as_ref().is_some_and(|task| !task.status.is_end()) {
                tasks::finish(transaction, id, Status::Cancelled, None, last)?;
                pictures::insert(transaction, id, &pictures)?;
            }
            Ok(before)
        })?;
        match before.ok_or(Error::UnknownTask { id })? {
            Task { status, .. } if status.is_end() => Err(Error::AlreadyEnded { id, status }),
            task => Ok(task),
        }
    }
}

impl Store for SqliteStore {
    fn submit(&self, new: &NewTask, capacity: usize) -> Result<Task> {
        let new = new.clone();
        self.write(move |transaction| tasks::insert(transaction, &new, capacity))?.ok_or(Error::QueueFull { capacity })
    }

    fn start_run(&self, new: &NewTask, capacity: usize) -> Result<Task> {
        let new = new.clone();
        let started = self.write(move |transaction| {
            if run::is_in_progress(transaction)? {
                return Ok(None);
            }
            let task = tasks::insert(transaction, &new, capacity)?;
            if let Some(task) = &task {
                run::begin(transaction, task.id)?;
            }
            Ok(Some(task))
        });
        started?.ok_or(Error::RunInProgress)?.ok_or(Error::QueueFull { capacity })
    }

    fn latest_run(&self) -> Result<Option<Run>> {
        self.read(|transaction| run::latest(transaction))
    }

    fn take_run(&self) -> Result<Picture> {
        self.write(run::take)?.ok_or(Error::RunNotComplete)
    }

    fn claim(&self, preference: &Preference) -> Result<Option<Claimed>> {
        let preference = preference.clone();
        self.write(move |transaction| tasks::claim(transaction, &preference))
    }

    fn end(&self, id: TaskId, ending: &Ending, last: Last) -> Result<bool> {
        match ending {
            Ending::Completed(pictures) => self.complete(id, pictures, last),
            Ending::Error(reason) => {
                let reason = reason.clone();
                self.release(move |t| tasks::finish(t, id, Status::Error, Some(&reason), Some(last)))
            }
            Ending::Released => self.release(move |transaction| tasks::release(transaction, id)),
        }
    }

    fn cancel(&self, id: TaskId, last: Option<Last>, finished: &[NewPicture]) -> Result<Task> {
        if finished.is_empty() {
            return self.cancel_with(id, last, Vec::new());
        }
        let _turn = self.ending.try_lock_for(self.patience).ok_or_else(|| self.busy())?;
        if self.task(id)?.status != Status::Processing {
            return self.cancel_with(id, last, Vec::new());
        }
        if let Err(error) = self.folder.write(id, finished) {
            // A task can be cancelled on a full disk too.
            tracing::warn!(%id, %error, "the finished pictures of a cancelled task are lost");
            return self.cancel_with(id, last, Vec::new());
        }
        let cancelled = self.cancel_with(id, last, finished.iter().map(pictures::Record::of).collect());
        // After any other error the transaction may have been committed all the same.
        if matches!(cancelled, Err(Error::AlreadyEnded { .. } | Error::UnknownTask { .. })) {
            self.folder.remove(id, finished.len());
        }
        cancelled
    }

    fn task(&self, id: TaskId) -> Result<Task> {
        self.read(|transaction| tasks::find(transaction, id))?.ok_or(Error::UnknownTask { id })
    }

    fn standings(&self, tasks: &[TaskId]) -> Result<Vec<Standing>> {
        self.read(|transaction| queue::standings(transaction, tasks))
    }

    fn tasks(&self, query: &TaskQuery) -> Result<Page<Task>> {
        self.read(|transaction| tasks::page(transaction, query))
    }

    fn counts(&self) -> Result<Counts> {
        let sql = "SELECT status, count(*) FROM task GROUP BY status";
        let by_priority =
            "SELECT priority, count(*) FROM task INDEXED BY task_queue WHERE status = 'pending' GROUP BY priority";
        let mut counts = Counts::default();
        let (counted, waiting) = self.read(|transaction| {
            let counted = all(transaction, sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let waiting = all(transaction, by_priority, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((counted, waiting))
        })?;
        counted.into_iter().for_each(|(status, count)| counts.set(status, count));
        waiting.into_iter().for_each(|(priority, count)| counts.set_waiting(priority, count));
        Ok(counts)
    }

    fn delete_tasks(&self, selection: &Selection) -> Result<usize> {
        let selection = selection.clone();
        self.release(move |transaction| tasks::delete(transaction, &selection))
    }

    fn pictures(&self, query: &PictureQuery) -> Result<Page<Picture>> {
        self.read(|transaction| pictures::page(transaction, query))
    }

    fn picture(&self, id: PictureId) -> Result<Picture> {
        let sql = format!("SELECT {PICTURE} FROM picture WHERE id = ?1");
        self.read(|transaction| one(transaction, &sql, [id], rows::picture))?.ok_or(Error::UnknownPicture { id })
    }

    fn open(&self, picture: &Picture, from: u64) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.folder.open_picture(picture, from)?))
    }

    fn delete_picture(&self, id: PictureId) -> Result<()> {
        let sql = "DELETE FROM picture WHERE id = ?1 RETURNING task, number";
        let deleted = self.release(move |transaction| one(transaction, sql, [id], pictures::file))?;
        let (task, number) = deleted.ok_or(Error::UnknownPicture { id })?;
        self.folder.remove_picture(task, number);
        Ok(())
    }

    fn delete_pictures(&self) -> Result<usize> {
        let deleted = self.release(|t| all(t, "DELETE FROM picture RETURNING task, number", [], pictures::file))?;
        deleted.iter().for_each(|(task, number)| self.folder.remove_picture(*task, *number));
        Ok(deleted.len())
    }

    fn recover(&self) -> Result<(usize, usize)> {
        self.release(tasks::recover)
    }

    fn tidy(&self) -> Result<()> {
        self.give_back()
    }

    fn check(&self, part: Part) -> Result<()> {
        match part {
            Part::Database => self.check_database(),
            Part::Disk => self.folder.check_disk(),
            Part::Pictures => self.folder.check_pictures(),
        }
    }
}

/// Opens a connection that follows no links, for use by one thread at a time.
fn connect(path: &Path, patience: Duration) -> Sql<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(patience)?;
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    if pages == 0 {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With FULL, an accepted task survives a power failure, not only a kill.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    Ok(connection)
}

fn execute(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Sql<usize> {
    connection.prepare_cached(sql)?.execute(values)
}

fn one<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> Sql<T>,
) -> Sql<Option<T>> {
    connection.prepare_cached(sql)?.query_row(values, read).optional()
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> Sql<T>,
) -> Sql<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(values, read)?.collect()
}

/// A count as an SQLite integer.
fn number(count: usize) -> impl ToSql {
    i64::try_from(count).unwrap_or(i64::MAX)
}
