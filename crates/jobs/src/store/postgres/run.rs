//! The latest run: one row with its task's id.

use super::rows::{self, PICTURE, TASK};
use super::sqlx::{AssertSqlSafe, Row};
use super::{PgConnection, PgPool, Sql, sqlx};
use crate::{Picture, Run, TaskId};

/// The key of the advisory lock that starting a run holds, so that two hosts don't start one each.
const LOCK: i64 = 0x4561_736C_0001;

/// Whether the latest run has not ended. Until the end of the transaction no other host can begin one.
pub(super) async fn is_in_progress(connection: &mut PgConnection) -> Sql<bool> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
    let sql = "SELECT EXISTS (SELECT 1 FROM run JOIN task ON task.id = run.task
               WHERE task.status IN ('pending', 'processing'))";
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// Makes this the latest run.
pub(super) async fn begin(connection: &mut PgConnection, task: TaskId) -> Sql<()> {
    let sql = "INSERT INTO run (place, task, taken) VALUES (1, $1, false)
               ON CONFLICT (place) DO UPDATE SET task = excluded.task, taken = false";
    sqlx::query(sql).bind(task).execute(connection).await.map(|_| ())
}

/// The latest run; `None` if its task was deleted.
pub(super) async fn latest(pool: &PgPool) -> Sql<Option<Run>> {
    let sql = format!("SELECT {TASK}, run.taken FROM run JOIN task ON task.id = run.task");
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_optional(pool).await?;
    row.map(|row| Ok(Run { task: rows::task(&row)?, taken: row.try_get("taken")? })).transpose()
}

/// Takes the first picture of the latest run, if there is one and it was not taken.
pub(super) async fn take(pool: &PgPool) -> Sql<Option<Picture>> {
    let sql = format!(
        "WITH drawn AS (SELECT picture.* FROM picture JOIN run ON run.task = picture.task WHERE NOT run.taken
                        ORDER BY picture.number LIMIT 1),
              taken AS (UPDATE run SET taken = true FROM drawn WHERE run.task = drawn.task AND NOT run.taken RETURNING run.task)
         SELECT {PICTURE} FROM drawn WHERE task IN (SELECT task FROM taken)"
    );
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_optional(pool).await?;
    row.map(|row| rows::picture(&row)).transpose()
}
