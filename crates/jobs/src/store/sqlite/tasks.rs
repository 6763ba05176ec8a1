//! Queries on tasks, each in the caller's transaction.

use super::rows::{self, Id, TASK, Time};
use super::{Sql, all, execute, number, one};
use crate::store::Claimed;
use crate::{Last, NewTask, Overtaken, Page, Preference, Priority, Selection, Status, Task, TaskId, TaskQuery};
use rusqlite::{Connection, Row, Transaction, params};

/// After this many attempts that ended with the process, a task counts as the cause and fails.
const ATTEMPTS: u32 = 2;

/// Adds a waiting task; `None` if the queue is full.
pub(super) fn insert(transaction: &Transaction<'_>, new: &NewTask, capacity: usize) -> Sql<Option<Task>> {
    let sql = format!(
        "INSERT INTO task (id, status, priority, prompt, seed, steps, request, created_at, model)
         SELECT ?1, 'pending', ?2, ?3, ?4, ?5, ?6, ?7, ?9
         WHERE (SELECT count(*) FROM task WHERE status = 'pending') < ?8 RETURNING {TASK}"
    );
    let id = Id(TaskId::new_v4());
    let seed = new.seed.cast_signed();
    let most = number(capacity);
    let row = params![id, new.priority, new.prompt, seed, new.steps, new.request, Time::now(), most, new.model];
    one(transaction, &sql, row, rows::task)
}

/// A waiting task, as far as the index knows it.
struct First {
    number: i64,
    priority: Priority,
    model: String,
}

/// Claims the first waiting task, or the one that overtakes it.
pub(super) fn claim(transaction: &Transaction<'_>, preference: &Preference) -> Sql<Option<Claimed>> {
    let Some(first) = first(transaction)? else { return Ok(None) };
    let mut preferred = None;
    if preference.may_overtake(first.number, &first.model) {
        preferred = first_of(transaction, first.priority, &preference.models)?;
    }
    let sql = format!(
        "UPDATE task SET status = 'processing', attempts = attempts + 1, started_at = ?1 WHERE number = ?2
         RETURNING {TASK}, request"
    );
    let overtaken = preferred.map(|_| Overtaken { priority: first.priority, number: first.number });
    let claimed = |row: &Row<'_>| Ok(Claimed { task: rows::task(row)?, request: row.get("request")?, overtaken });
    one(transaction, &sql, params![Time::now(), preferred.unwrap_or(first.number)], claimed)
}

/// The first waiting task.
fn first(connection: &Connection) -> Sql<Option<First>> {
    // Left to itself, SQLite finds all that wait by their status and sorts them.
    let sql = "SELECT number, priority, model FROM task INDEXED BY task_queue WHERE status = 'pending'
               ORDER BY priority DESC, number LIMIT 1";
    one(connection, sql, [], |row| Ok(First { number: row.get(0)?, priority: row.get(1)?, model: row.get(2)? }))
}

/// The first waiting task of this priority for any of these models, by its number.
fn first_of(connection: &Connection, priority: Priority, models: &[String]) -> Sql<Option<i64>> {
    let sql = "SELECT number FROM task INDEXED BY task_model WHERE status = 'pending' AND priority = ?1 AND model = ?2
               ORDER BY number LIMIT 1";
    let mut found: Option<i64> = None;
    for model in models {
        let number: Option<i64> = one(connection, sql, params![priority, model], |row| row.get(0))?;
        found = found.into_iter().chain(number).min();
    }
    Ok(found)
}

/// Returns a task to its place in the queue; `false` if it is not being processed.
pub(super) fn release(transaction: &Transaction<'_>, id: TaskId) -> Sql<bool> {
    let sql = "UPDATE task SET status = 'pending', attempts = attempts - 1, started_at = NULL
               WHERE id = ?1 AND status = 'processing'";
    Ok(execute(transaction, sql, params![Id(id)])? == 1)
}

/// A page of tasks, newest first.
pub(super) fn page(transaction: &Transaction<'_>, query: &TaskQuery) -> Sql<Page<Task>> {
    let filter = if query.status.is_some() { "WHERE status = ?1" } else { "WHERE ?1 IS NULL" };
    let count = format!("SELECT count(*) FROM task {filter}");
    let total = transaction.prepare_cached(&count)?.query_row([query.status], |row| row.get(0))?;
    // Skips entries in an index, because rows contain requests, which may be long.
    let sql = format!(
        "SELECT {TASK} FROM task WHERE number IN
         (SELECT number FROM task {filter} ORDER BY number DESC LIMIT ?2 OFFSET ?3) ORDER BY number DESC"
    );
    let values = params![query.status, number(query.limit), number(query.offset)];
    Ok(Page { total, items: all(transaction, &sql, values, rows::task)? })
}

/// Deletes tasks that have ended, and returns how many.
pub(super) fn delete(transaction: &Transaction<'_>, selection: &Selection) -> Sql<usize> {
    let sql = "DELETE FROM task WHERE status IN ('completed', 'cancelled', 'error') AND (?1 IS NULL OR status = ?1)";
    let status = selection.status;
    match &selection.ids {
        None => execute(transaction, sql, [status]),
        Some(ids) => {
            let one = format!("{sql} AND id = ?2");
            ids.iter().map(|id| execute(transaction, &one, params![status, Id(*id)])).sum()
        }
    }
}

/// Queues the tasks of a killed process again, or fails them if that happened before; returns how many of each.
pub(super) fn recover(transaction: &Transaction<'_>) -> Sql<(usize, usize)> {
    let fail = "UPDATE task SET status = 'error', request = x'', completed_at = ?1,
                    error = 'the process ended while this task ran, ' || attempts || ' times'
                    WHERE status = 'processing' AND attempts >= ?2";
    let again = "UPDATE task SET status = 'pending', started_at = NULL WHERE status = 'processing'";
    let failed = execute(transaction, fail, params![Time::now(), ATTEMPTS])?;
    Ok((execute(transaction, again, [])?, failed))
}

/// Ends a task that has not ended; returns whether it did. A waiting task can only be cancelled.
pub(super) fn finish(
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

/// One task.
pub(super) fn find(connection: &Connection, id: TaskId) -> Sql<Option<Task>> {
    one(connection, &format!("SELECT {TASK} FROM task WHERE id = ?1"), [Id(id)], rows::task)
}
