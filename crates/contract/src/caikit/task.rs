//! `POST /api/v1/task/text-to-image`: a picture from a text.

use super::draw::{Wish, draw};
use super::error::{CaikitError, Refused};
use super::info::ModuleMetadata;
use crate::access::Caller;
use crate::extract::JsonBody;
use crate::pictures::Framed;
use crate::{App, wire};
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A request for a picture.
#[derive(Deserialize, ToSchema)]
#[schema(as = CaikitTextToImageRequest)]
pub(crate) struct TextToImageRequest {
    /// The model, as `/info/models` lists it.
    #[schema(value_type = String, required = true, example = "stub_model")]
    model_id: Option<String>,
    /// What to draw.
    #[schema(value_type = String, required = true, min_length = 1)]
    inputs: Option<String>,
    parameters: Option<Parameters>,
}

/// Settings of a picture.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = CaikitTextToImageParameters)]
pub(crate) struct Parameters {
    /// Rounded to what the model can draw; 512 by default.
    #[schema(minimum = 60, maximum = 2052)]
    height: Option<i64>,
    /// Rounded to what the model can draw; 512 by default.
    #[schema(minimum = 60, maximum = 2052)]
    width: Option<i64>,
    /// 1 by default.
    #[schema(minimum = 1, maximum = 1000)]
    num_steps: Option<i64>,
    /// 0 by default.
    #[schema(minimum = 0, maximum = 100)]
    guidance_scale: Option<f64>,
    negative_prompt: Option<String>,
    /// `png` (the default), `jpeg`, `webp`, `bmp`, `tiff` or `gif`, in upper or lower case.
    image_format: Option<String>,
}

/// A picture with its caption.
#[derive(Serialize, ToSchema)]
#[schema(as = CaikitCaptionedImage)]
pub(crate) struct CaptionedImage {
    output: Picture,
    /// The text that it was drawn from.
    caption: String,
    producer_id: ModuleMetadata,
}

/// A picture.
#[derive(Serialize, ToSchema)]
#[schema(as = CaikitImage)]
pub(crate) struct Picture {
    /// The file in base64.
    image_data: &'static str,
}

/// Draw a picture, as Caikit's clients request it.
///
/// If the client disconnects, its task is cancelled.
#[utoipa::path(post, path = "/api/v1/task/text-to-image", tag = "caikit", request_body = TextToImageRequest,
    responses((status = 200, body = CaptionedImage,
               headers(("x-easel-seed" = u64, description = "the seed of the noise"))),
              (status = 400, body = CaikitError, description = "a field is missing or out of range"),
              (status = 404, body = CaikitError, description = "no such model"),
              (status = 409, body = CaikitError, description = "cancelled by another client"),
              (status = 422, body = CaikitError, description = "a field has a wrong type, or the body is not JSON"),
              (status = 429, body = CaikitError, description = "the queue is full"),
              (status = 503, body = CaikitError, description = "shutting down"),
              (status = 507, body = CaikitError, description = "the picture does not fit the machine's memory")))]
pub(crate) async fn text_to_image(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<TextToImageRequest>,
) -> Result<Response, Refused> {
    let drawn = draw(&*app.service, caller, body.into()).await?;
    let (name, version) = drawn.producer;
    let answer = CaptionedImage {
        output: Picture { image_data: "" },
        caption: drawn.caption,
        producer_id: ModuleMetadata { name, version },
    };
    let seed = drawn.image.seed.to_string();
    let text = Framed::json(&answer, "image_data", drawn.image)?.open(&*app.service).await?;
    let headers = [(wire::SEED, seed), (header::CONTENT_TYPE, "application/json".to_owned())];
    Ok((headers, Body::from_stream(text)).into_response())
}

impl From<TextToImageRequest> for Wish {
    fn from(body: TextToImageRequest) -> Self {
        let parameters = body.parameters.unwrap_or_default();
        Self {
            model_id: body.model_id.unwrap_or_default(),
            inputs: body.inputs.unwrap_or_default(),
            height: parameters.height,
            width: parameters.width,
            num_steps: parameters.num_steps,
            guidance_scale: parameters.guidance_scale,
            negative_prompt: parameters.negative_prompt,
            image_format: parameters.image_format,
        }
    }
}
