//! Objects without a picture. Before a host writes objects it lists them here, and the transaction that completes the task
//! takes them from the list. So the list has whatever a host left that died, or came too late, and deleted pictures.

use super::{Inner, PgConnection, PgPool, Sql, rows, sqlx};
use crate::Result;
use std::time::Duration;

/// How long an object may be listed before nobody can be about to complete its task any more.
pub(super) const ABANDONED: Duration = Duration::from_secs(3600);

/// The most objects that are deleted at a time.
const MOST: i64 = 1000;

/// Lists objects that are about to be written.
pub(super) async fn list(pool: &PgPool, objects: &[String]) -> Sql<()> {
    let sql = "INSERT INTO stray (object) SELECT * FROM unnest($1::text[])
               ON CONFLICT (object) DO UPDATE SET since = easel_now()";
    sqlx::query(sql).bind(objects).execute(pool).await.map(|_| ())
}

/// Takes objects from the list; returns whether all of them were there. Those that were not may be deleted by now.
pub(super) async fn take(connection: &mut PgConnection, objects: &[String]) -> Sql<bool> {
    let sql = "DELETE FROM stray WHERE object = ANY($1)";
    let taken = sqlx::query(sql).bind(objects).execute(connection).await?;
    Ok(taken.rows_affected() == objects.len() as u64)
}

/// Makes objects that will never belong to a picture due at once.
pub(super) async fn abandon(pool: &PgPool, objects: &[String]) -> Sql<()> {
    sqlx::query("UPDATE stray SET since = 0 WHERE object = ANY($1)").bind(objects).execute(pool).await.map(|_| ())
}

/// Deletes the objects that are due, and those that have been listed for this long if that is not zero.
pub(super) async fn remove(inner: &Inner, age: Duration) -> Result<()> {
    loop {
        // Those that another host is deleting are skipped.
        let sql = "SELECT object FROM stray WHERE since <= CASE WHEN $1 = 0 THEN 0 ELSE easel_now() - $1 END
                   ORDER BY since LIMIT $2 FOR UPDATE SKIP LOCKED";
        let mut transaction = inner.pool.begin().await?;
        let due = sqlx::query_scalar(sql).bind(rows::micros(age)).bind(MOST);
        let due: Vec<String> = due.fetch_all(&mut *transaction).await?;
        if due.is_empty() {
            return Ok(());
        }
        inner.pictures.remove(&due).await?;
        take(&mut transaction, &due).await?;
        transaction.commit().await?;
    }
}
