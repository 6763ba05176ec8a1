//! `POST /api/generate`: pictures for one prompt or several.

use super::AnalysisError;
use super::draw::{Settings, draw};
use super::fields::{PictureOrPictures, PromptOrPrompts, Prompts};
use crate::access::Caller;
use crate::extract::JsonBody;
use crate::field::{Seed, Size, Steps};
use crate::pictures::{Framed, List};
use crate::service::Result;
use crate::{App, Error, wire};
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

/// What to draw.
#[derive(Deserialize, ToSchema)]
#[schema(as = AnalysisGenerateRequest)]
pub(crate) struct GenerateRequest {
    // A description here would make it an object in OpenAPI, too.
    #[serde(default)]
    #[schema(value_type = PromptOrPrompts, inline)]
    prompt: Prompts,
    #[schema(inline)]
    width: Option<Size>,
    #[schema(inline)]
    height: Option<Size>,
    #[schema(inline)]
    steps: Option<Steps>,
    /// The seed of the first picture; each further picture has the next number.
    #[schema(inline)]
    seed: Option<Seed>,
}

/// The pictures.
#[derive(ToSchema)]
#[schema(as = AnalysisGenerateAnswer)]
#[expect(dead_code, reason = "describes the answer, which is written in pieces")]
pub(crate) struct GenerateAnswer {
    /// A UUID: the id of the (first) task.
    request_id: String,
    // A description here would make it an object in OpenAPI, too.
    #[schema(value_type = PictureOrPictures, inline)]
    generated_image: String,
}

/// Draw, and answer with the pictures.
///
/// If the client disconnects, the tasks are cancelled.
#[utoipa::path(post, path = "/api/generate", tag = "analysis", request_body = GenerateRequest,
    responses((status = 200, body = GenerateAnswer,
               headers(("x-easel-seed" = u64, description = "the seed of the first picture"))),
              (status = 400, body = AnalysisError, description = "a field is invalid"),
              (status = 409, body = AnalysisError, description = "cancelled by another client"),
              (status = 429, body = AnalysisError, description = "the queue is full"),
              (status = 503, body = AnalysisError, description = "shutting down"),
              (status = 507, body = AnalysisError, description = "the picture does not fit the machine's memory")))]
pub(super) async fn generate(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<GenerateRequest>,
) -> Result<Response> {
    let (prompts, [open, close]) = match body.prompt {
        Prompts::One(prompt) => (vec![prompt], ["", ""]),
        Prompts::Several(prompts) => (prompts, ["[", "]"]),
        Prompts::Invalid => return Err(Error::InvalidPrompt),
    };
    let settings = Settings { width: body.width, height: body.height, steps: body.steps, seed: body.seed };
    let drawn = draw(&app, &caller, prompts, settings).await?;
    let first = drawn.first().map(|drawn| &drawn.task).ok_or_else(|| Error::internal("no picture was drawn"))?;
    let seed = first.seed.to_string();
    let head = format!("{{\"request_id\":\"{}\",\"generated_image\":{open}", first.id);
    let items = drawn.into_iter().map(|drawn| Framed::string(drawn.image)).collect();
    let list = List { head, items, tail: format!("{close}}}"), skips: false };
    let headers = [(wire::SEED, seed), (header::CONTENT_TYPE, "application/json".to_owned())];
    Ok((headers, Body::from_stream(list.open(app.service).await?)).into_response())
}
