//! The task family: a queue of tasks, watched by server-sent events. Errors are FastAPI's `{"detail"}`.

mod events;
mod generate;
mod images;
mod list;

use crate::App;
use crate::field::Integer;
use crate::service::Paging;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(generate::generate))
        .routes(routes!(events::generate_stream))
        .routes(routes!(list::status))
        .routes(routes!(list::tasks))
        .routes(routes!(list::cancel_generation))
        .routes(routes!(list::delete_tasks))
        .routes(routes!(images::images))
        .routes(routes!(images::image, images::delete_image))
}

/// An error of the task family.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body that `error::shape` writes")]
pub(crate) struct TaskError {
    /// A text, an object with a `message`, or for invalid fields a list of objects with `loc` and `msg`.
    detail: serde_json::Value,
}

/// The number of a page.
type PageNumber = Integer<1, 1_000_000>;

fn paging<const MAX: u64>(page: Option<PageNumber>, limit: Option<Integer<1, MAX>>, default: u32) -> Paging {
    Paging { page: page.map_or(1, u32::from), limit: limit.map_or(default, u32::from) }
}
