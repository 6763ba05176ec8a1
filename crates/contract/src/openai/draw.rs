//! The common part of both routes: queue the request, wait or stream, and answer.

use super::answer::{self, Delivery};
use super::fields::{Background, Number, OutputFormat, Quality, ResponseFormat, Size};
use super::stream;
use crate::access::Caller;
use crate::field::{Flag, Integer, Name, NegativePrompt, Prompt, Seed, Steps};
use crate::limits::GUIDANCE_MAX;
use crate::service::{ImageRequest, InitImage, Priority, Result};
use crate::{App, Error, links, waiting};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What to draw. Unknown fields are ignored, and so are OpenAI's `style`, `moderation`, `user` and `input_fidelity`.
#[derive(Deserialize, ToSchema)]
#[schema(as = OpenAiImageRequest)]
pub(crate) struct Wish {
    #[schema(inline)]
    pub(super) prompt: Prompt,
    /// The default model if missing or if it is the name of one of OpenAI's image models.
    #[schema(inline)]
    model: Option<Name>,
    /// The number of pictures, 1 by default.
    #[schema(inline)]
    n: Option<Integer<1, 10>>,
    /// `auto`, or width and height such as `512x512`. By default the model's own.
    #[schema(inline)]
    size: Option<Size>,
    #[schema(inline)]
    quality: Option<Quality>,
    /// By default `b64_json` for the names `gpt-image-*` and `chatgpt-image-*`, otherwise `url`.
    #[schema(inline)]
    response_format: Option<ResponseFormat>,
    /// `png` by default.
    #[schema(inline)]
    output_format: Option<OutputFormat>,
    /// The quality of a JPEG in percent.
    #[schema(inline)]
    output_compression: Option<Integer<0, 100>>,
    #[schema(inline)]
    background: Option<Background>,
    /// Whether to answer with server-sent events.
    #[schema(inline)]
    stream: Option<Flag>,
    /// The most previews of a stream, 0 by default.
    #[schema(inline)]
    partial_images: Option<Integer<0, 3>>,
    #[schema(inline)]
    seed: Option<Seed>,
    /// Denoising steps. They take precedence over `quality`.
    #[schema(inline)]
    steps: Option<Steps>,
    #[schema(inline)]
    guidance_scale: Option<Number<0, { GUIDANCE_MAX }>>,
    #[schema(inline)]
    negative_prompt: Option<NegativePrompt>,
    #[schema(inline)]
    scheduler: Option<Name>,
    /// How much of the edited picture to change, 0.75 by default.
    #[schema(inline)]
    pub(super) strength: Option<Number<0, 1>>,
    /// Not supported: must be empty.
    #[schema(value_type = Option<Vec<Object>>)]
    loras: Option<Value>,
}

/// Which of the two routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Generation,
    Edit,
}

impl Kind {
    /// The prefix of the names of its events.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Generation => "image_generation",
            Self::Edit => "image_edit",
        }
    }
}

/// The caller and the head of its request, which determines the URLs in the answer.
pub(crate) struct Asker {
    app: App,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
}

impl FromRequestParts<App> for Asker {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, app).await?;
        Ok(Self { app: app.clone(), caller, uri: parts.uri.clone(), headers: parts.headers.clone() })
    }
}

/// Draws, and answers.
pub(super) async fn draw(asker: Asker, wish: Wish, init: Option<InitImage>, kind: Kind) -> Result<Response> {
    let Asker { app, caller, uri, headers } = asker;
    let delivery = wish.delivery(&uri, &headers)?;
    let is_stream = wish.stream.is_some_and(Flag::get);
    let partials = wish.partial_images.map_or(0, u32::from);
    let request = wish.into_request(&app, init).await?;
    let queued = caller.submit(&*app.service, request, Priority::Normal).await;
    let task = queued.map_err(|error| error.renamed(&NAMES))?;
    if is_stream {
        return stream::respond(app, task, delivery, kind, partials).await;
    }
    let task = waiting::completed(&*app.service, &task.id).await?;
    answer::respond(app, task, delivery).await
}

/// The service's names of fields, and the names in this family.
const NAMES: [(&str, &str); 5] =
    [("width", "size"), ("height", "size"), ("count", "n"), ("init_image", "image"), ("quality", "output_compression")];

/// Whether it is the name of one of OpenAI's image models. Clients have these built in; they stand for the default
/// model.
fn is_openais(model: &str) -> bool {
    matches!(model, "dall-e-2" | "dall-e-3") || sends_base64(model)
}

/// Whether it is a name for which the answer contains the pictures by default.
fn sends_base64(model: &str) -> bool {
    ["gpt-image-", "chatgpt-image-"].iter().any(|prefix| model.starts_with(prefix))
}

impl Wish {
    fn delivery(&self, uri: &Uri, headers: &HeaderMap) -> Result<Delivery> {
        let named = self.model.as_deref().unwrap_or_default();
        let default_format = if sends_base64(named) { ResponseFormat::B64Json } else { ResponseFormat::Url };
        Ok(Delivery {
            format: self.response_format.unwrap_or(default_format),
            output: self.output_format.unwrap_or_default(),
            quality: self.quality.unwrap_or_default(),
            background: self.background.unwrap_or_default(),
            base: links::base(uri, headers)?,
        })
    }

    async fn into_request(self, app: &App, init: Option<InitImage>) -> Result<ImageRequest> {
        if self.background == Some(Background::Transparent) {
            let reason = "transparent pictures are not supported, expected auto or opaque";
            return Err(Error::invalid("background", reason));
        }
        if self.loras.as_ref().is_some_and(|loras| !is_empty(loras)) {
            return Err(Error::invalid("loras", "not supported: leave the field out"));
        }
        let size = self.size.unwrap_or_default().0;
        let model = self.model.map(Name::into_inner).filter(|model| !is_openais(model));
        let quality = self.quality.unwrap_or_default();
        let steps = match self.steps {
            Some(steps) => Some(steps.into()),
            None if quality.steps(Some(1)).is_some() => quality.steps(default_steps(app, model.as_deref()).await?),
            None => None,
        };
        Ok(ImageRequest {
            prompt: self.prompt.into_inner(),
            negative_prompt: self.negative_prompt.map(NegativePrompt::into_inner),
            width: size.map(|size| size.0),
            height: size.map(|size| size.1),
            steps,
            guidance_scale: self.guidance_scale.map(|scale| scale.0),
            seed: self.seed.map(Seed::get),
            scheduler: self.scheduler.map(Name::into_inner),
            model,
            count: self.n.map_or(1, u32::from),
            init,
            attended: true,
            encoding: Some(self.output_format.unwrap_or_default().encoding(self.output_compression.map(u32::from))),
            ..ImageRequest::default()
        })
    }
}

/// Whether a value is empty, in JSON or in a form.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => matches!(text.trim(), "" | "[]" | "{}"),
        _ => false,
    }
}

/// The model's default number of steps, if known.
async fn default_steps(app: &App, model: Option<&str>) -> Result<Option<u32>> {
    let models = app.service.models().await?;
    let found = models.into_iter().find(|known| model.is_none_or(|model| known.name == model));
    Ok(found.and_then(|model| model.steps))
}
