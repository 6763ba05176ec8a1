//! The database's tables, and how an older database becomes a current one.

use crate::{Error, Result};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// Step `n` makes schema `n + 1` of schema `n`. Steps that have been released are never changed.
const STEPS: [&str; 2] = [
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
];

/// Brings a sound database to the current schema, one step and one transaction at a time.
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

/// Fails if the file is damaged, with the first thing that is wrong.
pub(super) fn check_sound(connection: &Connection, path: &Path) -> Result<()> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|reason| database_error(path, reason))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        reason => Err(Error::Corrupt { path: path.to_owned(), reason: reason.replace('\n', " ") }),
    }
}

/// An error of SQLite's, classified as the caller needs it.
pub(super) fn database_error(path: &Path, reason: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match reason.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => Error::Corrupt { path: path.to_owned(), reason: reason.to_string() },
        _ => Error::Database { path: path.to_owned(), reason },
    }
}
