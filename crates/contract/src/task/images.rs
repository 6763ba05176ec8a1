//! Stored pictures.

use super::{PageNumber, TaskError, paging};
use crate::extract::{ImageId, Query};
use crate::field::{Integer, Name};
use crate::pictures::{Framed, List};
use crate::service::{Image, ImageFilter, Result};
use crate::{App, limits, range, wire};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The number of pictures per page, each with its bytes.
type Limit = Integer<1, { limits::IMAGES_MAX }>;

/// Which pictures to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImagesQuery {
    /// The page, from 1.
    #[param(inline)]
    page: Option<PageNumber>,
    /// Pictures per page, 12 by default.
    #[param(inline)]
    limit: Option<Limit>,
    /// Only pictures of this task.
    #[param(inline)]
    task_id: Option<Name>,
}

/// A page of pictures. Each is written while it is read.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body that `List` writes")]
pub(crate) struct ImageList {
    /// The total number on all pages.
    length: u64,
    slice: Vec<ImageEntry>,
}

/// A stored picture.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageEntry {
    id: u64,
    task_id: String,
    prompt: String,
    /// The PNG as base64.
    image_url: String,
    created_at: String,
}

/// List pictures, newest first. Pictures that are damaged or deleted in the meantime are left out.
#[utoipa::path(get, path = "/images", tag = "task", params(ImagesQuery),
    responses((status = 200, body = ImageList), (status = 422, body = TaskError)))]
pub(crate) async fn images(State(app): State<App>, Query(query): Query<ImagesQuery>) -> Result<Response> {
    let filter =
        ImageFilter { task_id: query.task_id.map(Name::into_inner), paging: paging(query.page, query.limit, 12) };
    let page = app.service.images(filter).await?;
    let head = format!("{{\"length\":{},\"slice\":[", page.total);
    let items = page.items.into_iter().map(entry).collect::<Result<_>>()?;
    let list = List { head, items, tail: "]}".into(), skips: true };
    let body = Body::from_stream(list.open(app.service).await?);
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn entry(image: Image) -> Result<Framed> {
    let entry = ImageEntry {
        id: image.id,
        task_id: image.task_id.clone(),
        prompt: image.prompt.clone(),
        image_url: String::new(),
        created_at: wire::time(image.created_at),
    };
    Framed::json(&entry, "image_url", image)
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

/// A deleted picture.
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
