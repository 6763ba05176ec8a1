//! The imagine family: one request, answered with its pictures. Errors are `{"error"}`.

use crate::access::Caller;
use crate::extract::JsonBody;
use crate::field::{GuidanceScale, Integer, NegativePrompt, Prompt, Seed, Size, Steps, Strength};
use crate::pictures::{Framed, List};
use crate::service::{ImageRequest, InitImage, Priority, Result};
use crate::wire::Base64;
use crate::{App, Error, accept, limits, range, waiting, wire};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/imagine", post(imagine))
}

/// Their part of the OpenAPI description.
#[derive(OpenApi)]
#[openapi(paths(imagine))]
pub(crate) struct Description;

/// A number of pictures.
type Count = Integer<1, { limits::ROUND_MAX }>;

/// The service's names of fields, and the names in this family.
const NAMES: [(&str, &str); 5] =
    [("width", "W"), ("height", "H"), ("steps", "ddim_steps"), ("guidance_scale", "scale"), ("count", "n_samples")];

/// What to draw.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ImagineRequest {
    #[schema(inline)]
    prompt: Prompt,
    /// The height, 512 by default.
    #[serde(rename = "H")]
    #[schema(inline)]
    height: Option<Size>,
    /// The width, 512 by default.
    #[serde(rename = "W")]
    #[schema(inline)]
    width: Option<Size>,
    /// Denoising steps, 50 by default.
    #[schema(inline)]
    ddim_steps: Option<Steps>,
    /// Pictures per round, 1 by default.
    #[schema(inline)]
    n_samples: Option<Count>,
    /// Rounds, 1 by default.
    #[schema(inline)]
    n_iter: Option<Count>,
    #[schema(inline)]
    seed: Option<Seed>,
    /// The guidance scale, 7.5 by default.
    #[schema(inline)]
    scale: Option<GuidanceScale>,
    #[schema(inline)]
    negative_prompt: Option<NegativePrompt>,
    /// A PNG, JPEG or WebP in base64 to start from; hosts also read GIF, BMP and TIFF.
    #[schema(value_type = Option<String>)]
    init_image: Option<Base64>,
    /// How much of `init_image` to change, 0.75 by default.
    #[schema(inline)]
    strength: Option<Strength>,
}

/// An error of the imagine family.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body that `error::shape` writes")]
pub(crate) struct ImagineError {
    error: String,
}

/// Draw, and answer with the pictures.
///
/// With `accept: image/png` the answer is one PNG, otherwise a JSON array of base64 PNGs. Picture k has the seed `seed
/// + k`. If the client disconnects, the task is cancelled.
#[utoipa::path(post, path = "/imagine", tag = "imagine", request_body = ImagineRequest,
    responses((status = 200, content((Vec<String> = "application/json"), (Vec<u8> = "image/png")),
               headers(("x-easel-seed" = u64, description = "the seed of the first picture"))),
              (status = 409, body = ImagineError, description = "cancelled by another client"),
              (status = 422, body = ImagineError),
              (status = 429, body = ImagineError, description = "the queue is full"),
              (status = 503, body = ImagineError, description = "shutting down"),
              (status = 507, body = ImagineError, description = "the picture does not fit the machine's memory")))]
async fn imagine(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(body): JsonBody<ImagineRequest>,
) -> Result<Response> {
    let wanted = accept::weight(&headers, "image/png");
    let one_png = wanted > 0.0 && wanted >= accept::weight(&headers, "application/json");
    let mut request = body.into_request()?;
    if one_png {
        request.count = 1;
    }
    let queued = caller.submit(&*app.service, request, Priority::Normal).await;
    let task = queued.map_err(|error| error.renamed(&NAMES))?;
    let task = waiting::completed(&*app.service, &task.id).await?;
    if one_png {
        let id = *task.images.first().ok_or_else(|| Error::internal("the task has no picture"))?;
        return range::whole(&*app.service, &app.service.image(id).await?).await;
    }
    let mut items = Vec::with_capacity(task.images.len());
    for id in task.images {
        items.push(Framed::string(app.service.image(id).await?));
    }
    let list = List { head: "[".into(), items, tail: "]".into(), skips: false };
    let headers = [(wire::SEED, task.seed.to_string()), (header::CONTENT_TYPE, "application/json".into())];
    Ok((headers, Body::from_stream(list.open(app.service).await?)).into_response())
}

impl ImagineRequest {
    fn into_request(self) -> Result<ImageRequest> {
        let strength = self.strength.map_or(0.75, Strength::get);
        let count = |count: Option<Count>| count.map_or(1, u32::from);
        Ok(ImageRequest {
            prompt: self.prompt.into_inner(),
            negative_prompt: self.negative_prompt.map(NegativePrompt::into_inner),
            width: Some(self.width.map_or(512, u32::from)),
            height: Some(self.height.map_or(512, u32::from)),
            steps: Some(self.ddim_steps.map_or(50, u32::from)),
            guidance_scale: Some(self.scale.map_or(7.5, GuidanceScale::get)),
            seed: self.seed.map(Seed::get),
            scheduler: None,
            model: None,
            count: count(self.n_samples) * count(self.n_iter),
            init: self.init_image.map(|Base64(bytes)| init_image(bytes, strength)).transpose()?,
            attended: true,
            ..ImageRequest::default()
        })
    }
}

/// The initial picture. Only its first bytes are checked; the service decodes it.
fn init_image(bytes: Bytes, strength: f64) -> Result<InitImage> {
    let is_webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    if is_webp || bytes.starts_with(b"\x89PNG\r\n\x1a\n") || bytes.starts_with(b"\xff\xd8\xff") {
        return Ok(InitImage { bytes, strength, mask: None });
    }
    Err(Error::invalid("init_image", "must be a PNG, JPEG or WebP"))
}
