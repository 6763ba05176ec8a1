//! Answers with pictures: in base64 in the JSON, or as URLs that need no key.

use super::fields::{Background, OutputFormat, Quality, ResponseFormat};
use crate::links::Link;
use crate::pictures::{Framed, List};
use crate::service::{Image, Result, Task};
use crate::task::TaskError;
use crate::{App, Error, head, range, wire};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// How the answer carries the pictures.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) format: ResponseFormat,
    pub(super) output: OutputFormat,
    pub(super) quality: Quality,
    pub(super) background: Background,
    /// The start of the pictures' URLs.
    pub(super) base: String,
}

/// Pictures.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body that `respond` writes")]
#[schema(as = OpenAiImages)]
pub(crate) struct ImagesResponse {
    /// Seconds since 1970.
    created: u64,
    background: Background,
    data: Vec<ImageData>,
    output_format: OutputFormat,
    quality: Quality,
    /// For example `512x512`.
    size: String,
}

/// One picture: in base64 or as a URL.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiImage)]
pub(crate) struct ImageData {
    #[serde(skip_serializing_if = "Option::is_none")]
    b64_json: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// The size of a picture as text.
pub(super) async fn size(app: &App, image: &Image) -> Result<String> {
    let bytes = head::of(&*app.service, image).await?;
    let (width, height) = head::size(&bytes).ok_or_else(|| Error::internal("the picture has no size"))?;
    Ok(format!("{width}x{height}"))
}

/// The pictures of a task.
pub(super) async fn respond(app: App, task: Task, delivery: Delivery) -> Result<Response> {
    let mut images = Vec::with_capacity(task.images.len());
    for id in &task.images {
        images.push(app.service.image(*id).await?);
    }
    let first = images.first().ok_or_else(|| Error::internal("the task has no picture"))?;
    let size = size(&app, first).await?;
    let created = wire::seconds(task.created_at);
    let Delivery { output, quality, background, .. } = &delivery;
    let seed = [(wire::SEED, task.seed.to_string())];
    if delivery.format == ResponseFormat::Url {
        let entry = |image: &Image| ImageData { b64_json: None, url: Some(Link::to(image).under(&delivery.base)) };
        let data: Vec<ImageData> = images.iter().map(entry).collect();
        let body = json!({
            "created": created, "background": background, "data": data, "output_format": output, "quality": quality,
            "size": size,
        });
        return Ok((seed, Json(body)).into_response());
    }
    let entry = ImageData { b64_json: Some(""), url: None };
    let items = images.into_iter().map(|image| Framed::json(&entry, "b64_json", image)).collect::<Result<_>>()?;
    let rest = json!({ "output_format": output, "quality": quality, "size": size }).to_string();
    let background = json!(background);
    let head = format!("{{\"created\":{created},\"background\":{background},\"data\":[");
    // The other fields come last, because the pictures are written while they are read.
    let tail = format!("],{}", &rest[1..]);
    let list = List { head, items, tail, skips: false };
    let body = Body::from_stream(list.open(app.service).await?);
    Ok((seed, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// A picture at an unguessable URL, which needs no key.
#[utoipa::path(get, path = "/images/{id}/{digest}", tag = "task",
    params(("id" = u64, Path), ("digest" = String, Path), ("range" = Option<String>, Header),
           ("if-none-match" = Option<String>, Header)),
    responses((status = 200, content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp")),
               headers(("etag" = String), ("x-easel-seed" = u64, description = "the seed of the noise"))),
              (status = 206, content_type = "image/png", body = Vec<u8>), (status = 304),
              (status = 404, body = TaskError),
              (status = 416, body = TaskError)))]
pub(crate) async fn shared(
    State(app): State<App>,
    path: Result<Path<(u64, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response> {
    let Ok(Path((id, digest))) = path else { return Err(Error::ImageNotFound { id: 0 }) };
    let image = Link::new(id, digest).find(&*app.service).await?;
    range::respond(&*app.service, &image, &headers).await
}
