//! The images family of OpenAI's API (<https://platform.openai.com/docs/api-reference/images>), as its packages, Open WebUI
//! and LibreChat call it. Errors are `{"error":{"message","type","param","code"}}`, and bad fields are 400.
//!
//! Besides OpenAI's fields it accepts those that clients send to other local servers: `seed`, `steps`,
//! `guidance_scale`, `negative_prompt`, `scheduler`. Unsupported fields are ignored.

mod answer;
mod draw;
mod edits;
mod error;
mod fields;
mod generations;
mod models;
mod source;
mod stream;

pub(crate) use error::body as error_body;
pub(crate) use fields::OutputFormat;

use crate::App;
use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/images/generations", post(generations::generations))
        .route("/v1/images/edits", post(edits::edits))
        .route("/v1/models", get(models::models))
        // Model names may contain slashes.
        .route("/v1/models/{*id}", get(models::model))
        .route("/images/{id}/{digest}", get(answer::shared))
}

/// Their part of the OpenAPI description.
#[derive(OpenApi)]
#[openapi(paths(generations::generations, edits::edits, models::models, models::model, answer::shared))]
pub(crate) struct Description;
