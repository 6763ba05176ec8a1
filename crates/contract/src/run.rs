//! The run family, under `/pipeline`: one run at a time, polled. Errors are `{"status":"error","message","detail"}`.

use crate::access::Caller;
use crate::extract::JsonBody;
use crate::field::{GuidanceScale, Name, NegativePrompt, Prompt, Seed, Size, Steps};
use crate::service::{Device, DeviceKind, ImageRequest, Result, Status};
use crate::{App, Error, range, wire};
use axum::extract::State;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/pipeline/select-device", post(select_device))
        .route("/pipeline/run", post(run))
        .route("/pipeline/status", get(status))
        .route("/pipeline/image", get(image))
        .route("/pipeline/devices", get(devices))
}

/// Their part of the OpenAPI description.
#[derive(OpenApi)]
#[openapi(paths(select_device, run, status, image, devices))]
pub(crate) struct Description;

/// A success.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Success {
    #[schema(example = "success")]
    status: &'static str,
    message: String,
}

impl Success {
    fn new(message: impl Into<String>) -> Self {
        Self { status: "success", message: message.into() }
    }
}

/// An error of the run family. `message` and `detail` are the same.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body that `error::shape` writes")]
#[schema(as = PipelineError)]
pub(crate) struct RunError {
    #[schema(example = "error")]
    status: &'static str,
    message: String,
    detail: String,
}

/// A kind of device.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SelectDevice {
    /// `CPU`, `GPU`, `CUDA`, `METAL` or `AUTO`, in any case.
    #[schema(value_type = String, example = "CPU")]
    device: Name,
}

/// Compute on another device.
#[utoipa::path(post, path = "/pipeline/select-device", tag = "pipeline", request_body = SelectDevice,
    responses((status = 200, body = Success), (status = 400, body = RunError, description = "not available"),
              (status = 422, body = RunError)))]
async fn select_device(State(app): State<App>, JsonBody(body): JsonBody<SelectDevice>) -> Result<Json<Success>> {
    let wanted = body.device.to_uppercase();
    let kind = match wanted.as_str() {
        "AUTO" => None,
        "CPU" => Some(DeviceKind::Cpu),
        "GPU" => Some(DeviceKind::Gpu),
        "CUDA" => Some(DeviceKind::Cuda),
        "METAL" => Some(DeviceKind::Metal),
        _ => return Err(Error::DeviceUnavailable { device: body.device.into_inner() }),
    };
    let device = app.service.select_device(kind).await?;
    let name = if kind.is_none() { device.kind.name().to_uppercase() } else { wanted };
    Ok(Json(Success::new(format!("Pipeline prepared on {name}."))))
}

/// What to draw.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RunRequest {
    #[schema(inline)]
    prompt: Prompt,
    #[schema(inline)]
    width: Option<Size>,
    #[schema(inline)]
    height: Option<Size>,
    #[schema(inline)]
    num_inference_steps: Option<Steps>,
    #[schema(inline)]
    negative_prompt: Option<NegativePrompt>,
    #[schema(inline)]
    guidance_scale: Option<GuidanceScale>,
    #[schema(inline)]
    seed: Option<Seed>,
    #[schema(inline)]
    scheduler: Option<Name>,
    #[schema(inline)]
    model: Option<Name>,
}

/// Start a run in the background.
#[utoipa::path(post, path = "/pipeline/run", tag = "pipeline", request_body = RunRequest,
    responses((status = 200, body = Success),
              (status = 400, body = RunError, description = "a run is in progress"),
              (status = 404, body = RunError, description = "no such model"), (status = 422, body = RunError),
              (status = 429, body = RunError, description = "the queue is full"),
              (status = 503, body = RunError, description = "shutting down"),
              (status = 507, body = RunError, description = "the picture does not fit the machine's memory")))]
async fn run(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<RunRequest>,
) -> Result<([(axum::http::HeaderName, String); 1], Json<Success>)> {
    let request = ImageRequest {
        prompt: body.prompt.into_inner(),
        negative_prompt: body.negative_prompt.map(NegativePrompt::into_inner),
        width: body.width.map(u32::from),
        height: body.height.map(u32::from),
        steps: body.num_inference_steps.map(u32::from),
        guidance_scale: body.guidance_scale.map(GuidanceScale::get),
        seed: body.seed.map(Seed::get),
        scheduler: body.scheduler.map(Name::into_inner),
        model: body.model.map(Name::into_inner),
        count: 1,
        ..ImageRequest::default()
    };
    let renamed = |error: Error| error.renamed(&[("steps", "num_inference_steps")]);
    let task = caller.run(&*app.service, request).await.map_err(renamed)?;
    let success = Success::new("Pipeline execution started in background.");
    Ok(([(wire::SEED, task.seed.to_string())], Json(success)))
}

/// The state of the latest run.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct RunStatus {
    running: bool,
    /// Whether its picture is ready.
    completed: bool,
    /// In percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The state of the latest run.
#[utoipa::path(get, path = "/pipeline/status", tag = "pipeline", responses((status = 200, body = RunStatus)))]
async fn status(State(app): State<App>) -> Result<Json<RunStatus>> {
    let Some(run) = app.service.latest_run().await? else { return Ok(Json(RunStatus::default())) };
    let task = run.task;
    Ok(Json(RunStatus {
        running: !task.status.is_final(),
        completed: task.status == Status::Completed && !run.taken,
        progress: Some(wire::percent(task.status, task.step, task.steps)),
        step: Some(task.step),
        steps: Some(task.steps),
        task_id: Some(task.id),
        error: task.error,
    }))
}

/// Take the picture of the latest run.
#[utoipa::path(get, path = "/pipeline/image", tag = "pipeline",
    responses((status = 200, content_type = "image/png", body = Vec<u8>,
               headers(("x-easel-seed" = u64, description = "the seed of the noise"))),
              (status = 400, body = RunError, description = "not complete, or taken already")))]
async fn image(State(app): State<App>, method: Method) -> Result<Response> {
    // A HEAD request must not take the picture away from the GET that follows.
    if method == Method::HEAD {
        let run = app.service.latest_run().await?.filter(|run| !run.taken).ok_or(Error::RunNotComplete)?;
        let id = *run.task.images.first().ok_or(Error::RunNotComplete)?;
        return range::whole(&*app.service, &app.service.image(id).await?).await;
    }
    let image = app.service.take_run().await?;
    range::whole(&*app.service, &image).await
}

/// A device to compute on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceEntry {
    id: String,
    name: String,
    /// `cpu`, `gpu`, `cuda` or `metal`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    selected: bool,
}

/// The devices of this host.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Devices {
    devices: Vec<DeviceEntry>,
}

/// List the devices of this host.
#[utoipa::path(get, path = "/pipeline/devices", tag = "pipeline", responses((status = 200, body = Devices)))]
async fn devices(State(app): State<App>) -> Result<Json<Devices>> {
    let entry = |device: Device| DeviceEntry {
        id: device.id,
        name: device.name,
        kind: device.kind.name(),
        memory_bytes: device.memory_bytes,
        selected: device.selected,
    };
    let devices = app.service.devices().await?.into_iter().map(entry).collect();
    Ok(Json(Devices { devices }))
}
