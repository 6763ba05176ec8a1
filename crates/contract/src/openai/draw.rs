//! What both routes do with a request that has been read: queue it, wait or stream, and answer.

use super::answer::{self, Delivery};
use super::fields::{Background, Flag, Number, OutputFormat, Quality, ResponseFormat, Size};
use super::stream;
use crate::access::Caller;
use crate::field::{Integer, Name, NegativePrompt, Prompt, Seed, Steps};
use crate::limits::GUIDANCE_MAX;
use crate::service::{ImageRequest, InitImage, Priority, Result};
use crate::{App, Error, waiting};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What to draw. Unknown fields are ignored; of OpenAI's, `style`, `moderation`, `user` and `input_fidelity` mean nothing
/// here.
#[derive(Deserialize, ToSchema)]
#[schema(as = OpenAiImageRequest)]
pub(crate) struct Wish {
    #[schema(inline)]
    pub(super) prompt: Prompt,
    /// The default model without it, and for the names of OpenAI's image models.
    #[schema(inline)]
    model: Option<Name>,
    /// How many pictures, 1 by default.
    #[schema(inline)]
    n: Option<Integer<1, 10>>,
    /// `auto`, or width and height as `512x512`. The model's own by default.
    #[schema(inline)]
    size: Option<Size>,
    #[schema(inline)]
    quality: Option<Quality>,
    /// `b64_json` for the names `gpt-image-*` and `chatgpt-image-*`, else `url`.
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
    /// How many previews a stream has at most, none by default.
    #[schema(inline)]
    partial_images: Option<Integer<0, 3>>,
    #[schema(inline)]
    seed: Option<Seed>,
    /// Denoising steps. They count more than `quality`.
    #[schema(inline)]
    steps: Option<Steps>,
    #[schema(inline)]
    guidance_scale: Option<Number<0, { GUIDANCE_MAX }>>,
    #[schema(inline)]
    negative_prompt: Option<NegativePrompt>,
    #[schema(inline)]
    scheduler: Option<Name>,
    /// How far to go from the picture of an edit, 0.75 by default.
    #[schema(inline)]
    pub(super) strength: Option<Number<0, 1>>,
    /// Must be empty: there are none to choose from.
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
    /// What the names of its events begin with.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Generation => "image_generation",
            Self::Edit => "image_edit",
        }
    }
}

/// The caller and the head of its request, which says how the addresses in the answer begin.
pub(super) struct Asker {
    pub(super) app: App,
    pub(super) caller: Caller,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

/// Draws, and answers.
pub(super) async fn draw(asker: Asker, wish: Wish, init: Option<InitImage>, kind: Kind) -> Result<Response> {
    let Asker { app, caller, uri, headers } = asker;
    let delivery = wish.delivery(&uri, &headers)?;
    let is_stream = wish.stream.is_some_and(|flag| flag.0);
    let partials = wish.partial_images.map_or(0, u32::from);
    let request = wish.into_request(&app, init).await?;
    let queued = caller.submit(&*app.service, request, Priority::Normal).await;
    let task = queued.map_err(|error| error.renamed(&NAMES))?;
    if is_stream {
        return stream::respond(app, task, delivery, kind, partials).await;
    }
    let task = waiting::completed(&app, &task.id).await?;
    answer::respond(app, task, delivery).await
}

/// What the service's fields are called here.
const NAMES: [(&str, &str); 5] =
    [("width", "size"), ("height", "size"), ("count", "n"), ("init_image", "image"), ("quality", "output_compression")];

/// The names of OpenAI's own image models, which clients have built in; they stand for the default model.
fn is_openais(model: &str) -> bool {
    matches!(model, "dall-e-2" | "dall-e-3") || sends_base64(model)
}

/// The names whose pictures come in the answer itself.
fn sends_base64(model: &str) -> bool {
    ["gpt-image-", "chatgpt-image-"].iter().any(|prefix| model.starts_with(prefix))
}

impl Wish {
    fn delivery(&self, uri: &Uri, headers: &HeaderMap) -> Result<Delivery> {
        let named = self.model.as_deref().unwrap_or_default();
        let usual = if sends_base64(named) { ResponseFormat::B64Json } else { ResponseFormat::Url };
        Ok(Delivery {
            format: self.response_format.unwrap_or(usual),
            output: self.output_format.unwrap_or_default(),
            quality: self.quality.unwrap_or_default(),
            background: self.background.unwrap_or_default(),
            base: answer::base(uri, headers)?,
        })
    }

    async fn into_request(self, app: &App, init: Option<InitImage>) -> Result<ImageRequest> {
        if self.background == Some(Background::Transparent) {
            let reason = "transparent pictures are not drawn here, expected auto or opaque";
            return Err(Error::invalid("background", reason));
        }
        if self.loras.as_ref().is_some_and(|loras| !is_empty(loras)) {
            return Err(Error::invalid("loras", "none can be applied here: leave the field out"));
        }
        let size = self.size.unwrap_or_default().0;
        let model = self.model.map(Name::into_inner).filter(|model| !is_openais(model));
        let quality = self.quality.unwrap_or_default();
        let steps = match self.steps {
            Some(steps) => Some(steps.into()),
            None if quality.steps(Some(1)).is_some() => quality.steps(usual_steps(app, model.as_deref()).await?),
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

/// Nothing, in JSON or in a form.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => matches!(text.trim(), "" | "[]" | "{}"),
        _ => false,
    }
}

/// How many steps a model takes by itself, if that is known.
async fn usual_steps(app: &App, model: Option<&str>) -> Result<Option<u32>> {
    let models = app.service.models().await?;
    let found = models.into_iter().find(|known| model.is_none_or(|model| known.name == model));
    Ok(found.and_then(|model| model.steps))
}
