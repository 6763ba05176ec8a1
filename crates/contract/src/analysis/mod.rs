//! The analysis family, under `/api`: what is in a picture, and where. Errors are `{"error"}`, and bad fields are 400.
//!
//! CLIP scores texts for a picture, and SAM cuts regions out of it. A host may have one of them, both or neither: a part
//! without its model is an error in its place, and the other part is there all the same.

mod advanced;
mod analyze;
mod answer;
mod draw;
mod error;
mod fields;
mod generate;

pub(crate) use error::body as error_body;
pub(crate) use fields::{AtMost, Roi};

use crate::App;
use axum::Router;
use axum::routing::post;
use utoipa::{OpenApi, ToSchema};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/api/generate", post(generate::generate))
        .route("/api/analyze", post(analyze::analyze))
        .route("/api/adv/generate", post(advanced::generate))
}

/// Their part of the OpenAPI description.
#[derive(OpenApi)]
#[openapi(paths(generate::generate, analyze::analyze, advanced::generate))]
pub(crate) struct Description;

/// An error of the analysis family.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body that `error::body` writes")]
pub(crate) struct AnalysisError {
    error: String,
}
