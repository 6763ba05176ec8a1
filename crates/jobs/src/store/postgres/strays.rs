//! Objects without a picture. Before a host writes objects it lists them here, and the transaction that completes the task
//! takes them from the list. So the list has whatever a host left that died, or came too late, and deleted pictures.
//!
//! An object that is being deleted is marked, so that no picture can have it any more; nothing is locked meanwhile.

use super::{BATCH, Inner, PgConnection, PgPool, Sql, rows, sqlx};
use crate::{Error, Result};
use std::time::Duration;

/// How long an object may be listed before nobody can be about to complete its task any more.
pub(super) const ABANDONED: Duration = Duration::from_secs(3600);

/// Lists objects that are about to be written.
pub(super) async fn list(pool: &PgPool, objects: &[String]) -> Result<()> {
    let sql = "INSERT INTO stray (object) SELECT * FROM unnest($1::text[])
               ON CONFLICT (object) DO UPDATE SET since = easel_now() WHERE NOT stray.removing";
    let listed = sqlx::query(sql).bind(objects).execute(pool).await?;
    if listed.rows_affected() < objects.len() as u64 {
        let reason = "objects of these names are being deleted".into();
        return Err(Error::Postgres { reason, is_temporary: true });
    }
    Ok(())
}

/// Takes objects from the list; returns whether all of them were there. Those that were not may be deleted by now.
pub(super) async fn take(connection: &mut PgConnection, objects: &[String]) -> Sql<bool> {
    let sql = "DELETE FROM stray WHERE object = ANY($1) AND NOT removing";
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
        let due = mark(&inner.pool, age).await?;
        if due.is_empty() {
            return Ok(());
        }
        if let Err(error) = inner.pictures.remove(&due).await {
            abandon(&inner.pool, &due).await?;
            return Err(error);
        }
        sqlx::query("DELETE FROM stray WHERE object = ANY($1)").bind(&due).execute(&inner.pool).await?;
    }
}

/// Marks some of the objects that are due, and returns them. If this host dies before it has deleted them, they are due again
/// as any others.
async fn mark(pool: &PgPool, age: Duration) -> Sql<Vec<String>> {
    let sql = "UPDATE stray SET removing = true, since = easel_now() WHERE object = ANY(ARRAY(
                   SELECT object FROM stray
                   WHERE since <= CASE WHEN $1 = 0 THEN 0 ELSE (SELECT easel_now()) - $1 END
                   ORDER BY since LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING object";
    sqlx::query_scalar(sql).bind(rows::micros(age)).bind(BATCH).fetch_all(pool).await
}
