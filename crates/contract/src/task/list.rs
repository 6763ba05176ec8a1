//! Listing, cancelling and deleting tasks.

use super::{PageNumber, TaskError, paging};
use crate::extract::{JsonBody, OptionalJsonBody, Query, StrictQuery, TaskId};
use crate::field::{Integer, Name, StatusName, Text};
use crate::service::{Result, Status, Task, TaskFilter, TaskSelection};
use crate::{App, Error, limits, wire};
use axum::Json;
use axum::extract::State;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use utoipa::{IntoParams, ToSchema};

/// The number of tasks per page.
type Limit = Integer<1, { limits::ENTRIES_MAX }>;

/// The state of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskReport {
    task_id: String,
    #[schema(inline)]
    status: StatusName,
    /// In percent.
    progress: u32,
    created_at: String,
    started_at: Option<String>,
    /// When it was completed, cancelled or failed.
    completed_at: Option<String>,
    cancelled: bool,
    /// Whether it has a picture.
    result: bool,
    prompt: String,
    /// The number of tasks before it, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_position: Option<u32>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The state of a task.
#[utoipa::path(get, path = "/status/{task_id}", tag = "task", params(("task_id" = String, Path)),
    responses((status = 200, body = TaskReport), (status = 404, body = TaskError)))]
pub(crate) async fn status(State(app): State<App>, TaskId(task_id): TaskId) -> Result<Json<TaskReport>> {
    let task = app.service.task(task_id).await?;
    Ok(Json(TaskReport {
        progress: wire::percent(task.status, task.step, task.steps),
        status: StatusName(task.status),
        task_id: task.id,
        created_at: wire::time(task.created_at),
        started_at: task.started_at.map(wire::time),
        completed_at: task.completed_at.map(wire::time),
        cancelled: task.status == Status::Cancelled,
        result: task.status == Status::Completed && !task.images.is_empty(),
        prompt: task.prompt,
        queue_position: task.queue_position,
        error: task.error,
    }))
}

/// Which tasks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TasksQuery {
    #[param(inline)]
    status: Option<StatusName>,
    /// Tasks per page, 1000 by default.
    #[param(inline)]
    limit: Option<Limit>,
    /// The page, from 1.
    #[param(inline)]
    page: Option<PageNumber>,
}

/// Tasks by id, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskList {
    /// The total number on all pages.
    total_tasks: u64,
    #[serde(serialize_with = "in_order")]
    #[schema(value_type = std::collections::BTreeMap<String, TaskEntry>)]
    tasks: Vec<(String, TaskEntry)>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskEntry {
    #[schema(inline)]
    status: StatusName,
    progress: u32,
    created_at: String,
    /// The first 50 characters of the prompt.
    prompt: String,
}

/// Serialises the list as a JSON object in the same order.
fn in_order<S: Serializer>(tasks: &[(String, TaskEntry)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(tasks.iter().map(|(id, task)| (id, task)))
}

/// List tasks, newest first.
#[utoipa::path(get, path = "/tasks", tag = "task", params(TasksQuery),
    responses((status = 200, body = TaskList), (status = 422, body = TaskError)))]
pub(crate) async fn tasks(State(app): State<App>, Query(query): Query<TasksQuery>) -> Result<Json<TaskList>> {
    let filter = TaskFilter { status: query.status.map(|name| name.0), paging: paging(query.page, query.limit, 1000) };
    let page = app.service.tasks(filter).await?;
    let entry = |task: Task| {
        let entry = TaskEntry {
            status: StatusName(task.status),
            progress: wire::percent(task.status, task.step, task.steps),
            created_at: wire::time(task.created_at),
            prompt: shortened(&task.prompt),
        };
        (task.id, entry)
    };
    Ok(Json(TaskList { total_tasks: page.total, tasks: page.items.into_iter().map(entry).collect() }))
}

fn shortened(prompt: &str) -> String {
    match prompt.char_indices().nth(50) {
        Some((end, _)) => format!("{}...", &prompt[..end]),
        None => prompt.to_owned(),
    }
}

/// Which task to cancel.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CancelRequest {
    #[schema(inline)]
    task_id: Name,
}

/// A cancelled task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cancelled {
    #[schema(example = "success")]
    status: &'static str,
    message: &'static str,
    task_id: String,
}

/// Cancel a task. It stops before its next denoising step.
#[utoipa::path(post, path = "/cancel-generation", tag = "task", request_body = CancelRequest,
    responses((status = 200, body = Cancelled), (status = 400, body = TaskError, description = "it has ended"),
              (status = 404, body = TaskError), (status = 422, body = TaskError)))]
pub(crate) async fn cancel_generation(
    State(app): State<App>,
    JsonBody(body): JsonBody<CancelRequest>,
) -> Result<Json<Cancelled>> {
    let task_id = body.task_id.into_inner();
    app.service.cancel(task_id.clone()).await.map_err(|error| match error {
        Error::TaskNotFound { task_id } => Error::NothingToCancel { task_id },
        error => error,
    })?;
    Ok(Json(Cancelled { status: "success", message: "Task cancelled successfully", task_id }))
}

/// Selects tasks to delete: those that match every field that is set.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteRequest {
    /// Only tasks with these ids. In a query, `task_ids` may be repeated or contain several ids separated by commas.
    #[schema(value_type = Option<Vec<String>>, max_items = 1000)]
    #[param(value_type = Option<Vec<String>>, max_items = 1000)]
    task_ids: Option<Ids>,
    /// Only tasks with this status.
    #[schema(inline)]
    #[param(inline)]
    status: Option<StatusName>,
}

/// A list of ids, or a text with ids separated by commas.
#[derive(Debug, Default)]
struct Ids(Vec<String>);

impl Ids {
    fn push<E: serde::de::Error>(&mut self, id: &str) -> Result<(), E> {
        if self.0.len() == limits::IDS_MAX {
            return Err(E::custom(format_args!("more than {} ids", limits::IDS_MAX)));
        }
        if id.is_empty() || id.len() > limits::NAME_MAX {
            return Err(E::custom(format_args!("an id of {} bytes, expected 1 to {}", id.len(), limits::NAME_MAX)));
        }
        self.0.push(id.to_owned());
        Ok(())
    }
}

impl<'de> Visitor<'de> for Ids {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of task ids")
    }

    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<Self, E> {
        text.split(',').try_for_each(|id| self.push(id.trim()))?;
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while let Some(id) = list.next_element::<Text<1, { limits::NAME_MAX }>>()? {
            self.push(&id)?;
        }
        Ok(self)
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self::default())
    }
}

/// The number of deleted tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deleted {
    message: String,
}

/// Delete tasks. Tasks in progress are kept. Without a body and a query, all ended tasks are deleted.
#[utoipa::path(delete, path = "/delete-tasks", tag = "task", params(DeleteRequest),
    request_body = Option<DeleteRequest>,
    responses((status = 200, body = Deleted), (status = 422, body = TaskError)))]
pub(crate) async fn delete_tasks(
    State(app): State<App>,
    StrictQuery(query): StrictQuery<DeleteRequest>,
    OptionalJsonBody(body): OptionalJsonBody<DeleteRequest>,
) -> Result<Json<Deleted>> {
    let is_selective = query.is_some() || body.is_some();
    let mut selection = TaskSelection::default();
    for request in [body, query].into_iter().flatten() {
        selection.ids = selection.ids.or(request.task_ids.map(|ids| ids.0));
        selection.status = selection.status.or(request.status.map(|name| name.0));
    }
    // An empty selection is more likely a bug in a script than a wish to delete everything.
    if is_selective && selection == TaskSelection::default() {
        let reason = "give task_ids or status; without a body and a query all tasks that have ended are deleted";
        return Err(Error::invalid("task_ids", reason));
    }
    let message = match app.service.delete_tasks(selection).await? {
        0 => "No tasks found".to_owned(),
        count => format!("Successfully deleted {count} tasks"),
    };
    Ok(Json(Deleted { message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_prompts_are_cut_between_characters() {
        assert_eq!(shortened(&"é".repeat(50)), "é".repeat(50));
        assert_eq!(shortened(&"é".repeat(51)), "é".repeat(50) + "...");
    }
}
