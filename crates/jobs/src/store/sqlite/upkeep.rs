//! Upkeep of the database: health checks and freeing disk space.

use super::rows::Id;
use super::{Sql, SqliteStore, all, schema, writer};
use crate::Result;
use crate::store::folder::Known;
use rusqlite::Connection;

/// How many free pages are returned at a time, so that other calls do not wait.
const PAGES: i64 = 256;

/// The most times in a row.
const ROUNDS: usize = 64;

impl SqliteStore {
    /// Fails if the database could not accept a task.
    pub(super) fn check_database(&self) -> Result<()> {
        self.folder.check_database(&self.file)?;
        schema::check_start(&self.file, &self.path)?;
        self.write(|_| Ok(()))
    }

    /// Returns free pages to the disk, a few at a time.
    pub(super) fn give_back(&self) -> Result<()> {
        for _ in 0..ROUNDS {
            let left = self.writer.call(self.patience, |connection, _| give_back_some(connection));
            let left = left.map_err(|_| self.busy())?.map_err(|reason| self.error(reason))?;
            if left == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Returns some free pages to the disk; returns how many are left.
fn give_back_some(connection: &Connection) -> Sql<i64> {
    let free = || connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    if free()? == 0 {
        return Ok(0);
    }
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut steps = statement.query([])?;
    // Each step returns one page.
    while steps.next()?.is_some() {}
    drop(steps);
    let left = free()?;
    if left == 0 {
        writer::checkpoint(connection)?;
    }
    Ok(left)
}

/// Every picture in the database.
pub(super) fn known(connection: &Connection) -> Sql<Known> {
    let sql = "SELECT task, number, length FROM picture";
    let read =
        |row: &rusqlite::Row<'_>| Ok(((row.get::<_, Id>(0)?.0, row.get(1)?), row.get::<_, i64>(2)?.cast_unsigned()));
    Ok(all(connection, sql, [], read)?.into_iter().collect())
}
