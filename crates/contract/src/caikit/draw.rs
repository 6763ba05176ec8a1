//! Draws the picture of a request, whether it came over HTTP or over gRPC.

use super::info::module;
use super::size::side;
use super::{GUIDANCE_SCALE, SIZE, STEPS, STUB};
use crate::access::Caller;
use crate::limits::{SIZE_STEP, STEPS_MAX};
use crate::service::{Encoding, Image, ImageRequest, Model, Module, PictureFormat, Priority, Result, Service};
use crate::{Error, waiting};

/// The service's names of fields, and the names in this family.
const NAMES: [(&str, &str); 3] = [("prompt", "inputs"), ("steps", "num_steps"), ("encoding", "image_format")];

/// A request. In gRPC a missing text is an empty one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// The model by name; required.
    pub model_id: String,
    /// What to draw; required.
    pub inputs: String,
    /// Height in pixels.
    pub height: Option<i64>,
    /// Width in pixels.
    pub width: Option<i64>,
    /// Denoising steps.
    pub num_steps: Option<i64>,
    /// How strongly to follow `inputs`.
    pub guidance_scale: Option<f64>,
    /// What not to draw.
    pub negative_prompt: Option<String>,
    /// PIL's name of the picture's format, in upper or lower case.
    pub image_format: Option<String>,
}

/// A picture with its caption.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The picture's record.
    pub image: Image,
    /// The text that it was drawn from.
    pub caption: String,
    /// The name and the version of the module that drew it.
    pub producer: (String, String),
}

/// Draws a picture and waits for it. The task is cancelled when the future is dropped.
///
/// # Errors
/// [`Error::InvalidField`] with Caikit's name of the field, [`Error::ModelNotFound`], and those of
/// [`Service::submit`] and of a failed task.
pub async fn draw(service: &dyn Service, caller: Caller, wish: Wish) -> Result<Drawn> {
    let caption = wish.inputs.clone();
    let model = find(service, &caller, &wish.model_id).await?;
    let Module { name, version, .. } = module(&model);
    let request = wish.into_request(model)?;
    let queued = caller.submit(service, request, Priority::Normal).await;
    let task = queued.map_err(|error| error.renamed(&NAMES))?;
    let task = waiting::completed(service, &task.id).await?;
    let id = *task.images.first().ok_or_else(|| Error::internal("the task has no picture"))?;
    Ok(Drawn { image: service.image(id).await?, caption, producer: (name, version) })
}

/// The model that a request names.
async fn find(service: &dyn Service, caller: &Caller, name: &str) -> Result<Model> {
    if name.is_empty() {
        return Err(Error::invalid("model_id", "required"));
    }
    let models = service.models().await?;
    // Another model may really have this name.
    let called = |name: &str| models.iter().find(|model| model.name == name);
    let found = called(name).or_else(|| called(Model::STUB).filter(|_| name == STUB));
    caller.check_model(found.map_or(name, |model| &model.name))?;
    found.cloned().ok_or_else(|| Error::ModelNotFound { model: name.to_owned() })
}

impl Wish {
    fn into_request(self, model: Model) -> Result<ImageRequest> {
        if self.inputs.is_empty() {
            return Err(Error::invalid("inputs", "required"));
        }
        let step = model.size_step.unwrap_or(SIZE_STEP as u32).max(1);
        Ok(ImageRequest {
            prompt: self.inputs,
            negative_prompt: self.negative_prompt,
            width: Some(side("width", self.width.unwrap_or(SIZE.into()), step)?),
            height: Some(side("height", self.height.unwrap_or(SIZE.into()), step)?),
            steps: Some(steps(self.num_steps)?),
            guidance_scale: Some(self.guidance_scale.unwrap_or(GUIDANCE_SCALE)),
            model: Some(model.name),
            count: 1,
            attended: true,
            encoding: Some(Encoding { format: format(self.image_format.as_deref())?, quality: None }),
            ..ImageRequest::default()
        })
    }
}

fn steps(asked: Option<i64>) -> Result<u32> {
    let Some(asked) = asked else { return Ok(STEPS) };
    let steps = u32::try_from(asked).ok().filter(|steps| (1..=STEPS_MAX).contains(&u64::from(*steps)));
    steps.ok_or_else(|| Error::invalid("num_steps", format!("must be between 1 and {STEPS_MAX}, got {asked}")))
}

fn format(name: Option<&str>) -> Result<PictureFormat> {
    let Some(name) = name else { return Ok(PictureFormat::Png) };
    PictureFormat::named(name).ok_or_else(|| {
        let known = PictureFormat::ALL.map(|(_, name)| name).join(", ");
        Error::invalid("image_format", format!("must be one of {known}, got {name:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> Wish {
        Wish { model_id: "m".into(), inputs: "a cat".into(), ..Wish::default() }
    }

    fn request(change: impl FnOnce(&mut Wish)) -> Result<ImageRequest, String> {
        let mut wish = wish();
        change(&mut wish);
        wish.into_request(Model { name: "m".into(), ..Model::default() }).map_err(|error| error.to_string())
    }

    #[test]
    fn missing_fields_have_caikits_defaults() {
        let request = request(|_| ()).unwrap();
        assert_eq!([request.width, request.height, request.steps], [Some(512), Some(512), Some(1)]);
        assert_eq!((request.guidance_scale, request.negative_prompt, request.seed), (Some(0.0), None, None));
        assert!(request.attended && request.encoding == Some(Encoding::default()));
    }

    #[test]
    fn sizes_follow_the_model() {
        let sized = |step: Option<u32>| {
            let model = Model { size_step: step, ..Model::default() };
            let request = Wish { height: Some(550), width: Some(500), ..wish() }.into_request(model).unwrap();
            [request.height, request.width].map(Option::unwrap)
        };
        assert_eq!(sized(Some(1)), [550, 500], "the stub keeps every size");
        assert_eq!(sized(None), [552, 496]);
        assert_eq!(sized(Some(16)), [544, 496]);
    }

    #[test]
    fn formats_have_their_names_in_pil_in_any_case() {
        let format = |name: &str| {
            request(|wish| wish.image_format = Some(name.to_owned())).map(|request| request.encoding.unwrap().format)
        };
        assert_eq!(format("JPEG"), Ok(PictureFormat::Jpeg));
        assert_eq!(format("tiff"), Ok(PictureFormat::Tiff));
        assert_eq!(
            format("svg").unwrap_err(),
            "image_format: must be one of png, jpeg, webp, bmp, tiff, gif, got \"svg\""
        );
        assert!(format("").is_err());
    }

    #[test]
    fn wrong_fields_are_named() {
        let refused = |change: fn(&mut Wish)| request(change).unwrap_err();
        assert_eq!(refused(|wish| wish.inputs.clear()), "inputs: required");
        assert_eq!(refused(|wish| wish.num_steps = Some(0)), "num_steps: must be between 1 and 1000, got 0");
        assert_eq!(refused(|wish| wish.height = Some(-1)), "height: must be between 64 and 2048, got -1");
    }
}
