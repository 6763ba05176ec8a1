//! Submitting a task.

use super::TaskError;
use crate::access::Caller;
use crate::extract::JsonBody;
use crate::field::{GuidanceScale, Name, NegativePrompt, Prompt, Seed, Size, Steps};
use crate::service::{ImageRequest, Priority, Result};
use crate::{App, wire};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What to draw. The model has defaults for size, steps and guidance.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct GenerateRequest {
    #[schema(inline)]
    prompt: Prompt,
    #[schema(inline)]
    negative_prompt: Option<NegativePrompt>,
    #[schema(inline)]
    width: Option<Size>,
    #[schema(inline)]
    height: Option<Size>,
    #[schema(inline)]
    steps: Option<Steps>,
    /// Another name of `steps`, which takes precedence.
    #[schema(inline)]
    num_inference_steps: Option<Steps>,
    #[schema(inline)]
    guidance_scale: Option<GuidanceScale>,
    #[schema(inline)]
    seed: Option<Seed>,
    #[schema(inline)]
    scheduler: Option<Name>,
    #[schema(inline)]
    model: Option<Name>,
    priority: Option<PriorityName>,
}

/// The priority of the task in the queue.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PriorityName {
    Low,
    Normal,
    High,
}

/// An accepted task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Started {
    #[schema(example = "started")]
    status: &'static str,
    /// A UUID.
    task_id: String,
    message: &'static str,
    /// RFC 3339.
    created_at: String,
}

/// Submit a task.
#[utoipa::path(post, path = "/generate", tag = "task", request_body = GenerateRequest,
    responses((status = 200, body = Started), (status = 404, body = TaskError, description = "no such model"),
              (status = 422, body = TaskError),
              (status = 429, body = TaskError, description = "the queue is full"),
              (status = 503, body = TaskError, description = "shutting down"),
              (status = 507, body = TaskError, description = "the picture does not fit the machine's memory")))]
pub(crate) async fn generate(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<GenerateRequest>,
) -> Result<([(HeaderName, String); 1], Json<Started>)> {
    let priority = match body.priority {
        Some(PriorityName::Low) => Priority::Low,
        Some(PriorityName::High) => Priority::High,
        Some(PriorityName::Normal) | None => Priority::Normal,
    };
    let request = ImageRequest {
        prompt: body.prompt.into_inner(),
        negative_prompt: body.negative_prompt.map(NegativePrompt::into_inner),
        width: body.width.map(u32::from),
        height: body.height.map(u32::from),
        steps: body.steps.or(body.num_inference_steps).map(u32::from),
        guidance_scale: body.guidance_scale.map(GuidanceScale::get),
        seed: body.seed.map(Seed::get),
        scheduler: body.scheduler.map(Name::into_inner),
        model: body.model.map(Name::into_inner),
        count: 1,
        ..ImageRequest::default()
    };
    let task = caller.submit(&*app.service, request, priority).await?;
    let started = Started {
        status: "started",
        task_id: task.id,
        message: "Generation started in background",
        created_at: wire::time(task.created_at),
    };
    Ok(([(wire::SEED, task.seed.to_string())], Json(started)))
}
