//! Watching a task by server-sent events (WHATWG HTML, section 9.2).

use super::TaskError;
use crate::extract::{Query, TaskId};
use crate::field::StatusName;
use crate::pictures::Framed;
use crate::service::{Progress, Result, Service, Status, WatchOptions};
use crate::sse::{self, COMMENT, Text, beat, whole};
use crate::{App, Error, wire};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::{self, BoxStream, StreamExt};
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// How a task is watched.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// `1` to get previews.
    #[serde(default, deserialize_with = "flag")]
    #[param(value_type = Option<String>)]
    preview: bool,
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(serde::de::Error::custom(format_args!("expected 1 or 0, got {other:?}"))),
    }
}

/// The data of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProgressEvent {
    task_id: String,
    #[schema(inline)]
    status: StatusName,
    /// In percent.
    progress: u32,
    #[schema(example = "Progress: 35%")]
    message: String,
    step: u32,
    steps: u32,
    /// The picture so far, a small JPEG as base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<String>,
    /// Only in the last event of a completed task.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<EventResult>,
    /// Only in the last event of a failed task.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The picture of a completed task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventResult {
    task_id: String,
    /// The PNG as base64.
    image_url: String,
    prompt: String,
}

/// The only event of an unknown task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnknownTaskEvent)]
pub(crate) struct Unknown {
    #[schema(example = "Task not found")]
    error: String,
    #[schema(example = "error")]
    status: &'static str,
}

/// The data of an event: a report, or the error for an unknown task.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what the events say")]
#[serde(untagged)]
pub(crate) enum StreamEvent {
    Progress(ProgressEvent),
    Unknown(Unknown),
}

/// Watch a task: first its current state, then every step.
///
/// The last event has the status `completed`, `cancelled` or `error`. `last-event-id` resumes.
#[utoipa::path(get, path = "/generate-stream/{task_id}", tag = "task",
    params(("task_id" = String, Path), StreamQuery, ("last-event-id" = Option<u64>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = StreamEvent),
              (status = 422, body = TaskError)))]
pub(crate) async fn generate_stream(
    State(app): State<App>,
    TaskId(task_id): TaskId,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let events = match app.service.watch(task_id.clone(), WatchOptions { after, preview: query.preview }).await {
        Ok(reports) => events(app.service, task_id, reports),
        Err(error @ Error::TaskNotFound { .. }) => {
            let unknown = Unknown { error: error.to_string(), status: "error" };
            let data = serde_json::to_string(&unknown).map_err(Error::internal)?;
            whole(format!("data: {data}\n\n"))
        }
        Err(error) => return Err(error),
    };
    Ok(sse::respond(events))
}

/// Reports as events, with a comment whenever the beat ends.
fn events(service: Arc<dyn Service>, task_id: String, reports: BoxStream<'static, Progress>) -> Text {
    let first = beat(service.clone());
    let next = move |(mut reports, mut pending): (BoxStream<'static, Progress>, BoxFuture<'static, ()>)| {
        let service = service.clone();
        let task_id = task_id.clone();
        async move {
            let report = match select(reports.next(), &mut pending).await {
                Either::Left((report, _)) => report?,
                Either::Right(_) => {
                    pending = beat(service);
                    return Some((whole(COMMENT.into()), (reports, pending)));
                }
            };
            let event = event(&*service, &task_id, report).await;
            Some((event.unwrap_or_else(|error| stream::iter([Err(error)]).boxed()), (reports, pending)))
        }
    };
    stream::unfold((reports, first), next).flatten().boxed()
}

async fn event(service: &dyn Service, task_id: &str, report: Progress) -> Result<Text> {
    let progress = wire::percent(report.status, report.step, report.steps);
    let mut data = ProgressEvent {
        task_id: task_id.to_owned(),
        status: StatusName(report.status),
        progress,
        message: format!("Progress: {progress}%"),
        step: report.step,
        steps: report.steps,
        preview: report.preview.map(wire::base64),
        result: None,
        error: report.error,
    };
    let head = format!("id: {}\ndata: ", report.sequence);
    if report.status == Status::Completed {
        match with_result(service, &mut data, &head).await {
            Ok(text) => return Ok(text),
            Err(error) => {
                data.status = StatusName(Status::Error);
                data.error = Some(error.to_string());
                data.result = None;
            }
        }
    }
    let data = serde_json::to_string(&data).map_err(Error::internal)?;
    Ok(whole(format!("{head}{data}\n\n")))
}

/// The last event of a completed task, with its picture.
async fn with_result(service: &dyn Service, data: &mut ProgressEvent, head: &str) -> Result<Text> {
    let task = service.task(data.task_id.clone()).await?;
    let id = *task.images.first().ok_or_else(|| Error::internal("the task has no picture"))?;
    let picture = service.image(id).await?;
    let result = EventResult { task_id: data.task_id.clone(), image_url: String::new(), prompt: task.prompt };
    data.result = Some(result);
    let event = Framed::json(data, "image_url", picture)?.between(head, "\n\n");
    Ok(event.open(service).await?.boxed())
}
