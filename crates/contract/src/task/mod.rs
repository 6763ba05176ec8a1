//! The task family: a queue of tasks, watched by server-sent events. Errors are FastAPI's `{"detail"}`.

mod error;
mod events;
mod generate;
mod images;
mod list;

pub(crate) use error::detail as error_detail;

use crate::App;
use crate::field::Integer;
use crate::limits;
use crate::service::Paging;
use axum::Router;
use axum::routing::{delete, get, post};
use utoipa::{OpenApi, ToSchema};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/generate", post(generate::generate))
        .route("/generate-stream/{task_id}", get(events::generate_stream))
        .route("/status/{task_id}", get(list::status))
        .route("/tasks", get(list::tasks))
        .route("/cancel-generation", post(list::cancel_generation))
        .route("/delete-tasks", delete(list::delete_tasks))
        .route("/images", get(images::images))
        .route("/images/{id}", get(images::image).delete(images::delete_image))
}

/// Their part of the OpenAPI description.
#[derive(OpenApi)]
#[openapi(paths(
    generate::generate,
    events::generate_stream,
    list::status,
    list::tasks,
    list::cancel_generation,
    list::delete_tasks,
    images::images,
    images::image,
    images::delete_image
))]
pub(crate) struct Description;

/// An error of the task family.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body that `error::shape` writes")]
pub(crate) struct TaskError {
    /// A text, an object with a `message`, or, for invalid fields, a list of objects with `loc` and `msg`.
    detail: serde_json::Value,
}

/// A page number.
type PageNumber = Integer<1, { limits::PAGE_MAX }>;

fn paging<const MAX: u64>(page: Option<PageNumber>, limit: Option<Integer<1, MAX>>, default: u32) -> Paging {
    Paging { page: page.map_or(1, u32::from), limit: limit.map_or(default, u32::from) }
}
