//! Positions in the queue, for a whole page of tasks, from one walk through the index of waiting tasks.

use super::rows::Id;
use super::{Sql, all};
use crate::{Priority, Standing, TaskId};
use rusqlite::{Connection, params};
use std::collections::HashMap;

/// A waiting task, from the index `task_queue`.
struct Waiting {
    /// Its index among the requested tasks.
    index: usize,
    priority: Priority,
    number: i64,
}

/// The standing of each task, in the requested order.
pub(super) fn standings(connection: &Connection, tasks: &[TaskId]) -> Sql<Vec<Standing>> {
    let places: HashMap<TaskId, usize> = tasks.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    // CROSS JOIN makes the requested ids the outer loop; each is looked up in an index.
    let ids = json(tasks);
    let mut standings = vec![Standing::default(); tasks.len()];
    let drawn = "SELECT picture.task, picture.id FROM json_each(?1) AS requested
                 CROSS JOIN picture ON picture.task = requested.value ORDER BY picture.task, picture.number";
    for (task, picture) in all(connection, drawn, [&ids], |row| Ok((row.get::<_, Id>(0)?.0, row.get(1)?)))? {
        if let Some(place) = places.get(&task) {
            standings[*place].pictures.push(picture);
        }
    }
    let waiting = "SELECT task.id, task.priority, task.number FROM json_each(?1) AS requested
                   CROSS JOIN task ON task.id = requested.value WHERE task.status = 'pending'
                   ORDER BY task.priority DESC, task.number";
    let found = all(connection, waiting, [&ids], |row| Ok((row.get::<_, Id>(0)?.0, row.get(1)?, row.get(2)?)))?;
    let mut last: Option<(Waiting, usize)> = None;
    for (id, priority, number) in found {
        let Some(index) = places.get(&id).copied() else { continue };
        let next = Waiting { index, priority, number };
        let before = match &last {
            Some((last, before)) if last.priority == priority => before + between(connection, last.number, &next)?,
            _ => ahead(connection, priority)? + between(connection, 0, &next)?,
        };
        standings[next.index].position = Some(before);
        last = Some((next, before));
    }
    Ok(standings)
}

/// How many waiting tasks have a higher priority.
fn ahead(connection: &Connection, priority: Priority) -> Sql<usize> {
    let sql = "SELECT count(*) FROM task INDEXED BY task_queue WHERE status = 'pending' AND priority > ?1";
    connection.prepare_cached(sql)?.query_row([priority], |row| row.get(0))
}

/// How many waiting tasks of the same priority are ahead of this one, starting at number `from`.
fn between(connection: &Connection, from: i64, task: &Waiting) -> Sql<usize> {
    let sql = "SELECT count(*) FROM task INDEXED BY task_queue WHERE status = 'pending' AND priority = ?1 AND number >= ?2 AND number < ?3";
    connection.prepare_cached(sql)?.query_row(params![task.priority, from, task.number], |row| row.get(0))
}

/// The ids as a JSON list for SQLite. They need no escaping.
fn json(tasks: &[TaskId]) -> String {
    let ids: Vec<String> = tasks.iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", ids.join(","))
}
