//! The progress of the session's task, and interrupting it.

use super::WebUiError;
use crate::access::Caller;
use crate::extract::Query;
use crate::service::{Result, Session, Status, Task, WatchOptions};
use crate::{App, Error, wire};
use axum::Json;
use axum::extract::State;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The query of `/sdapi/v1/progress`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProgressQuery {
    /// Whether to leave out the preview.
    #[param(inline)]
    skip_current_image: Option<Word>,
}

/// A boolean in a query, as Python and JavaScript write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
enum Word {
    #[serde(rename = "true", alias = "True", alias = "1")]
    True,
    #[serde(rename = "false", alias = "False", alias = "0")]
    False,
}

/// The progress of the session's task.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = WebUiProgress)]
pub(crate) struct Progress {
    /// From 0 to 1; 0 if no task is in progress.
    progress: f64,
    /// The estimated remaining time in seconds; 0 if unknown.
    eta_relative: f64,
    state: Standing,
    /// The picture so far, a small JPEG in base64.
    current_image: Option<String>,
    /// Always null.
    textinfo: Option<String>,
}

/// The state of the task.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = WebUiState)]
pub(crate) struct Standing {
    skipped: bool,
    interrupted: bool,
    stopping_generation: bool,
    /// `task(ID)` if a task is waiting or in progress.
    job: String,
    /// 0 if no task is waiting or in progress.
    job_count: u32,
    job_timestamp: String,
    job_no: u32,
    sampling_step: u32,
    sampling_steps: u32,
}

/// The progress of the session's task.
#[utoipa::path(get, path = "/sdapi/v1/progress", tag = "sdapi", params(ProgressQuery),
    responses((status = 200, body = Progress), (status = 422, body = WebUiError)))]
pub(crate) async fn progress(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ProgressQuery>,
) -> Result<Json<Progress>> {
    let session = app.service.session(caller.session()).await?;
    let Session { task: Some(task), elapsed, .. } = session else { return Ok(Json(Progress::default())) };
    let is_wanted = query.skip_current_image != Some(Word::True) && task.status == Status::Processing;
    let current_image = if is_wanted { preview(&app, &task.id).await? } else { None };
    let done = if task.steps == 0 { 0.0 } else { f64::from(task.step) / f64::from(task.steps) };
    let done = done.clamp(0.0, 1.0);
    let elapsed = elapsed as f64 / 1000.0;
    let eta_relative = if done > 0.0 { elapsed * (1.0 - done) / done } else { 0.0 };
    Ok(Json(Progress { progress: done, eta_relative, state: state(&task), current_image, textinfo: None }))
}

fn state(task: &Task) -> Standing {
    Standing {
        job: format!("task({})", task.id),
        job_count: 1,
        job_timestamp: timestamp(task),
        sampling_step: task.step,
        sampling_steps: task.steps,
        ..Standing::default()
    }
}

/// When a task was accepted, in digits only: `20260131120000`.
pub(super) fn timestamp(task: &Task) -> String {
    wire::time(task.created_at).chars().filter(char::is_ascii_digit).take(14).collect()
}

/// The task's latest preview, if it has one.
async fn preview(app: &App, id: &str) -> Result<Option<String>> {
    let options = WatchOptions { after: None, preview: true };
    let mut reports = match app.service.watch(id.to_owned(), options).await {
        Err(Error::TaskNotFound { .. }) => return Ok(None),
        watched => watched?,
    };
    let report = reports.next().await;
    Ok(report.and_then(|report| report.preview).map(wire::base64))
}

/// Stop the session's task.
#[utoipa::path(post, path = "/sdapi/v1/interrupt", tag = "sdapi", responses((status = 200, body = Object)))]
pub(crate) async fn interrupt(State(app): State<App>, caller: Caller) -> Result<Json<Empty>> {
    stop(&app, &caller).await
}

/// Stop the session's task. There are no rounds to skip: all pictures of a request are one task.
#[utoipa::path(post, path = "/sdapi/v1/skip", tag = "sdapi", responses((status = 200, body = Object)))]
pub(crate) async fn skip(State(app): State<App>, caller: Caller) -> Result<Json<Empty>> {
    stop(&app, &caller).await
}

/// `{}`.
#[derive(Debug, Serialize)]
pub(crate) struct Empty {}

async fn stop(app: &App, caller: &Caller) -> Result<Json<Empty>> {
    if let Some(task) = app.service.session(caller.session()).await?.task {
        match app.service.cancel(task.id).await {
            // The task ended in the meantime.
            Ok(()) | Err(Error::TaskEnded { .. } | Error::TaskNotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Json(Empty {}))
}
