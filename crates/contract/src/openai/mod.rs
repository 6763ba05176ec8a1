//! The images family of OpenAI's API (<https://platform.openai.com/docs/api-reference/images>), as its packages, Open WebUI
//! and LibreChat call it. Errors are `{"error":{"message","type","param","code"}}`, and bad fields are 400.
//!
//! Fields that local servers are asked for stand beside OpenAI's own: `seed`, `steps`, `guidance_scale`, `negative_prompt`,
//! `scheduler`. Fields that mean nothing here are ignored.

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

use crate::App;
use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/images/generations", post(generations::generations))
        .route("/v1/images/edits", post(edits::edits))
        .route("/v1/models", get(models::models))
        // The name of a model may have slashes in it.
        .route("/v1/models/{*id}", get(models::model))
        .route("/images/{id}/{digest}", get(answer::shared))
}

/// What the description says about them.
#[derive(OpenApi)]
#[openapi(paths(generations::generations, edits::edits, models::models, models::model, answer::shared))]
pub(crate) struct Description;
