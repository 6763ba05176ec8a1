//! The latest run: one row with its task's id.

use super::rows::{self, Id, PICTURE, TASK};
use super::{Sql, execute, one};
use crate::{Picture, Run, TaskId};
use rusqlite::{Connection, Transaction};

/// Whether the latest run has not ended.
pub(super) fn is_in_progress(connection: &Connection) -> Sql<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM run JOIN task ON task.id = run.task
               WHERE task.status IN ('pending', 'processing'))";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

/// Makes this the latest run.
pub(super) fn begin(transaction: &Transaction<'_>, task: TaskId) -> Sql<()> {
    let sql = "INSERT INTO run (place, task, taken) VALUES (1, ?1, 0)
               ON CONFLICT (place) DO UPDATE SET task = excluded.task, taken = 0";
    execute(transaction, sql, [Id(task)]).map(|_| ())
}

/// The latest run; `None` if its task was deleted.
pub(super) fn latest(connection: &Connection) -> Sql<Option<Run>> {
    let sql = format!("SELECT {TASK}, run.taken FROM run JOIN task ON task.id = run.task");
    one(connection, &sql, [], |row| Ok(Run { task: rows::task(row)?, taken: row.get("taken")? }))
}

/// Takes the first picture of the latest run, if there is one and it was not taken.
pub(super) fn take(transaction: &Transaction<'_>) -> Sql<Option<Picture>> {
    let sql = format!(
        "SELECT {PICTURE} FROM picture WHERE task = (SELECT run.task FROM run WHERE taken = 0) ORDER BY number LIMIT 1"
    );
    let picture = one(transaction, &sql, [], rows::picture)?;
    if picture.is_some() {
        execute(transaction, "UPDATE run SET taken = 1", [])?;
    }
    Ok(picture)
}
