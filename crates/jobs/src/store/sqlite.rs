//! The store of one host: an SQLite database in write-ahead mode, with the pictures as files beside it.

use super::folder::Folder;
use super::rows::{self, Id, PICTURE, TASK, Time};
use super::{Claimed, Ending, Store, schema};
use crate::{
    Counts, Error, Last, NewPicture, NewTask, Page, Picture, PictureId, PictureQuery, Result, Selection, Status, Task,
    TaskId, TaskQuery,
};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::Duration;

/// How often an engine takes up one task before it counts as what kills the process.
const ATTEMPTS: u32 = 2;

/// How long to wait for another program, a backup say, that has locked the database.
const BUSY: Duration = Duration::from_secs(5);

/// A result of SQLite's, before the database's name is added.
type Sql<T> = rusqlite::Result<T>;

/// The store of one host: a data folder that one process at a time has open.
pub struct SqliteStore {
    writer: Mutex<Connection>,
    /// Readers do not wait while the writer waits for the disk.
    reader: Mutex<Connection>,
    folder: Folder,
}

impl SqliteStore {
    /// Opens the store in this folder, making or migrating it if need be, and removes what a killed process had begun.
    pub fn open(root: &Path) -> Result<Self> {
        let folder = Folder::open(root)?;
        let path = folder.database();
        let failed = |reason| schema::database_error(path, reason);
        let mut writer = connect(path).map_err(failed)?;
        schema::check_sound(&writer, path)?;
        schema::migrate(&mut writer, path)?;
        let reader = connect(path).map_err(failed)?;
        let known = all(&writer, "SELECT task, number FROM picture", [], file).map_err(failed)?;
        folder.sweep(known.into_iter())?;
        Ok(Self { writer: writer.into(), reader: reader.into(), folder })
    }

    fn error(&self, reason: rusqlite::Error) -> Error {
        schema::database_error(self.folder.database(), reason)
    }

    /// Reads without a transaction: for single statements.
    fn read<T>(&self, ask: impl FnOnce(&Connection) -> Sql<T>) -> Result<T> {
        ask(&self.reader.lock()).map_err(|reason| self.error(reason))
    }

    /// Reads several things of one moment.
    fn snapshot<T>(&self, ask: impl FnOnce(&Connection) -> Sql<T>) -> Result<T> {
        self.transact(self.reader.lock(), TransactionBehavior::Deferred, |transaction| ask(transaction))
    }

    /// Does one atomic step.
    fn write<T>(&self, step: impl FnOnce(&Transaction<'_>) -> Sql<T>) -> Result<T> {
        self.transact(self.writer.lock(), TransactionBehavior::Immediate, step)
    }

    fn transact<T>(
        &self,
        mut connection: MutexGuard<'_, Connection>,
        behavior: TransactionBehavior,
        step: impl FnOnce(&Transaction<'_>) -> Sql<T>,
    ) -> Result<T> {
        let run = || {
            let transaction = connection.transaction_with_behavior(behavior)?;
            let done = step(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        run().map_err(|reason| self.error(reason))
    }

    /// Puts the pictures on the disk, then the task's end into the database.
    fn complete(&self, id: TaskId, pictures: &[NewPicture], last: Last) -> Result<bool> {
        if self.task(id)?.status != Status::Processing {
            return Ok(false);
        }
        self.folder.write(id, pictures)?;
        let completed = self.write(|transaction| {
            let completed = finish(transaction, id, Status::Completed, None, Some(last))?;
            if completed {
                insert_pictures(transaction, id, pictures)?;
            }
            Ok(completed)
        })?;
        if !completed {
            self.folder.remove(id, pictures.len());
        }
        Ok(completed)
    }
}

impl Store for SqliteStore {
    fn submit(&self, new: &NewTask, capacity: usize) -> Result<Task> {
        let id = TaskId::new_v4();
        let sql = format!(
            "INSERT INTO task (id, status, priority, prompt, seed, steps, request, created_at)
             SELECT ?1, 'pending', ?2, ?3, ?4, ?5, ?6, ?7
             WHERE (SELECT count(*) FROM task WHERE status = 'pending') < ?8 RETURNING {TASK}"
        );
        let seed = new.seed.cast_signed();
        let most = number(capacity);
        let row = params![Id(id), new.priority, new.prompt, seed, new.steps, new.request, Time::now(), most];
        self.write(|transaction| one(transaction, &sql, row, rows::task))?.ok_or(Error::QueueFull { capacity })
    }

    fn claim(&self) -> Result<Option<Claimed>> {
        let sql = format!(
            "UPDATE task SET status = 'processing', attempts = attempts + 1, started_at = ?1 WHERE number =
             (SELECT number FROM task WHERE status = 'pending' ORDER BY priority DESC, number LIMIT 1)
             RETURNING {TASK}, request"
        );
        let claimed = |row: &Row<'_>| Ok(Claimed { task: rows::task(row)?, request: row.get("request")? });
        self.write(|transaction| one(transaction, &sql, params![Time::now()], claimed))
    }

    fn end(&self, id: TaskId, ending: &Ending, last: Last) -> Result<bool> {
        match ending {
            Ending::Completed(pictures) => self.complete(id, pictures, last),
            Ending::Error(reason) => self.write(|t| finish(t, id, Status::Error, Some(reason), Some(last))),
            Ending::Released => self.write(|transaction| {
                let sql = "UPDATE task SET status = 'pending', attempts = attempts - 1, started_at = NULL
                           WHERE id = ?1 AND status = 'processing'";
                Ok(execute(transaction, sql, params![Id(id)])? == 1)
            }),
        }
    }

    fn cancel(&self, id: TaskId, last: Option<Last>) -> Result<Task> {
        let before = self.write(|transaction| {
            let before = find(transaction, id)?;
            if before.as_ref().is_some_and(|task| !task.status.is_end()) {
                finish(transaction, id, Status::Cancelled, None, last)?;
            }
            Ok(before)
        })?;
        match before.ok_or(Error::UnknownTask { id })? {
            Task { status, .. } if status.is_end() => Err(Error::AlreadyEnded { id, status }),
            task => Ok(task),
        }
    }

    fn task(&self, id: TaskId) -> Result<Task> {
        self.read(|connection| find(connection, id))?.ok_or(Error::UnknownTask { id })
    }

    fn queue_position(&self, id: TaskId) -> Result<Option<usize>> {
        let sql = "SELECT (SELECT count(*) FROM task AS before WHERE before.status = 'pending'
                           AND (before.priority > task.priority
                                OR before.priority = task.priority AND before.number < task.number))
                   FROM task WHERE id = ?1 AND status = 'pending'";
        self.read(|connection| one(connection, sql, params![Id(id)], |row| row.get(0)))
    }

    fn tasks(&self, query: &TaskQuery) -> Result<Page<Task>> {
        let those = "FROM task WHERE (?1 IS NULL OR status = ?1)";
        self.snapshot(|connection| {
            let total = connection.query_row(&format!("SELECT count(*) {those}"), [query.status], |row| row.get(0))?;
            let sql = format!("SELECT {TASK} {those} ORDER BY number DESC LIMIT ?2 OFFSET ?3");
            let asked = params![query.status, number(query.limit), number(query.offset)];
            Ok(Page { total, items: all(connection, &sql, asked, rows::task)? })
        })
    }

    fn counts(&self) -> Result<Counts> {
        let sql = "SELECT status, count(*) FROM task GROUP BY status";
        let counted = self.read(|connection| all(connection, sql, [], |row| Ok((row.get(0)?, row.get(1)?))))?;
        let mut counts = Counts::default();
        counted.into_iter().for_each(|(status, count)| counts.set(status, count));
        Ok(counts)
    }

    fn delete_tasks(&self, selection: &Selection) -> Result<usize> {
        let sql = "DELETE FROM task WHERE status IN ('completed', 'cancelled', 'error')
                   AND (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR id = ?2)";
        let delete = |transaction: &_, id| execute(transaction, sql, params![selection.status, id]);
        self.write(|transaction| match &selection.ids {
            None => delete(transaction, None),
            Some(ids) => ids.iter().map(|id| delete(transaction, Some(Id(*id)))).sum(),
        })
    }

    fn pictures(&self, query: &PictureQuery) -> Result<Page<Picture>> {
        let task = query.task.map(Id);
        let (those, order) = match task {
            Some(_) => ("FROM picture WHERE task = ?1", "number"),
            None => ("FROM picture WHERE ?1 IS NULL", "id DESC"),
        };
        self.snapshot(|connection| {
            let total = connection.query_row(&format!("SELECT count(*) {those}"), [&task], |row| row.get(0))?;
            let sql = format!("SELECT {PICTURE} {those} ORDER BY {order} LIMIT ?2 OFFSET ?3");
            let asked = params![task, number(query.limit), number(query.offset)];
            Ok(Page { total, items: all(connection, &sql, asked, rows::picture)? })
        })
    }

    fn picture(&self, id: PictureId) -> Result<Picture> {
        let sql = format!("SELECT {PICTURE} FROM picture WHERE id = ?1");
        self.read(|connection| one(connection, &sql, [id], rows::picture))?.ok_or(Error::UnknownPicture { id })
    }

    fn read(&self, picture: &Picture) -> Result<Bytes> {
        self.folder.read(picture)
    }

    fn delete_picture(&self, id: PictureId) -> Result<()> {
        let sql = "DELETE FROM picture WHERE id = ?1 RETURNING task, number";
        let deleted = self.write(|transaction| one(transaction, sql, [id], file))?;
        let (task, number) = deleted.ok_or(Error::UnknownPicture { id })?;
        self.folder.remove_picture(task, number);
        Ok(())
    }

    fn delete_pictures(&self) -> Result<usize> {
        let deleted = self.write(|t| all(t, "DELETE FROM picture RETURNING task, number", [], file))?;
        deleted.iter().for_each(|(task, number)| self.folder.remove_picture(*task, *number));
        Ok(deleted.len())
    }

    fn recover(&self) -> Result<(usize, usize)> {
        let given_up = "UPDATE task SET status = 'error', request = x'', completed_at = ?1,
                        error = 'the process ended while this task ran, ' || attempts || ' times'
                        WHERE status = 'processing' AND attempts >= ?2";
        let again = "UPDATE task SET status = 'pending', started_at = NULL WHERE status = 'processing'";
        self.write(|transaction| {
            let failed = execute(transaction, given_up, params![Time::now(), ATTEMPTS])?;
            Ok((execute(transaction, again, [])?, failed))
        })
    }

    fn check(&self) -> Result<()> {
        self.write(|_| Ok(()))
    }
}

fn connect(path: &Path) -> Sql<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With FULL an accepted task outlives a loss of power, not only a kill.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Ends a task that has not ended, and says whether it did. A waiting task can only be cancelled.
fn finish(
    transaction: &Transaction<'_>,
    id: TaskId,
    status: Status,
    reason: Option<&str>,
    last: Option<Last>,
) -> Sql<bool> {
    let from = if status == Status::Cancelled { "'pending', 'processing'" } else { "'processing'" };
    let sql = format!(
        "UPDATE task SET status = ?2, error = ?3, completed_at = ?4, request = x'', step = coalesce(?5, step),
         steps = coalesce(?6, steps), last_event = coalesce(?7, last_event) WHERE id = ?1 AND status IN ({from})"
    );
    let (step, steps) = last.map(|last| (last.progress.step, last.progress.steps)).unzip();
    let row = params![Id(id), status, reason, Time::now(), step, steps, last.map(|last| last.event.cast_signed())];
    Ok(execute(transaction, &sql, row)? == 1)
}

fn insert_pictures(transaction: &Transaction<'_>, id: TaskId, pictures: &[NewPicture]) -> Sql<()> {
    let sql = "INSERT INTO picture (task, number, prompt, seed, media_type, length, digest, created_at)
               SELECT id, ?2, prompt, ?3, ?4, ?5, ?6, ?7 FROM task WHERE id = ?1";
    for (place, picture) in (0u32..).zip(pictures) {
        let seed = picture.seed.cast_signed();
        let length = number(picture.bytes.len());
        let digest = digest(&picture.bytes);
        execute(transaction, sql, params![Id(id), place, seed, picture.media_type, length, digest, Time::now()])?;
    }
    Ok(())
}

/// SHA-256 in hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn find(connection: &Connection, id: TaskId) -> Sql<Option<Task>> {
    one(connection, &format!("SELECT {TASK} FROM task WHERE id = ?1"), [Id(id)], rows::task)
}

/// The task and number that name a picture's file.
fn file(row: &Row<'_>) -> Sql<(TaskId, u32)> {
    Ok((row.get::<_, Id>("task")?.0, row.get("number")?))
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

/// A number of things as SQLite has them.
fn number(count: usize) -> impl ToSql {
    i64::try_from(count).unwrap_or(i64::MAX)
}
