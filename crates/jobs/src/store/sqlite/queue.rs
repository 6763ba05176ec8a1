//! Places in the queue, for as many tasks as a page has, by one walk through the index of what waits.

use super::rows::Id;
use super::{Sql, all};
use crate::{Priority, Standing, TaskId};
use rusqlite::{Connection, params};
use std::collections::HashMap;

/// A waiting task, as the index `task_queue` has it.
struct Waiting {
    /// Its place among those that were asked for.
    asked: usize,
    priority: Priority,
    number: i64,
}

/// Where each task stands, in the order in which they were asked for.
pub(super) fn standings(connection: &Connection, tasks: &[TaskId]) -> Sql<Vec<Standing>> {
    let places: HashMap<TaskId, usize> = tasks.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    // CROSS JOIN: the names that were asked for are the outer loop, each found in an index.
    let names = json(tasks);
    let mut standings = vec![Standing::default(); tasks.len()];
    let drawn = "SELECT picture.task, picture.id FROM json_each(?1) AS asked
                 CROSS JOIN picture ON picture.task = asked.value ORDER BY picture.task, picture.number";
    for (task, picture) in all(connection, drawn, [&names], |row| Ok((row.get::<_, Id>(0)?.0, row.get(1)?)))? {
        if let Some(place) = places.get(&task) {
            standings[*place].pictures.push(picture);
        }
    }
    let waiting = "SELECT task.id, task.priority, task.number FROM json_each(?1) AS asked
                   CROSS JOIN task ON task.id = asked.value WHERE task.status = 'pending'
                   ORDER BY task.priority DESC, task.number";
    let found = all(connection, waiting, [&names], |row| Ok((row.get::<_, Id>(0)?.0, row.get(1)?, row.get(2)?)))?;
    let mut last: Option<(Waiting, usize)> = None;
    for (id, priority, number) in found {
        let Some(asked) = places.get(&id).copied() else { continue };
        let next = Waiting { asked, priority, number };
        let before = match &last {
            Some((last, before)) if last.priority == priority => before + between(connection, last.number, &next)?,
            _ => ahead(connection, priority)? + between(connection, 0, &next)?,
        };
        standings[next.asked].position = Some(before);
        last = Some((next, before));
    }
    Ok(standings)
}

/// How many waiting tasks have a higher priority.
fn ahead(connection: &Connection, priority: Priority) -> Sql<usize> {
    let sql = "SELECT count(*) FROM task INDEXED BY task_queue WHERE status = 'pending' AND priority > ?1";
    connection.prepare_cached(sql)?.query_row([priority], |row| row.get(0))
}

/// How many waiting tasks of its priority came before this one, and not before `from`.
fn between(connection: &Connection, from: i64, task: &Waiting) -> Sql<usize> {
    let sql = "SELECT count(*) FROM task INDEXED BY task_queue WHERE status = 'pending' AND priority = ?1 AND number >= ?2 AND number < ?3";
    connection.prepare_cached(sql)?.query_row(params![task.priority, from, task.number], |row| row.get(0))
}

/// The names as a list that SQLite reads. They have no character that would have to be escaped.
fn json(tasks: &[TaskId]) -> String {
    let names: Vec<String> = tasks.iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", names.join(","))
}
