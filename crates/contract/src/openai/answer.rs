//! Answers with pictures: in base64 inside the JSON, or as addresses that need no key.

use super::fields::{Background, OutputFormat, Quality, ResponseFormat};
use crate::access::authority;
use crate::pictures::{Framed, List};
use crate::service::{Image, Result, Task};
use crate::task::TaskError;
use crate::{App, Error, head, range, wire};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

/// How the pictures of a request are handed over.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) format: ResponseFormat,
    pub(super) output: OutputFormat,
    pub(super) quality: Quality,
    pub(super) background: Background,
    /// What the addresses of pictures begin with.
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
    /// As `512x512`.
    size: String,
}

/// One picture: either in base64 or where it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiImage)]
pub(crate) struct ImageData {
    #[serde(skip_serializing_if = "Option::is_none")]
    b64_json: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// What the addresses of this server begin with, as the client called it; a proxy in front says which scheme that was.
pub(super) fn base(uri: &Uri, headers: &HeaderMap) -> Result<String> {
    let host = authority(uri, headers)?;
    let host = host.map_or_else(|| "localhost".to_owned(), |host| host.to_string());
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let scheme = forwarded.and_then(|value| value.split(',').next()).map(str::trim).or(uri.scheme_str());
    let scheme = if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) { "https" } else { "http" };
    Ok(format!("{scheme}://{host}"))
}

impl Delivery {
    /// Where a picture is. The address holds the hash of its bytes, so that nobody finds it who was not told.
    fn url(&self, image: &Image) -> String {
        format!("{}/images/{}/{}", self.base, image.id, image.digest)
    }
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
        let entry = |image: &Image| ImageData { b64_json: None, url: Some(delivery.url(image)) };
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
    // The other fields follow the pictures, which are written while they are read.
    let tail = format!("],{}", &rest[1..]);
    let list = List { head, items, tail, skips: false };
    let body = Body::from_stream(list.open(app.service).await?);
    Ok((seed, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// A picture under an address that only those know who were told it: it needs no key.
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
    let image = app.service.image(id).await?;
    if !bool::from(image.digest.as_bytes().ct_eq(digest.as_bytes())) {
        return Err(Error::ImageNotFound { id });
    }
    range::respond(&*app.service, &image, &headers).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn addresses_begin_as_the_client_called_the_server() {
        let base = |uri: &str, headers: &[(&'static str, &'static str)]| {
            let pairs = headers
                .iter()
                .map(|(name, value)| (axum::http::HeaderName::from_static(name), HeaderValue::from_static(value)));
            base(&uri.parse().unwrap(), &pairs.collect()).unwrap()
        };
        assert_eq!(base("/v1/images/generations", &[("host", "127.0.0.1:8100")]), "http://127.0.0.1:8100");
        assert_eq!(base("https://draw.example/", &[]), "https://draw.example");
        let proxied = [("host", "draw.example"), ("x-forwarded-proto", "https, http")];
        assert_eq!(base("/", &proxied), "https://draw.example");
        assert_eq!(base("/", &[("host", "draw.example"), ("x-forwarded-proto", "gopher")]), "http://draw.example");
        assert_eq!(base("/", &[]), "http://localhost");
    }
}
