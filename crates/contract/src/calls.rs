//! The service itself over HTTP: one route that carries every call of [`Service`] as it is, nothing rounded or renamed.
//!
//! A component on a foreign host (`edge/remote`) calls it, so that the routes for people stay the same wherever they run.
//! It offers nothing that those do not.

use crate::Error;
use crate::extract::{BodyLimit, JsonBody};
use crate::service::{
    DeviceKind, ImageFilter, ImageRequest, Priority, Progress, Result, Service, TaskFilter, TaskSelection, WatchOptions,
};
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The route.
pub const PATH: &str = "/studio/0.1";

/// The longest body: a picture to start from in base64, and some text.
const BODY_LIMIT: usize = 64 << 20;

/// A call of the function of [`Service`] with the same name.
///
/// The answer is the function's result as JSON, with status 200; an [`Error`] as JSON, with status 400. `Watch` answers
/// with one line of JSON per [`Progress`], `ReadImage` with the bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the functions of `Service` describe them")]
pub enum Call {
    Submit { request: ImageRequest, priority: Priority },
    Task { id: String },
    Tasks { filter: TaskFilter },
    Watch { id: String, options: WatchOptions },
    Cancel { id: String },
    DeleteTasks { selection: TaskSelection },
    Run { request: ImageRequest },
    LatestRun,
    TakeRun,
    Images { filter: ImageFilter },
    Image { id: u64 },
    ReadImage { id: u64, start: u64, end: u64 },
    DeleteImage { id: u64 },
    Devices,
    SelectDevice { kind: Option<DeviceKind> },
    Health,
    Metrics,
}

/// The route, answered by `service`. It has no CORS: pages cannot call it.
pub fn router(service: Arc<dyn Service>) -> Router {
    Router::new()
        .route(PATH, post(answer))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(Extension(BodyLimit(BODY_LIMIT)))
        .with_state(service)
}

async fn answer(State(service): State<Arc<dyn Service>>, call: Result<JsonBody<Call>>) -> Response {
    let answered = match call {
        Ok(JsonBody(call)) => perform(&*service, call).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(|error| (StatusCode::BAD_REQUEST, Json(error)).into_response())
}

async fn perform(service: &dyn Service, call: Call) -> Result<Response> {
    Ok(match call {
        Call::Submit { request, priority } => Json(service.submit(request, priority).await?).into_response(),
        Call::Task { id } => Json(service.task(&id).await?).into_response(),
        Call::Tasks { filter } => Json(service.tasks(filter).await?).into_response(),
        Call::Watch { id, options } => {
            let lines = service.watch(&id, options).await?.map(line);
            ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
        }
        Call::Cancel { id } => Json(service.cancel(&id).await?).into_response(),
        Call::DeleteTasks { selection } => Json(service.delete_tasks(selection).await?).into_response(),
        Call::Run { request } => Json(service.run(request).await?).into_response(),
        Call::LatestRun => Json(service.latest_run().await?).into_response(),
        Call::TakeRun => Json(service.take_run().await?).into_response(),
        Call::Images { filter } => Json(service.images(filter).await?).into_response(),
        Call::Image { id } => Json(service.image(id).await?).into_response(),
        Call::ReadImage { id, start, end } if start <= end => {
            let bytes = service.read_image(id, start..end).await?;
            let length = [(header::CONTENT_LENGTH, (end - start).to_string())];
            (length, Body::from_stream(bytes)).into_response()
        }
        Call::ReadImage { .. } => return Err(Error::invalid("end", "before start")),
        Call::DeleteImage { id } => Json(service.delete_image(id).await?).into_response(),
        Call::Devices => Json(service.devices().await?).into_response(),
        Call::SelectDevice { kind } => Json(service.select_device(kind.into()).await?).into_response(),
        Call::Health => Json(service.health().await).into_response(),
        Call::Metrics => Json(service.metrics().await?).into_response(),
    })
}

fn line(report: Progress) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(&report)?;
    line.push(b'\n');
    Ok(line)
}
