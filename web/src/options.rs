//! The options of a page, and their conversion into a request.

use easel_inference::pipeline::{InitImage, PromptOptions, Request};
use easel_inference::{Error, Result};
use easel_picture::{Image, Limits};
use serde::Deserialize;
use serde_bytes::ByteBuf;

/// The default strengths without and with a mask, from diffusers.
const STRENGTH: f64 = 0.8;
const STRENGTH_WITH_MASK: f64 = 1.0;

/// One picture, as `generate` of the package describes it. For missing fields the model's defaults apply.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GenerateOptions {
    prompt: String,
    negative_prompt: Option<String>,
    seed: u64,
    steps: Option<usize>,
    guidance_scale: Option<f64>,
    true_cfg_scale: Option<f64>,
    guidance_rescale: Option<f64>,
    eta: Option<f64>,
    width: Option<usize>,
    height: Option<usize>,
    scheduler: Option<String>,
    clip_skip: Option<usize>,
    #[serde(default)]
    weighting: bool,
    #[serde(default)]
    long_prompts: bool,
    /// A PNG, JPEG or WebP file.
    init_image: Option<ByteBuf>,
    strength: Option<f64>,
    /// A PNG, JPEG or WebP file; white is redrawn.
    mask: Option<ByteBuf>,
    /// Steps between previews; 0 for no previews.
    #[serde(default)]
    preview_every: usize,
}

impl GenerateOptions {
    /// The request for this picture. [`Error::Invalid`] names an invalid field.
    pub(crate) fn into_request(self) -> Result<Request> {
        if self.init_image.is_none() && self.mask.is_some() {
            return Err(Error::invalid("mask", "a mask needs an initial image"));
        }
        let negative = self.negative_prompt.as_deref();
        let request = Request {
            width: self.width,
            height: self.height,
            steps: self.steps,
            guidance_scale: self.guidance_scale,
            true_cfg_scale: self.true_cfg_scale,
            guidance_rescale: self.guidance_rescale.unwrap_or(0.0),
            eta: self.eta.unwrap_or(0.0),
            scheduler: self.scheduler,
            preview_every: self.preview_every,
            prompt_options: PromptOptions {
                weighting: self.weighting,
                long: self.long_prompts,
                clip_skip: self.clip_skip.unwrap_or(0),
                ..PromptOptions::default()
            },
            init: init(self.init_image, self.mask, self.strength)?,
            ..Request::new(&self.prompt, negative, self.seed, 1)
        };
        request.validate()?;
        Ok(request)
    }
}

/// The initial picture.
fn init(image: Option<ByteBuf>, mask: Option<ByteBuf>, strength: Option<f64>) -> Result<Option<InitImage>> {
    let decode = |field: &'static str, bytes: ByteBuf| {
        Image::decode(&bytes, &Limits::default()).map_err(|error| Error::invalid(field, error.to_string()))
    };
    let Some(image) = image else { return Ok(None) };
    let image = decode("initImage", image)?;
    let mask = mask.map(|mask| decode("mask", mask)).transpose()?;
    let default_strength = if mask.is_some() { STRENGTH_WITH_MASK } else { STRENGTH };
    Ok(Some(InitImage { image, strength: strength.unwrap_or(default_strength), mask, all_steps: false }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use easel_picture::{EncodeOptions, ImageFormat};

    fn picture() -> ByteBuf {
        let image = Image::stub(16, 8).unwrap();
        ByteBuf::from(image.encode(ImageFormat::Png, &EncodeOptions::default()).unwrap())
    }

    fn refused(options: GenerateOptions) -> String {
        options.into_request().unwrap_err().to_string()
    }

    #[test]
    fn what_is_missing_stays_the_models_choice() {
        let options = GenerateOptions { prompt: "a cat".into(), seed: u64::MAX, ..Default::default() };
        let request = options.into_request().unwrap();
        assert_eq!((request.prompts.len(), request.prompts[0].seed), (1, u64::MAX));
        assert_eq!((request.width, request.steps, request.guidance_scale), (None, None, None));
        assert!(request.prompts[0].negative.is_none() && request.init.is_none());
    }

    #[test]
    fn strength_depends_on_the_mask() {
        let with = |mask| GenerateOptions { init_image: Some(picture()), mask, ..Default::default() };
        assert_eq!(with(None).into_request().unwrap().init.unwrap().strength, 0.8);
        assert_eq!(with(Some(picture())).into_request().unwrap().init.unwrap().strength, 1.0);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let broken = GenerateOptions { init_image: Some(ByteBuf::from(*b"%PDF-1.7")), ..Default::default() };
        assert!(refused(broken).starts_with("initImage: picture: begins with"));
        let alone = GenerateOptions { mask: Some(picture()), ..Default::default() };
        assert_eq!(refused(alone), "mask: a mask needs an initial image");
        let steps = GenerateOptions { steps: Some(0), ..Default::default() };
        assert_eq!(refused(steps), "steps: must be between 1 and 1000, got 0");
    }
}
