//! Stored pictures.

use super::{PageNumber, TaskError, paging};
use crate::extract::{ImageId, Query};
use crate::field::{Integer, Name};
use crate::service::{ImageFilter, Result};
use crate::{App, range, wire};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How many pictures a page has at most: each is in the answer with all its bytes.
type Limit = Integer<1, 100>;

/// Which pictures to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImagesQuery {
    /// From 1.
    #[param(inline)]
    page: Option<PageNumber>,
    /// 12 by default.
    #[param(inline)]
    limit: Option<Limit>,
    /// Only those of this task.
    #[param(inline)]
    task_id: Option<Name>,
}

/// A page of pictures.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageList {
    /// How many there are on all pages.
    length: u64,
    slice: Vec<ImageEntry>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageEntry {
    id: u64,
    task_id: String,
    prompt: String,
    /// The PNG as base64.
    image_url: String,
    created_at: String,
}

/// List pictures, newest first.
#[utoipa::path(get, path = "/images", tag = "task", params(ImagesQuery),
    responses((status = 200, body = ImageList), (status = 422, body = TaskError)))]
pub(crate) async fn images(State(app): State<App>, Query(query): Query<ImagesQuery>) -> Result<Json<ImageList>> {
    let filter =
        ImageFilter { task_id: query.task_id.map(Name::into_inner), paging: paging(query.page, query.limit, 12) };
    let page = app.service.images(filter).await?;
    let mut slice = Vec::with_capacity(page.items.len());
    for image in page.items {
        let image_url = wire::image_base64(&*app.service, &image).await?;
        let created_at = wire::time(image.created_at);
        slice.push(ImageEntry { id: image.id, task_id: image.task_id, prompt: image.prompt, image_url, created_at });
    }
    Ok(Json(ImageList { length: page.total, slice }))
}

/// A picture, or one byte range of it.
#[utoipa::path(get, path = "/images/{id}", tag = "task",
    params(("id" = u64, Path), ("range" = Option<String>, Header), ("if-none-match" = Option<String>, Header)),
    responses((status = 200, content_type = "image/png", body = Vec<u8>,
               headers(("etag" = String), ("x-easel-seed" = u64, description = "the seed of the noise"))),
              (status = 206, content_type = "image/png", body = Vec<u8>), (status = 304),
              (status = 404, body = TaskError),
              (status = 416, body = TaskError), (status = 422, body = TaskError)))]
pub(crate) async fn image(State(app): State<App>, ImageId(id): ImageId, headers: HeaderMap) -> Result<Response> {
    let image = app.service.image(id).await?;
    range::respond(&*app.service, &image, &headers).await
}

/// A picture that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageDeleted {
    #[schema(example = "success")]
    status: &'static str,
    message: &'static str,
    id: u64,
}

/// Delete a picture.
#[utoipa::path(delete, path = "/images/{id}", tag = "task", params(("id" = u64, Path)),
    responses((status = 200, body = ImageDeleted), (status = 404, body = TaskError), (status = 422, body = TaskError)))]
pub(crate) async fn delete_image(State(app): State<App>, ImageId(id): ImageId) -> Result<Json<ImageDeleted>> {
    app.service.delete_image(id).await?;
    Ok(Json(ImageDeleted { status: "success", message: "Image deleted successfully", id }))
}
