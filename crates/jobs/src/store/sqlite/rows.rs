//! Conversion of rows to tasks and pictures.

use crate::{Picture, Priority, Progress, Status, Task, TaskId};
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use std::time::{Duration, SystemTime};

/// The columns that [`task`] reads, in its order.
pub(super) const TASK: &str = "id, status, priority, prompt, seed, step, steps, last_event, attempts, error, created_at, started_at, completed_at";

/// The columns that [`picture`] reads, in its order.
pub(super) const PICTURE: &str = "id, task, number, prompt, seed, media_type, length, digest, created_at";

pub(super) fn task(row: &Row<'_>) -> rusqlite::Result<Task> {
    Ok(Task {
        id: row.get::<_, Id>(0)?.0,
        status: row.get(1)?,
        priority: row.get(2)?,
        prompt: row.get(3)?,
        seed: row.get::<_, i64>(4)?.cast_unsigned(),
        progress: Progress { step: row.get(5)?, steps: row.get(6)? },
        last_event: row.get::<_, i64>(7)?.cast_unsigned(),
        attempts: row.get(8)?,
        error: row.get(9)?,
        created_at: row.get::<_, Time>(10)?.0,
        started_at: row.get::<_, Option<Time>>(11)?.map(|time| time.0),
        completed_at: row.get::<_, Option<Time>>(12)?.map(|time| time.0),
    })
}

pub(super) fn picture(row: &Row<'_>) -> rusqlite::Result<Picture> {
    Ok(Picture {
        id: row.get(0)?,
        task: row.get::<_, Id>(1)?.0,
        number: row.get(2)?,
        prompt: row.get(3)?,
        seed: row.get::<_, i64>(4)?.cast_unsigned(),
        media_type: row.get(5)?,
        length: row.get::<_, i64>(6)?.cast_unsigned(),
        digest: row.get(7)?,
        created_at: row.get::<_, Time>(8)?.0,
    })
}

/// A task's id, as text so that people can search for it.
pub(super) struct Id(pub(super) TaskId);

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        TaskId::try_parse(value.as_str()?).map(Self).map_err(|error| FromSqlError::Other(error.into()))
    }
}

/// A time in microseconds since 1970.
pub(super) struct Time(pub(super) SystemTime);

impl Time {
    pub(super) fn now() -> Self {
        Self(SystemTime::now())
    }
}

impl ToSql for Time {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_micros()).unwrap_or(i64::MAX).into())
    }
}

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let micros = u64::try_from(value.as_i64()?).map_err(|_| FromSqlError::InvalidType)?;
        Ok(Self(SystemTime::UNIX_EPOCH + Duration::from_micros(micros)))
    }
}

impl ToSql for Status {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Status {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_name(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Priority {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok((*self as i64).into())
    }
}

impl FromSql for Priority {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::Low),
            1 => Ok(Self::Normal),
            2 => Ok(Self::High),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}
