//! What `txt2img` and `img2img` are asked for, and the service's request that it becomes.

use super::fields::{Flag, LargeSize, Neutral, Seed};
use crate::field::{GuidanceScale, Integer, Name, NegativePrompt, Real, Size, Steps, Strength, Text};
use crate::limits::{NAME_MAX, PROMPT_MAX, ROUND_MAX, STEPS_MAX};
use crate::service::{Hires, ImageRequest, InitImage, Mask, Redraw, Result};
use crate::wire::Base64;
use crate::{Error, head};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// How far to go from a picture where a request does not say.
const STRENGTH: f64 = 0.75;

/// How much larger the second picture of a hires fix is where a request does not say.
const SCALE: f64 = 2.0;

/// The names of what enlarges pictures; all of them are done by resizing pixels.
const UPSCALERS: [&str; 2] = ["None", "Lanczos"];

/// A number of pictures.
type Count = Integer<1, ROUND_MAX>;

/// What to draw; it may be empty.
type MaybePrompt = Text<0, PROMPT_MAX>;

/// A number of steps; 0 stands for none.
type MaybeSteps = Integer<0, STEPS_MAX>;

/// A text that may be empty, as some clients write what they leave out.
type MaybeName = Text<0, NAME_MAX>;

/// What to draw. Unknown fields are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = WebUiRequest)]
pub(crate) struct Wish {
    /// May be empty.
    #[schema(inline)]
    prompt: Option<MaybePrompt>,
    #[schema(inline)]
    negative_prompt: Option<NegativePrompt>,
    #[schema(inline)]
    steps: Option<Steps>,
    #[schema(inline)]
    cfg_scale: Option<GuidanceScale>,
    #[schema(inline)]
    width: Option<Size>,
    #[schema(inline)]
    height: Option<Size>,
    /// -1 by default, which leaves it to the service.
    #[schema(inline)]
    seed: Option<Seed>,
    /// As `/sdapi/v1/samplers` lists it, or with a scheduler at its end, as `DPM++ 2M Karras`.
    #[schema(inline)]
    sampler_name: Option<MaybeName>,
    /// Another name of `sampler_name`, which wins.
    #[schema(inline)]
    sampler_index: Option<MaybeName>,
    /// As `/sdapi/v1/schedulers` lists it; those of AUTOMATIC1111 that are missing there are `automatic`.
    #[schema(inline)]
    scheduler: Option<MaybeName>,
    /// Pictures of one round, 1 by default.
    #[schema(inline)]
    batch_size: Option<Count>,
    /// Rounds, 1 by default.
    #[schema(inline)]
    n_iter: Option<Count>,
    /// The picture to start from, for `img2img`: one in base64 or as a `data:` URL.
    #[schema(value_type = Option<Vec<String>>)]
    init_images: Option<Vec<Base64>>,
    /// Where it is drawn anew: white by default.
    #[schema(value_type = Option<String>)]
    mask: Option<Base64>,
    /// Whether it is drawn anew where the mask is black instead.
    #[schema(inline)]
    inpainting_mask_invert: Option<Flag>,
    /// How far to go from the picture, 0.75 by default.
    #[schema(inline)]
    denoising_strength: Option<Strength>,
    /// Whether `txt2img` enlarges the picture and draws it again with `denoising_strength`.
    #[schema(inline)]
    enable_hr: Option<Flag>,
    /// How much larger, 2 by default.
    #[schema(inline)]
    hr_scale: Option<Real<1, 8>>,
    /// As `/sdapi/v1/upscalers` lists it, or a name that begins with `Latent`.
    #[schema(inline)]
    hr_upscaler: Option<MaybeName>,
    /// 0, the default, for as many as `steps`.
    #[schema(inline)]
    hr_second_pass_steps: Option<MaybeSteps>,
    #[schema(inline)]
    hr_resize_x: Option<LargeSize>,
    #[schema(inline)]
    hr_resize_y: Option<LargeSize>,
    override_settings: Option<Overrides>,
    /// Whether the answer has the pictures, true by default.
    #[schema(inline)]
    send_images: Option<Flag>,
    #[schema(inline)]
    #[expect(dead_code, reason = "refused while it is read, unless it is neutral")]
    restore_faces: Option<Neutral>,
    #[schema(inline)]
    #[expect(dead_code, reason = "refused while it is read, unless it is neutral")]
    tiling: Option<Neutral>,
    #[schema(inline)]
    #[expect(dead_code, reason = "refused while it is read, unless it is neutral")]
    script_name: Option<Neutral>,
    #[schema(inline)]
    #[expect(dead_code, reason = "refused while it is read, unless it is neutral")]
    alwayson_scripts: Option<Neutral>,
    #[schema(inline)]
    #[expect(dead_code, reason = "refused while it is read, unless it is neutral")]
    styles: Option<Neutral>,
}

/// Settings of one request. All others are ignored.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = WebUiOverrides)]
pub(crate) struct Overrides {
    /// The model.
    #[schema(inline)]
    sd_model_checkpoint: Option<Name>,
}

/// Which of the two routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Picture,
}

/// What the service's fields are called here.
pub(super) const NAMES: [(&str, &str); 6] = [
    ("guidance_scale", "cfg_scale"),
    ("scheduler", "sampler_name"),
    ("count", "batch_size"),
    ("strength", "denoising_strength"),
    ("init_image", "init_images"),
    ("hires", "hr_scale"),
];

impl Wish {
    /// The sampler that it names.
    pub(super) fn sampler(&self) -> Option<&str> {
        let named = [&self.sampler_name, &self.sampler_index].into_iter().flatten();
        named.map(|name| &**name).find(|name| !name.is_empty())
    }

    /// The scheduler that it names.
    pub(super) fn schedule(&self) -> Option<&str> {
        self.scheduler.as_deref().filter(|name| !name.is_empty())
    }

    /// The model that it names.
    pub(super) fn model(&self) -> Option<&str> {
        self.override_settings.as_ref()?.sd_model_checkpoint.as_deref()
    }

    /// Whether the answer has the pictures.
    pub(super) fn sends_images(&self) -> bool {
        self.send_images.is_none_or(|flag| flag.0)
    }

    fn strength(&self) -> f64 {
        self.denoising_strength.map_or(STRENGTH, Strength::get)
    }

    /// The request as the answer repeats it, without pictures.
    pub(super) fn echo(&self) -> Value {
        let text = |text: &Option<MaybeName>| text.as_deref().map(str::to_owned);
        let count = |count: Option<Count>| count.map_or(1, u32::from);
        json!({
            "prompt": self.prompt.as_deref().unwrap_or_default(),
            "negative_prompt": self.negative_prompt.as_deref().unwrap_or_default(),
            "steps": self.steps.map(u32::from),
            "cfg_scale": self.cfg_scale.map(GuidanceScale::get),
            "width": self.width.map(u32::from),
            "height": self.height.map(u32::from),
            "seed": self.seed.unwrap_or_default().0.map_or(json!(-1), |seed| json!(seed)),
            "sampler_name": self.sampler(),
            "sampler_index": text(&self.sampler_index),
            "scheduler": text(&self.scheduler),
            "batch_size": count(self.batch_size),
            "n_iter": count(self.n_iter),
            "init_images": Value::Null,
            "mask": Value::Null,
            "inpainting_mask_invert": self.inpainting_mask_invert.map(|flag| u8::from(flag.0)),
            "denoising_strength": self.denoising_strength.map(Strength::get),
            "enable_hr": self.is_hires(),
            "hr_scale": self.hr_scale.map(|scale| scale.get()),
            "hr_upscaler": text(&self.hr_upscaler),
            "hr_second_pass_steps": self.hr_second_pass_steps.map(u32::from),
            "override_settings": self.model().map_or(json!({}), |model| json!({ "sd_model_checkpoint": model })),
            "send_images": self.sends_images(),
        })
    }

    fn is_hires(&self) -> bool {
        self.enable_hr.is_some_and(|flag| flag.0)
    }

    fn hires(&self) -> Result<Option<Hires>> {
        if !self.is_hires() {
            return Ok(None);
        }
        let upscaler = self.hr_upscaler.as_deref().unwrap_or_default();
        let is_known = upscaler.is_empty() || upscaler.starts_with("Latent") || UPSCALERS.contains(&upscaler);
        if !is_known {
            let reason = format!("{upscaler:?} is not there; there are {}", UPSCALERS.join(", "));
            return Err(Error::invalid("hr_upscaler", reason));
        }
        Ok(Some(Hires {
            scale: self.hr_scale.map_or(SCALE, Real::get),
            width: self.hr_resize_x.and_then(|size| size.0),
            height: self.hr_resize_y.and_then(|size| size.0),
            steps: self.hr_second_pass_steps.map(u32::from).filter(|steps| *steps > 0),
            strength: self.strength(),
        }))
    }

    fn init(&mut self) -> Result<InitImage> {
        let mut images = self.init_images.take().unwrap_or_default();
        let bytes = match (images.pop(), images.len()) {
            (Some(Base64(bytes)), 0) => picture("init_images", bytes)?,
            (None, _) => return Err(Error::invalid("init_images", "required")),
            (_, others) => {
                let reason = format!("{} pictures, expected one: more cannot be taken", others + 1);
                return Err(Error::invalid("init_images", reason));
            }
        };
        let is_inverted = self.inpainting_mask_invert.is_some_and(|flag| flag.0);
        let redraw = if is_inverted { Redraw::Black } else { Redraw::White };
        let mask = self.mask.take().map(|Base64(bytes)| picture("mask", bytes)).transpose()?;
        let mask = mask.map(|bytes| Mask { bytes, redraw });
        Ok(InitImage { bytes, strength: self.strength(), mask })
    }

    /// The service's request, with the scheduler and the model that were found for it.
    pub(super) fn request(
        &mut self,
        kind: Kind,
        scheduler: Option<String>,
        model: Option<String>,
    ) -> Result<ImageRequest> {
        let count = |count: Option<Count>| count.map_or(1, u32::from);
        let (init, hires) = match kind {
            Kind::Text => (None, self.hires()?),
            Kind::Picture => (Some(self.init()?), None),
        };
        Ok(ImageRequest {
            prompt: self.prompt.as_deref().unwrap_or_default().to_owned(),
            negative_prompt: self.negative_prompt.as_deref().map(str::to_owned),
            width: self.width.map(u32::from),
            height: self.height.map(u32::from),
            steps: self.steps.map(u32::from),
            guidance_scale: self.cfg_scale.map(GuidanceScale::get),
            seed: self.seed.unwrap_or_default().0,
            scheduler,
            model,
            count: count(self.batch_size) * count(self.n_iter),
            init,
            hires,
            attended: true,
            ..ImageRequest::default()
        })
    }
}

/// The bytes of a picture file; whether it can be decoded is for the service to say.
fn picture(field: &str, bytes: Bytes) -> Result<Bytes> {
    match head::size(&bytes) {
        Some(_) => Ok(bytes),
        None => Err(Error::invalid(field, "neither a PNG nor a JPEG nor a WebP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::parse;

    /// The head of a PNG in base64.
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1Pe";

    fn request(kind: Kind, body: &str) -> Result<ImageRequest, String> {
        let mut wish = parse::<Wish>(body.as_bytes()).map_err(|error| error.to_string())?;
        wish.request(kind, None, None).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_required_of_a_text() {
        let request = request(Kind::Text, "{}").unwrap();
        assert_eq!((request.prompt.as_str(), request.count, request.seed, request.hires), ("", 1, None, None));
        assert!(request.attended && request.width.is_none() && request.init.is_none());
    }

    #[test]
    fn a_hires_fix_has_a_scale_or_sizes() {
        let hires = |body: &str| request(Kind::Text, body).map(|request| request.hires);
        let plain = Hires { scale: 2.0, width: None, height: None, steps: None, strength: 0.75 };
        assert_eq!(hires(r#"{"enable_hr":true,"hr_resize_x":0,"hr_second_pass_steps":0}"#), Ok(Some(plain)));
        let body = r#"{"enable_hr":true,"hr_scale":1.5,"hr_resize_x":512,"hr_second_pass_steps":9,"denoising_strength":0.5,
                       "hr_upscaler":"Latent (antialiased)"}"#;
        let sized = Hires { scale: 1.5, width: Some(512), height: None, steps: Some(9), strength: 0.5 };
        assert_eq!(hires(body), Ok(Some(sized)));
        assert_eq!(hires(r#"{"enable_hr":false,"hr_upscaler":"ESRGAN"}"#), Ok(None));
        let refused = hires(r#"{"enable_hr":true,"hr_upscaler":"ESRGAN"}"#).unwrap_err();
        assert_eq!(refused, "hr_upscaler: \"ESRGAN\" is not there; there are None, Lanczos");
    }

    #[test]
    fn a_picture_to_start_from_comes_with_a_mask() {
        let init = |body: &str| request(Kind::Picture, body).map(|request| request.init.unwrap());
        let plain = init(&format!(r#"{{"init_images":["data:image/png;base64,{PNG}"]}}"#)).unwrap();
        assert_eq!((head::size(&plain.bytes), plain.strength, plain.mask), (Some((1, 1)), 0.75, None));
        let masked =
            init(&format!(r#"{{"init_images":["{PNG}"],"mask":"{PNG}","inpainting_mask_invert":1}}"#)).unwrap();
        assert_eq!(masked.mask.unwrap().redraw, Redraw::Black);
        let refused = init(&format!(r#"{{"init_images":["{PNG}"],"mask":"AQ=="}}"#)).unwrap_err();
        assert_eq!(refused, "mask: neither a PNG nor a JPEG nor a WebP");
        assert_eq!(init("{}").unwrap_err(), "init_images: required");
        assert_eq!(init(r#"{"init_images":["!"]}"#).unwrap_err(), "init_images[0]: not base64");
        assert!(init(r#"{"init_images":["AQ==","AQ=="]}"#).unwrap_err().starts_with("init_images: 2 pictures"));
    }

    #[test]
    fn what_is_not_done_is_refused_unless_it_is_left_empty() {
        let neutral = r#"{"restore_faces":false,"tiling":null,"script_name":"","alwayson_scripts":{},"styles":[]}"#;
        assert!(request(Kind::Text, neutral).is_ok());
        for field in ["restore_faces", "tiling"] {
            let refused = request(Kind::Text, &format!("{{\"{field}\":true}}")).unwrap_err();
            assert_eq!(refused, format!("{field}: this is not done here: leave the field out"));
        }
    }
}
