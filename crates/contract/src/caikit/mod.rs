//! Caikit's interface for text to image (caikit 0.29 with caikit-computer-vision,
//! <https://github.com/caikit/caikit-computer-vision>). The routes here are those over HTTP; a host that serves gRPC too calls
//! [`draw`] and [`models`]. Errors are `{"details","code","id"}`.
//!
//! Sizes are rounded to the nearest that the model can draw. Clients rely on it.

mod draw;
mod error;
mod info;
mod size;
mod task;

pub use draw::{Drawn, Wish, draw};
pub use info::{ModelInfo, ModuleMetadata, RUNTIME_VERSION, models};
pub use size::nearest_multiple;

pub(crate) use error::error_body;

use crate::App;
use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

/// Caikit's name of the model that draws pictures of one colour.
pub const STUB: &str = "stub_model";

/// The default of width and height in pixels.
pub const SIZE: u32 = 512;

/// The default of denoising steps.
pub const STEPS: u32 = 1;

/// The default guidance scale.
pub const GUIDANCE_SCALE: f64 = 0.0;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/task/text-to-image", post(task::text_to_image))
        .route("/info/version", get(info::version))
        .route("/info/models", get(info::list))
}

/// Their description.
#[derive(OpenApi)]
#[openapi(paths(task::text_to_image, info::version, info::list))]
pub(crate) struct Description;
