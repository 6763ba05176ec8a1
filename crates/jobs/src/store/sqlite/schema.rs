//! The database's tables and their migrations.

use crate::{Error, Result};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Step `n` migrates schema `n` to `n + 1`. Released steps are never changed.
const STEPS: [&str; 4] = [
    "
    CREATE TABLE task (
        number       INTEGER PRIMARY KEY AUTOINCREMENT, -- in order of arrival
        id           TEXT    NOT NULL UNIQUE,
        status       TEXT    NOT NULL CHECK (status IN ('pending', 'processing', 'completed', 'cancelled', 'error')),
        priority     INTEGER NOT NULL,                  -- 0 low, 1 normal, 2 high
        prompt       TEXT    NOT NULL,
        seed         INTEGER NOT NULL,                  -- the 64 bits of an unsigned number
        request      BLOB    NOT NULL,                  -- empty once the task has ended
        step         INTEGER NOT NULL DEFAULT 0,
        steps        INTEGER NOT NULL DEFAULT 0,
        attempts     INTEGER NOT NULL DEFAULT 0,
        error        TEXT,
        created_at   INTEGER NOT NULL,                  -- microseconds since 1970, as all times
        started_at   INTEGER,
        completed_at INTEGER
    ) STRICT;
    CREATE INDEX task_queue ON task (priority DESC, number) WHERE status = 'pending';
    CREATE INDEX task_status ON task (status, number);
    CREATE TABLE picture (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        task       TEXT    NOT NULL,
        number     INTEGER NOT NULL,
        prompt     TEXT    NOT NULL,
        seed       INTEGER NOT NULL,
        media_type TEXT    NOT NULL,
        length     INTEGER NOT NULL,
        digest     TEXT    NOT NULL,
        created_at INTEGER NOT NULL,
        UNIQUE (task, number)
    ) STRICT;
    ",
    "
    ALTER TABLE task ADD COLUMN last_event INTEGER NOT NULL DEFAULT 0; -- 0 until the task has ended
",
    "
    CREATE TABLE run (                                  -- the latest run, if there was one
        place INTEGER PRIMARY KEY CHECK (place = 1),
        task  TEXT    NOT NULL,
        taken INTEGER NOT NULL                          -- 1 once its picture was taken
    ) STRICT;
",
    "
    ALTER TABLE task ADD COLUMN model TEXT NOT NULL DEFAULT ''; -- what an engine loads for it; '' for nothing
    DROP INDEX task_queue;
    -- With the model, so that the first task is found without its row, which may be long.
    CREATE INDEX task_queue ON task (priority DESC, number, model) WHERE status = 'pending';
    CREATE INDEX task_model ON task (priority, model, number) WHERE status = 'pending';
",
];

/// The first bytes of every SQLite database (<https://www.sqlite.org/fileformat2.html>).
pub(in crate::store) const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The application id of Easel's databases: `Easl`.
const APPLICATION: i32 = 0x4561_736C;

/// The application id's position in the file.
const APPLICATION_AT: std::ops::Range<usize> = 68..72;

/// `auto_vacuum = INCREMENTAL`: free pages can be returned to the disk.
const INCREMENTAL: i64 = 2;

/// Whether Easel wrote a database: it has the application id, or the tables of a version before that.
pub(in crate::store) fn is_ours(path: &Path) -> Result<bool> {
    let failed = |reason| database_error(path, reason);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(failed);
    let application = number("application_id")?;
    let version = number("user_version")?;
    let columns = "SELECT (SELECT count(*) FROM pragma_table_info('task') WHERE name IN
                           ('number', 'id', 'status', 'priority', 'prompt', 'seed', 'request'))
                        + (SELECT count(*) FROM pragma_table_info('picture') WHERE name IN
                           ('id', 'task', 'number', 'prompt', 'seed', 'digest', 'length'))";
    let found: i64 = connection.query_row(columns, [], |row| row.get(0)).map_err(failed)?;
    Ok(application == APPLICATION || application == 0 && version > 0 && found == 14)
}

/// Sets the application id and makes the database shrinkable. `Ok(false)` if there was no space to convert an older one.
pub(super) fn adopt(connection: &Connection) -> rusqlite::Result<bool> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("application_id")? != i64::from(APPLICATION) {
        connection.pragma_update(None, "application_id", APPLICATION)?;
    }
    if number("auto_vacuum")? == INCREMENTAL {
        return Ok(true);
    }
    // Only once: it needs as much space as the database.
    let converted = connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM");
    Ok(converted.is_ok())
}

/// Fails if the open file no longer starts like Easel's database.
pub(super) fn check_start(mut file: &File, path: &Path) -> Result<()> {
    let mut start = [0; APPLICATION_AT.end];
    let failed = Error::file("read", path);
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut start)).map_err(failed)?;
    let is_whole = start.starts_with(MAGIC) && start[APPLICATION_AT] == APPLICATION.to_be_bytes();
    if is_whole { Ok(()) } else { Err(Error::Corrupt { path: path.to_owned(), reason: "it was overwritten".into() }) }
}

/// Migrates a sound database to the current schema, with one transaction per step.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let failed = |reason| database_error(path, reason);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    let newer = Error::NewerSchema { path: path.to_owned(), found, newest: STEPS.len() };
    for (step, sql) in STEPS.iter().enumerate().skip(STEPS.get(found..).map(|_| found).ok_or(newer)?) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        transaction.execute_batch(sql).map_err(failed)?;
        transaction.pragma_update(None, "user_version", step + 1).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// Fails with the first problem if the file is damaged.
pub(super) fn check_sound(connection: &Connection, path: &Path) -> Result<()> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|reason| database_error(path, reason))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        reason => Err(Error::Corrupt { path: path.to_owned(), reason: reason.replace('\n', " ") }),
    }
}

/// Converts SQLite's error to ours.
pub(super) fn database_error(path: &Path, reason: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match reason.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => Error::Corrupt { path: path.to_owned(), reason: reason.to_string() },
        _ => Error::Database { path: path.to_owned(), reason },
    }
}
