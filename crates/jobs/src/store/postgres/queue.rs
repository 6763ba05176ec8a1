//! Positions in the queue, for a whole page of tasks, from one walk through the index of waiting tasks.

use super::sqlx::Connection;
use super::{PgPool, Sql, sqlx};
use crate::{PictureId, Standing, TaskId};
use std::collections::HashMap;

/// The place of each waiting task: how many have a higher priority, and how many of its own are before it. Only those
/// between two tasks that were asked for are counted for the later one, and those of higher priorities once for each priority
/// (otherwise the planner counts them for each task).
const PLACES: &str = "
    WITH asked AS (
        SELECT id, priority, number, lag(number, 1, 0::bigint) OVER (PARTITION BY priority ORDER BY number) AS after
        FROM task WHERE id = ANY($1) AND status = 'pending'
    ), counted AS (
        SELECT id, priority, number, (SELECT count(*) FROM task WHERE status = 'pending' AND task.priority = asked.priority
                                      AND task.number >= asked.after AND task.number < asked.number) AS between
        FROM asked
    ), above AS MATERIALIZED (
        SELECT priority, (SELECT count(*) FROM task WHERE status = 'pending' AND task.priority > own.priority) AS count
        FROM (SELECT DISTINCT priority FROM asked) AS own
    )
    SELECT id, (above.count + sum(between) OVER (PARTITION BY counted.priority ORDER BY number))::bigint
    FROM counted JOIN above ON above.priority = counted.priority";

/// The same for a page of tasks, counted from the end of the queue: most pages have the newest tasks, and few are after them.
const PLACES_FROM_THE_END: &str = "
    WITH asked AS (
        SELECT id, priority, number,
            lead(number, 1, 9223372036854775807) OVER (PARTITION BY priority ORDER BY number) AS before
        FROM task WHERE id = ANY($1) AND status = 'pending'
    ), counted AS (
        SELECT id, priority, number, (SELECT count(*) FROM task WHERE status = 'pending' AND task.priority = asked.priority
                                      AND task.number >= asked.number AND task.number < asked.before) AS between
        FROM asked
    ), waiting AS MATERIALIZED (
        SELECT priority, count(*) AS count FROM task WHERE status = 'pending' GROUP BY priority
    )
    SELECT id, ((SELECT sum(count) FROM waiting WHERE waiting.priority >= counted.priority)
                - sum(between) OVER (PARTITION BY priority ORDER BY number DESC))::bigint
    FROM counted";

/// The standing of each task, in the requested order.
pub(super) async fn standings(pool: &PgPool, tasks: &[TaskId]) -> Sql<Vec<Standing>> {
    let places: HashMap<TaskId, usize> = tasks.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    let mut standings = vec![Standing::default(); tasks.len()];
    let mut connection = pool.acquire().await?;
    let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let drawn = "SELECT task, id FROM picture WHERE task = ANY($1) ORDER BY task, number";
    let drawn: Vec<(TaskId, PictureId)> = sqlx::query_as(drawn).bind(tasks).fetch_all(&mut *snapshot).await?;
    let places_of = if tasks.len() > 1 { PLACES_FROM_THE_END } else { PLACES };
    let waiting: Vec<(TaskId, i64)> = sqlx::query_as(places_of).bind(tasks).fetch_all(&mut *snapshot).await?;
    snapshot.commit().await?;
    for (task, picture) in drawn {
        if let Some(place) = places.get(&task) {
            standings[*place].pictures.push(picture);
        }
    }
    for (task, before) in waiting {
        if let Some(place) = places.get(&task) {
            standings[*place].position = usize::try_from(before).ok();
        }
    }
    Ok(standings)
}
