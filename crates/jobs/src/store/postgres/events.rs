//! Progress for watchers on other hosts. Engines never wait for it: events are kept here until a task in the background
//! writes them, several at a time.

use super::channel::News;
use super::{Inner, PgConnection, PgPool, Sql, rows, sqlx};
use crate::{Event, Progress, TaskId};
use parking_lot::Mutex;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{MutexGuard, Notify};

/// The most events that wait; the oldest ones are dropped while the database does not answer.
const WAITING: usize = 4096;

/// The most events of one statement. After an outage there are many, and a statement must end before its timeout.
const BATCH: usize = 256;

/// How long to wait before writing again what the database refused.
const RETRY: Duration = Duration::from_millis(500);

/// How long events stay after the end of their task, for watchers that are about to read them.
const KEPT: Duration = Duration::from_secs(60);

/// The events of this host that other hosts don't have yet.
#[derive(Default)]
pub(super) struct Events {
    waiting: Mutex<Waiting>,
    added: Notify,
    /// Held while events are written, so that they come in order, and all of them before the end of their task.
    writing: tokio::sync::Mutex<()>,
}

/// Events in the order of their numbers.
#[derive(Default)]
struct Waiting {
    events: VecDeque<Sent>,
    /// How many were ever added.
    count: u64,
}

/// The right to write events.
pub(super) type Writing<'a> = MutexGuard<'a, ()>;

/// An event of an attempt.
#[derive(Clone, Debug)]
struct Sent {
    /// Its place among all events of this host.
    number: u64,
    task: TaskId,
    attempt: i64,
    event: Event,
}

impl Events {
    /// Adds an event without waiting.
    pub(super) fn add(&self, task: TaskId, attempt: i64, event: Event) {
        let mut waiting = self.waiting.lock();
        if waiting.events.len() == WAITING {
            waiting.events.pop_front();
        }
        let number = waiting.count;
        waiting.count += 1;
        waiting.events.push_back(Sent { number, task, attempt, event });
        drop(waiting);
        self.added.notify_one();
    }

    /// Waits for the right to write events.
    pub(super) async fn hold(&self) -> Writing<'_> {
        self.writing.lock().await
    }

    /// Writes those of one task, which is about to end.
    pub(super) async fn write(&self, connection: &mut PgConnection, _held: &Writing<'_>, task: TaskId) -> Sql<()> {
        let own: Vec<Sent> = self.waiting.lock().events.iter().filter(|sent| sent.task == task).cloned().collect();
        insert(connection, &own).await
    }

    /// Writes all of them.
    async fn write_all(&self, inner: &Inner) -> Sql<()> {
        while self.write_some(inner).await? {}
        Ok(())
    }

    /// Writes the oldest ones. Returns whether there were any.
    async fn write_some(&self, inner: &Inner) -> Sql<bool> {
        let _held = self.hold().await;
        let oldest: Vec<Sent> = self.waiting.lock().events.iter().take(BATCH).cloned().collect();
        let Some(last) = oldest.last().map(|sent| sent.number) else { return Ok(false) };
        let mut transaction = inner.pool.begin().await?;
        insert(&mut transaction, &oldest).await?;
        let tasks: BTreeSet<TaskId> = oldest.iter().map(|sent| sent.task).collect();
        for task in tasks {
            inner.tell(&mut transaction, News::Changed(task)).await?;
        }
        transaction.commit().await?;
        let events = &mut self.waiting.lock().events;
        while events.front().is_some_and(|sent| sent.number <= last) {
            events.pop_front();
        }
        Ok(true)
    }
}

/// Writes events, for as long as the store is open.
pub(super) async fn send(inner: Arc<Inner>) {
    loop {
        inner.events.added.notified().await;
        while let Err(error) = inner.events.write_all(&inner).await {
            tracing::debug!(%error, "could not pass on progress");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Adds events, unless their attempt was given up: a host that comes back late adds nothing to another one's progress.
async fn insert(connection: &mut PgConnection, events: &[Sent]) -> Sql<()> {
    if events.is_empty() {
        return Ok(());
    }
    let column = |read: fn(&Sent) -> i64| events.iter().map(read).collect::<Vec<i64>>();
    let tasks: Vec<TaskId> = events.iter().map(|sent| sent.task).collect();
    let statuses: Vec<&str> = events.iter().map(|sent| sent.event.status.name()).collect();
    let previews: Vec<Option<Vec<u8>>> =
        events.iter().map(|sent| sent.event.preview.as_ref().map(|preview| preview.to_vec())).collect();
    let sql = "INSERT INTO event (task, id, status, step, steps, preview)
               SELECT sent.task, sent.id, sent.status, sent.step, sent.steps, sent.preview
               FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bytea[])
                    AS sent (task, attempt, id, status, step, steps, preview)
               JOIN task ON task.id = sent.task AND task.attempt = sent.attempt AND task.status = 'processing'
               ON CONFLICT DO NOTHING";
    let query = sqlx::query(sql).bind(tasks).bind(column(|sent| sent.attempt));
    let query = query.bind(column(|sent| sent.event.id.cast_signed())).bind(statuses);
    let query = query.bind(column(|sent| sent.event.progress.step.into()));
    let query = query.bind(column(|sent| sent.event.progress.steps.into())).bind(previews);
    query.execute(connection).await.map(|_| ())
}

/// A row of the table: number, status, step, steps, preview.
type Written = (i64, String, i64, i64, Option<Vec<u8>>);

/// The events of a task from this number on.
pub(super) async fn since(pool: &PgPool, task: TaskId, from: u64) -> Sql<Vec<Event>> {
    let sql = "SELECT id, status, step, steps, preview FROM event WHERE task = $1 AND id >= $2 ORDER BY id";
    let found: Vec<Written> = sqlx::query_as(sql).bind(task).bind(from.cast_signed()).fetch_all(pool).await?;
    let read = |(id, status, step, steps, preview): Written| {
        let progress = Progress { step: rows::small(step)?, steps: rows::small(steps)? };
        let status = rows::status(&status)?;
        Ok(Event { id: id.cast_unsigned(), status, progress, preview: preview.map(Into::into), error: None })
    };
    found.into_iter().map(read).collect()
}

/// Deletes the events of tasks that ended a while ago or are gone.
pub(super) async fn clear(pool: &PgPool) -> Sql<()> {
    let sql = "DELETE FROM event WHERE ctid = ANY(ARRAY(
                   SELECT ctid FROM event WHERE NOT EXISTS (
                       SELECT 1 FROM task
                       WHERE task.id = event.task AND coalesce(completed_at > (SELECT easel_now()) - $1, true))
                   LIMIT $2 FOR UPDATE SKIP LOCKED))";
    loop {
        let cleared = sqlx::query(sql).bind(rows::micros(KEPT)).bind(super::BATCH).execute(pool).await?;
        if cleared.rows_affected() == 0 {
            return Ok(());
        }
    }
}
