//! Leases: a host may work on a task for as long as it renews the task's lease. When a lease has run out, any host may give
//! the task to another one.
//!
//! A lease has the number of its attempt, which no other attempt has. A host that was stopped or cut off for too long finds
//! that its number is not the task's any more.

use super::channel::News;
use super::{Inner, Sql, rows, sqlx};
use crate::{Keeping, Notice, Result, TaskId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

/// After this many attempts that ended without the host, a task counts as the cause and fails. One more than in the store of
/// one host: a host can also lose its connection.
const ATTEMPTS: i64 = 3;

/// How often a lease is renewed before it runs out.
const RENEWALS: u32 = 3;

/// The key of the advisory lock that a host holds while it clears what is due.
const HOUSE: i64 = 0x4561_736C_0002;

/// The leases of this host.
pub(super) struct Leases {
    host: Uuid,
    lease: Duration,
    /// The attempt of each task.
    held: Mutex<HashMap<TaskId, i64>>,
    reconnected: Notify,
}

impl Leases {
    pub(super) fn new(lease: Duration) -> Self {
        Self { host: Uuid::new_v4(), lease, held: Mutex::default(), reconnected: Notify::new() }
    }

    /// This host.
    pub(super) fn host(&self) -> Uuid {
        self.host
    }

    /// How long a lease holds.
    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    pub(super) fn take(&self, task: TaskId, attempt: i64) {
        self.held.lock().insert(task, attempt);
    }

    pub(super) fn give_up(&self, task: TaskId) {
        self.held.lock().remove(&task);
    }

    /// This host's attempt at the task; `None` if it has none.
    pub(super) fn attempt(&self, task: TaskId) -> Option<i64> {
        self.held.lock().get(&task).copied()
    }

    /// The tasks of this host, and the attempt of each.
    pub(super) fn held(&self) -> (Vec<TaskId>, Vec<i64>) {
        self.held.lock().iter().map(|(task, attempt)| (*task, *attempt)).unzip()
    }

    /// Resolves when the database answers again after it did not.
    pub(super) async fn reconnected(&self) {
        self.reconnected.notified().await;
    }
}

/// Renews the leases of this host and gives away those of others that have run out, for as long as the store is open.
pub(super) async fn keep(inner: Arc<Inner>, notices: Sender<Notice>) {
    let pause = inner.leases.lease / RENEWALS;
    let mut has_failed = false;
    loop {
        tokio::time::sleep(pause).await;
        let kept = match tokio::time::timeout(pause.max(super::PATIENCE), keep_once(&inner, &notices)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "could not renew the leases of this host");
                false
            }
            Err(_) => {
                tracing::warn!("could not renew the leases of this host: the database does not answer");
                false
            }
        };
        if kept && has_failed {
            inner.leases.reconnected.notify_one();
        }
        has_failed = !kept;
    }
}

async fn keep_once(inner: &Inner, notices: &Sender<Notice>) -> Result<()> {
    for lost in renew(inner).await? {
        // Without a queue, nobody receives it.
        let _ = notices.send(Notice::Lost(lost));
    }
    let (again, failed) = recover(inner).await?;
    if again + failed > 0 {
        tracing::warn!(again, failed, "hosts have stopped answering while tasks were running");
    }
    Ok(())
}

/// Renews the leases of this host; returns the tasks that it has lost.
async fn renew(inner: &Inner) -> Sql<Vec<TaskId>> {
    let (tasks, attempts) = inner.leases.held();
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "UPDATE task SET lease_until = easel_now() + $3
               FROM unnest($1::uuid[], $2::bigint[]) AS held (id, attempt)
               WHERE task.id = held.id AND task.attempt = held.attempt AND task.status = 'processing' RETURNING task.id";
    let query = sqlx::query_scalar(sql).bind(&tasks).bind(&attempts).bind(rows::micros(inner.leases.lease));
    let renewed: Vec<TaskId> = query.fetch_all(&inner.pool).await?;
    let is_lost = |(task, attempt): &(TaskId, i64)| {
        // It may have ended here meanwhile.
        !renewed.contains(task) && inner.leases.attempt(*task) == Some(*attempt)
    };
    Ok(tasks.into_iter().zip(attempts).filter(is_lost).map(|(task, _)| task).collect())
}

/// Lets tasks whose lease has run out wait again, or fails them if that happened too often; returns how many of each.
pub(super) async fn recover(inner: &Inner) -> Result<(usize, usize)> {
    let sql = "
        WITH lost AS (SELECT number AS place, attempts >= $1 AS is_last FROM task
                      WHERE status = 'processing' AND lease_until < (SELECT easel_now()) FOR UPDATE SKIP LOCKED)
        UPDATE task SET status = CASE WHEN is_last THEN 'error' ELSE 'pending' END,
            error = CASE WHEN is_last THEN 'the host stopped answering while this task ran, ' || attempts || ' times' END,
            request = CASE WHEN is_last THEN ''::bytea ELSE request END,
            completed_at = CASE WHEN is_last THEN easel_now() END,
            started_at = CASE WHEN is_last THEN started_at END,
            last_event = CASE WHEN is_last THEN coalesce((SELECT max(event.id) + 1 FROM event WHERE event.task = task.id), 0)
                         ELSE 0 END
        FROM lost WHERE number = place RETURNING id, is_last";
    let mut transaction = inner.pool.begin().await?;
    let lost: Vec<(TaskId, bool)> = sqlx::query_as(sql).bind(ATTEMPTS).fetch_all(&mut *transaction).await?;
    for (task, _) in &lost {
        inner.tell(&mut transaction, News::Changed(*task)).await?;
    }
    let failed = lost.iter().filter(|(_, is_last)| *is_last).count();
    if lost.len() > failed {
        inner.tell(&mut transaction, News::Waiting).await?;
    }
    transaction.commit().await?;
    Ok((lost.len() - failed, failed))
}

/// The right to clear what is due; `None` if another host has it. It lasts as long as the transaction that has the lock.
pub(super) async fn keep_house(inner: &Inner) -> Sql<Option<Keeping>> {
    let mut transaction = inner.pool.begin().await?;
    let lock = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(HOUSE);
    let is_ours: bool = lock.fetch_one(&mut *transaction).await?;
    if !is_ours {
        return Ok(None);
    }
    let (keeping, dropped) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let _ = dropped.await;
        let _ = transaction.rollback().await;
    });
    Ok(Some(Box::new(keeping)))
}
