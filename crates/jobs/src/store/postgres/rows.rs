//! Conversion of rows to tasks and pictures.

use super::sqlx::PgRow;
use super::sqlx::Row;
use super::{Sql, sqlx};
use crate::{Picture, Priority, Progress, Status, Task};
use std::time::{Duration, SystemTime};

/// The columns that [`task`] reads, in its order, of a row that is written.
pub(super) const WRITTEN: &str = "id, status, priority, prompt, seed, step, steps, last_event, attempts, error, created_at, started_at, completed_at";

/// The same of a row that is read: with the progress of a task that a host is at work on.
pub(super) const TASK: &str = "
    task.id, task.status, task.priority, task.prompt, task.seed,
    coalesce((SELECT event.step FROM event WHERE task.status = 'processing' AND event.task = task.id
              ORDER BY event.id DESC LIMIT 1), task.step),
    coalesce((SELECT event.steps FROM event WHERE task.status = 'processing' AND event.task = task.id
              ORDER BY event.id DESC LIMIT 1), task.steps),
    task.last_event, task.attempts, task.error, task.created_at, task.started_at, task.completed_at";

/// The columns that [`picture`] reads, in its order.
pub(super) const PICTURE: &str = "id, task, number, prompt, seed, media_type, length, digest, created_at";

pub(super) fn task(row: &PgRow) -> Sql<Task> {
    let step = row.try_get(5)?;
    let steps = row.try_get(6)?;
    Ok(Task {
        id: row.try_get(0)?,
        status: status(row.try_get(1)?)?,
        priority: priority(row.try_get(2)?)?,
        prompt: row.try_get(3)?,
        seed: row.try_get::<i64, _>(4)?.cast_unsigned(),
        progress: Progress { step: small(step)?, steps: small(steps)? },
        last_event: row.try_get::<i64, _>(7)?.cast_unsigned(),
        attempts: small(row.try_get(8)?)?,
        error: row.try_get(9)?,
        created_at: time(row.try_get(10)?)?,
        started_at: row.try_get::<Option<i64>, _>(11)?.map(time).transpose()?,
        completed_at: row.try_get::<Option<i64>, _>(12)?.map(time).transpose()?,
    })
}

pub(super) fn picture(row: &PgRow) -> Sql<Picture> {
    Ok(Picture {
        id: row.try_get(0)?,
        task: row.try_get(1)?,
        number: small(row.try_get(2)?)?,
        prompt: row.try_get(3)?,
        seed: row.try_get::<i64, _>(4)?.cast_unsigned(),
        media_type: row.try_get(5)?,
        length: row.try_get::<i64, _>(6)?.cast_unsigned(),
        digest: row.try_get(7)?,
        created_at: time(row.try_get(8)?)?,
    })
}

pub(super) fn status(name: &str) -> Sql<Status> {
    Status::from_name(name).ok_or_else(|| unreadable(format!("there is no status {name}")))
}

fn priority(number: i16) -> Sql<Priority> {
    match number {
        0 => Ok(Priority::Low),
        1 => Ok(Priority::Normal),
        2 => Ok(Priority::High),
        other => Err(unreadable(format!("there is no priority {other}"))),
    }
}

/// A number that was written as 32 bits.
pub(super) fn small(number: i64) -> Sql<u32> {
    u32::try_from(number).map_err(|_| unreadable(format!("{number} is not a number of 32 bits")))
}

fn time(micros: i64) -> Sql<SystemTime> {
    let micros = u64::try_from(micros).map_err(|_| unreadable(format!("{micros} is not a time")))?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_micros(micros))
}

fn unreadable(reason: String) -> sqlx::Error {
    sqlx::Error::Decode(reason.into())
}

/// A count as a number of PostgreSQL.
pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A duration in the database's microseconds.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Text as PostgreSQL can have it: without the character 0.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}
