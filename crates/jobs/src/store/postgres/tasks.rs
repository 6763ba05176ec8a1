//! Queries on tasks. Those that write are part of the caller's transaction.

use super::leases::Leases;
use super::rows::{self, TASK, WRITTEN, micros, number, text};
use super::sqlx::{AssertSqlSafe, Row};
use super::{BATCH, PgConnection, PgPool, Sql, sqlx};
use crate::store::Claimed;
use crate::{Counts, Last, NewTask, Overtaken, Page, Preference, Priority, Selection, Status, Task, TaskId, TaskQuery};

/// Adds a waiting task; `None` if the queue is full. Hosts that add tasks at the same moment may exceed the capacity by as
/// many.
pub(super) async fn insert(connection: &mut PgConnection, new: &NewTask, capacity: usize) -> Sql<Option<Task>> {
    let sql = format!(
        "INSERT INTO task (id, status, priority, prompt, seed, steps, request, model)
         SELECT $1, 'pending', $2, $3, $4, $5, $6, $7
         WHERE (SELECT count(*) FROM task WHERE status = 'pending') < $8 RETURNING {WRITTEN}"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(TaskId::new_v4()).bind(new.priority as i16);
    let query = query.bind(text(&new.prompt)).bind(new.seed.cast_signed()).bind(i64::from(new.steps));
    let query = query.bind(&new.request).bind(text(&new.model)).bind(number(capacity));
    query.fetch_optional(connection).await?.map(|row| rows::task(&row)).transpose()
}

/// A waiting task that no other host is claiming.
struct First {
    number: i64,
    priority: i16,
    model: String,
}

/// Claims the first waiting task, or the one that overtakes it; returns the number of the attempt, too.
pub(super) async fn claim(
    connection: &mut PgConnection,
    preference: &Preference,
    leases: &Leases,
) -> Sql<Option<(Claimed, i64)>> {
    let (held, _) = leases.held();
    let Some(first) = first(connection, &held).await? else { return Ok(None) };
    let mut preferred = None;
    if preference.may_overtake(first.number, &first.model) {
        preferred = first_of(connection, &first, &preference.models, &held).await?;
    }
    // Events of earlier attempts keep their numbers.
    let sql = format!(
        "UPDATE task SET status = 'processing', attempts = attempts + 1, attempt = nextval('attempt'), host = $2,
             lease_until = easel_now() + $3, started_at = easel_now(),
             last_event = coalesce((SELECT max(event.id) + 1 FROM event WHERE event.task = task.id), 0)
         WHERE number = $1 RETURNING {WRITTEN}, request, attempt"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(preferred.unwrap_or(first.number)).bind(leases.host());
    let row = query.bind(micros(leases.lease())).fetch_one(connection).await?;
    let overtaken =
        preferred.and_then(|_| Some(Overtaken { priority: priority(first.priority)?, number: first.number }));
    let claimed = Claimed { task: rows::task(&row)?, request: row.try_get("request")?, overtaken };
    Ok(Some((claimed, row.try_get("attempt")?)))
}

fn priority(number: i16) -> Option<Priority> {
    [Priority::Low, Priority::Normal, Priority::High].into_iter().find(|priority| *priority as i16 == number)
}

/// The first waiting task, except those that this host was at work on and has not put down yet.
async fn first(connection: &mut PgConnection, held: &[TaskId]) -> Sql<Option<First>> {
    let sql = "SELECT number, priority, model FROM task WHERE status = 'pending' AND id <> ALL($1)
               ORDER BY priority DESC, number LIMIT 1 FOR UPDATE SKIP LOCKED";
    let row = sqlx::query_as(sql).bind(held).fetch_optional(connection).await?;
    Ok(row.map(|(number, priority, model)| First { number, priority, model }))
}

/// The first waiting task of the same priority for any of these models, by its number. The bounds keep to the index of
/// models: by equalities alone the planner may walk through the whole queue instead.
async fn first_of(
    connection: &mut PgConnection,
    first: &First,
    models: &[String],
    held: &[TaskId],
) -> Sql<Option<i64>> {
    let sql = "SELECT own.number FROM unnest($2::text[]) AS loaded (model)
               CROSS JOIN LATERAL (SELECT task.number FROM task
                   WHERE task.status = 'pending' AND task.id <> ALL($3)
                       AND (task.priority, task.model, task.number) > ($1, loaded.model, 0)
                       AND (task.priority, task.model, task.number) < ($1, loaded.model, 9223372036854775807)
                   ORDER BY task.priority, task.model, task.number LIMIT 1 FOR UPDATE SKIP LOCKED) AS own
               ORDER BY own.number LIMIT 1";
    sqlx::query_scalar(sql).bind(first.priority).bind(models).bind(held).fetch_optional(connection).await
}

/// Returns a task to its place in the queue; `false` if this attempt has ended.
pub(super) async fn release(connection: &mut PgConnection, id: TaskId, attempt: i64) -> Sql<bool> {
    let sql = "UPDATE task SET status = 'pending', attempts = attempts - 1, started_at = NULL, last_event = 0
               WHERE id = $1 AND status = 'processing' AND attempt = $2";
    Ok(sqlx::query(sql).bind(id).bind(attempt).execute(connection).await?.rows_affected() == 1)
}

/// Ends this attempt at a task; returns whether it was under way.
pub(super) async fn finish(
    connection: &mut PgConnection,
    id: TaskId,
    attempt: i64,
    status: Status,
    reason: Option<&str>,
    last: Last,
) -> Sql<bool> {
    let sql =
        "UPDATE task SET status = $3, error = $4, completed_at = easel_now(), request = '', step = $5, steps = $6,
               last_event = $7 WHERE id = $1 AND status = 'processing' AND attempt = $2";
    let query = sqlx::query(sql).bind(id).bind(attempt).bind(status.name()).bind(reason.map(text));
    let query = query.bind(i64::from(last.progress.step)).bind(i64::from(last.progress.steps));
    Ok(query.bind(last.event.cast_signed()).execute(connection).await?.rows_affected() == 1)
}

/// The status of a task whose latest attempt is this one.
pub(super) async fn of_attempt(pool: &PgPool, id: TaskId, attempt: i64) -> Sql<Option<Status>> {
    let sql = "SELECT status FROM task WHERE id = $1 AND attempt = $2";
    let name: Option<String> = sqlx::query_scalar(sql).bind(id).bind(attempt).fetch_optional(pool).await?;
    name.map(|name| rows::status(&name)).transpose()
}

/// Whether this is the latest attempt at a task.
pub(super) async fn is_latest(connection: &mut PgConnection, id: TaskId, attempt: i64) -> Sql<bool> {
    let sql = "SELECT EXISTS (SELECT FROM task WHERE id = $1 AND attempt = $2)";
    sqlx::query_scalar(sql).bind(id).bind(attempt).fetch_one(connection).await
}

/// Cancels a task that has not ended, and returns its previous state. Its last event comes after all that are known here or
/// were written by the host that runs it.
pub(super) async fn cancel(connection: &mut PgConnection, id: TaskId, last: Option<Last>) -> Sql<Option<Task>> {
    let sql = format!("SELECT {TASK} FROM task WHERE id = $1 FOR UPDATE OF task");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(&mut *connection).await?;
    let Some(before) = row.map(|row| rows::task(&row)).transpose()? else { return Ok(None) };
    if before.status.is_end() {
        return Ok(Some(before));
    }
    let sql = "UPDATE task SET status = 'cancelled', completed_at = easel_now(), request = '', step = $2, steps = $3,
               last_event = greatest($4, (SELECT max(event.id) + 1 FROM event WHERE event.task = task.id))
               WHERE id = $1";
    let progress = last.map_or(before.progress, |last| last.progress);
    let query = sqlx::query(sql).bind(id).bind(i64::from(progress.step)).bind(i64::from(progress.steps));
    query.bind(last.map(|last| last.event).unwrap_or_default().cast_signed()).execute(connection).await?;
    Ok(Some(before))
}

/// One task.
pub(super) async fn find(pool: &PgPool, id: TaskId) -> Sql<Option<Task>> {
    let sql = format!("SELECT {TASK} FROM task WHERE id = $1");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(pool).await?;
    row.map(|row| rows::task(&row)).transpose()
}

/// A page of tasks, newest first.
pub(super) async fn page(pool: &PgPool, query: &TaskQuery) -> Sql<Page<Task>> {
    let status = query.status.map(Status::name);
    let filter = if status.is_some() { "WHERE status = $1" } else { "WHERE $1::text IS NULL" };
    let count = format!("SELECT count(*) FROM task {filter}");
    let total: i64 = sqlx::query_scalar(AssertSqlSafe(count)).bind(status).fetch_one(pool).await?;
    // Skips entries in an index, because rows contain requests, which may be long.
    let sql = format!(
        "SELECT {TASK} FROM task WHERE number =
         ANY(ARRAY(SELECT number FROM task {filter} ORDER BY number DESC LIMIT $2 OFFSET $3)) ORDER BY number DESC"
    );
    let page = sqlx::query(AssertSqlSafe(sql)).bind(status).bind(number(query.limit)).bind(number(query.offset));
    let items = page.fetch_all(pool).await?.iter().map(rows::task).collect::<Sql<_>>()?;
    Ok(Page { total: usize::try_from(total).unwrap_or_default(), items })
}

/// How many tasks are in each status.
pub(super) async fn counts(pool: &PgPool) -> Sql<Counts> {
    let sql = "SELECT status, count(*) FROM task GROUP BY status";
    let found: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(pool).await?;
    let mut counts = Counts::default();
    for (name, count) in found {
        counts.set(rows::status(&name)?, usize::try_from(count).unwrap_or_default());
    }
    let sql = "SELECT priority, count(*) FROM task WHERE status = 'pending' GROUP BY priority";
    let waiting: Vec<(i16, i64)> = sqlx::query_as(sql).fetch_all(pool).await?;
    for (number, count) in waiting {
        if let Some(priority) = priority(number) {
            counts.set_waiting(priority, usize::try_from(count).unwrap_or_default());
        }
    }
    Ok(counts)
}

/// Deletes tasks that have ended, some at a time, and returns how many.
pub(super) async fn delete(pool: &PgPool, selection: &Selection) -> Sql<usize> {
    let sql = "DELETE FROM task WHERE number = ANY(ARRAY(
                   SELECT number FROM task WHERE status = ANY($1) AND ($2::uuid[] IS NULL OR id = ANY($2))
                   LIMIT $3 FOR UPDATE SKIP LOCKED))";
    let ends = [Status::Completed, Status::Cancelled, Status::Error].into_iter();
    let chosen = ends.filter(|end| selection.status.is_none_or(|status| status == *end));
    let statuses: Vec<&str> = chosen.map(Status::name).collect();
    let mut deleted = 0;
    loop {
        let query = sqlx::query(sql).bind(&statuses).bind(&selection.ids).bind(BATCH);
        match query.execute(pool).await?.rows_affected() {
            0 => return Ok(deleted),
            some => deleted += usize::try_from(some).unwrap_or_default(),
        }
    }
}
