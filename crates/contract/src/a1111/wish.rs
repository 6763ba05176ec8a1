//! The body of `txt2img` and `img2img`, and its conversion into the service's request.

use super::fields::{LargeSize, Neutral, Seed};
use crate::field::{Flag, GuidanceScale, Integer, Name, NegativePrompt, Real, Size, Steps, Strength, Text};
use crate::limits::{BLUR_MAX, MARGIN_MAX, NAME_MAX, PROMPT_MAX, ROUND_MAX, STEPS_MAX};
use crate::service::{Hires, ImageRequest, InitImage, Mask, Paste, Redraw, Result};
use crate::wire::Base64;
use crate::{Error, head};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The default strength: how much of the initial picture to change.
const STRENGTH: f64 = 0.75;

/// The default scale of a hires fix.
const SCALE: f64 = 2.0;

/// The upscalers. All of them resize pixels.
const UPSCALERS: [&str; 2] = ["None", "Lanczos"];

/// The default blur of a mask.
const BLUR: u32 = 4;

/// The number of `inpainting_fill` that keeps what is under the mask.
const ORIGINAL: u32 = 1;

/// A number of pictures.
type Count = Integer<1, ROUND_MAX>;

/// What to draw; it may be empty.
type MaybePrompt = Text<0, PROMPT_MAX>;

/// A number of steps; 0 stands for the default.
type MaybeSteps = Integer<0, STEPS_MAX>;

/// A text that may be empty, because some clients send empty texts for fields that they do not use.
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
    /// -1, the default, lets the service choose.
    #[schema(inline)]
    seed: Option<Seed>,
    /// A name from `/sdapi/v1/samplers`, optionally followed by a scheduler: `DPM++ 2M Karras`.
    #[schema(inline)]
    sampler_name: Option<MaybeName>,
    /// Another name of `sampler_name`, which takes precedence.
    #[schema(inline)]
    sampler_index: Option<MaybeName>,
    /// A name from `/sdapi/v1/schedulers`. AUTOMATIC1111's other schedulers count as `automatic`.
    #[schema(inline)]
    scheduler: Option<MaybeName>,
    /// Pictures per round, 1 by default.
    #[schema(inline)]
    batch_size: Option<Count>,
    /// Rounds, 1 by default.
    #[schema(inline)]
    n_iter: Option<Count>,
    /// The initial picture of `img2img`: exactly one, in base64 or as a `data:` URL.
    #[schema(value_type = Option<Vec<String>>)]
    init_images: Option<Vec<Base64>>,
    /// Where to redraw it: white areas by default.
    #[schema(value_type = Option<String>)]
    mask: Option<Base64>,
    /// Whether to redraw the black areas of the mask instead.
    #[schema(inline)]
    inpainting_mask_invert: Option<Flag>,
    /// The softness of the mask's edge in pixels, 4 by default.
    #[schema(inline)]
    mask_blur: Option<Integer<0, { BLUR_MAX }>>,
    /// Whether only the masked area is drawn, in the size of the request, and pasted into the picture; true by default. The
    /// result then has the size of the picture.
    #[schema(inline)]
    inpaint_full_res: Option<Flag>,
    /// How many pixels around the masked area are drawn too, 0 by default.
    #[schema(inline)]
    inpaint_full_res_padding: Option<Integer<0, { MARGIN_MAX }>>,
    /// The start of the masked area: 1 for its own pixels, 0 (the default) for the colours around it. 2 and 3 mean 0.
    #[schema(inline)]
    inpainting_fill: Option<Integer<0, 3>>,
    /// How much of the initial picture to change, 0.75 by default.
    #[schema(inline)]
    denoising_strength: Option<Strength>,
    /// Whether `txt2img` enlarges the picture and redraws it with `denoising_strength`.
    #[schema(inline)]
    enable_hr: Option<Flag>,
    /// The scale of the enlarged picture, 2 by default.
    #[schema(inline)]
    hr_scale: Option<Real<1, 8>>,
    /// A name from `/sdapi/v1/upscalers`, or one that begins with `Latent`.
    #[schema(inline)]
    hr_upscaler: Option<MaybeName>,
    /// 0, the default, stands for the value of `steps`.
    #[schema(inline)]
    hr_second_pass_steps: Option<MaybeSteps>,
    #[schema(inline)]
    hr_resize_x: Option<LargeSize>,
    #[schema(inline)]
    hr_resize_y: Option<LargeSize>,
    override_settings: Option<Overrides>,
    /// Whether the answer contains the pictures, true by default.
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

/// Settings for this request. All other settings are ignored.
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

/// The service's names of fields, and the names in this family.
pub(super) const NAMES: [(&str, &str); 7] = [
    ("guidance_scale", "cfg_scale"),
    ("scheduler", "sampler_name"),
    ("count", "batch_size"),
    ("strength", "denoising_strength"),
    ("init_image", "init_images"),
    ("hires", "hr_scale"),
    ("margin", "inpaint_full_res_padding"),
];

impl Wish {
    /// The requested sampler.
    pub(super) fn sampler(&self) -> Option<&str> {
        let named = [&self.sampler_name, &self.sampler_index].into_iter().flatten();
        named.map(|name| &**name).find(|name| !name.is_empty())
    }

    /// The requested scheduler.
    pub(super) fn schedule(&self) -> Option<&str> {
        self.scheduler.as_deref().filter(|name| !name.is_empty())
    }

    /// The requested model.
    pub(super) fn model(&self) -> Option<&str> {
        self.override_settings.as_ref()?.sd_model_checkpoint.as_deref()
    }

    /// Whether the answer contains the pictures.
    pub(super) fn sends_images(&self) -> bool {
        self.send_images.is_none_or(Flag::get)
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
            "mask_blur": self.mask_blur.map(u32::from),
            "inpaint_full_res": self.inpaint_full_res.map(Flag::get),
            "inpaint_full_res_padding": self.inpaint_full_res_padding.map(u32::from),
            "inpainting_fill": self.inpainting_fill.map(u32::from),
            "inpainting_mask_invert": self.inpainting_mask_invert.map(|flag| u8::from(flag.get())),
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
        self.enable_hr.is_some_and(Flag::get)
    }

    fn hires(&self) -> Result<Option<Hires>> {
        if !self.is_hires() {
            return Ok(None);
        }
        let upscaler = self.hr_upscaler.as_deref().unwrap_or_default();
        let is_known = upscaler.is_empty() || upscaler.starts_with("Latent") || UPSCALERS.contains(&upscaler);
        if !is_known {
            let reason =
                format!("{upscaler:?} is unknown; expected {} or a name that begins with Latent", UPSCALERS.join(", "));
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

    /// How the masked area is pasted into the picture.
    fn paste(&self) -> Paste {
        let is_partial = self.inpaint_full_res.is_none_or(Flag::get);
        let margin = self.inpaint_full_res_padding.map_or(0, u32::from);
        Paste {
            blur: self.mask_blur.map_or(BLUR, u32::from),
            margin: is_partial.then_some(margin),
            fill: self.inpainting_fill.map_or(0, u32::from) != ORIGINAL,
        }
    }

    fn init(&mut self) -> Result<InitImage> {
        let mut images = self.init_images.take().unwrap_or_default();
        let bytes = match (images.pop(), images.len()) {
            (Some(Base64(bytes)), 0) => picture("init_images", bytes)?,
            (None, _) => return Err(Error::invalid("init_images", "required")),
            (_, others) => {
                let reason = format!("must be one picture, got {}", others + 1);
                return Err(Error::invalid("init_images", reason));
            }
        };
        let is_inverted = self.inpainting_mask_invert.is_some_and(Flag::get);
        let redraw = if is_inverted { Redraw::Black } else { Redraw::White };
        let mask = self.mask.take().map(|Base64(bytes)| picture("mask", bytes)).transpose()?;
        let mask = mask.map(|bytes| Mask { bytes, redraw, paste: Some(self.paste()) });
        Ok(InitImage { bytes, strength: self.strength(), mask })
    }

    /// The service's request, with its resolved scheduler and model.
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

/// The bytes of a picture file. Only its header is checked; the service decodes it.
fn picture(field: &str, bytes: Bytes) -> Result<Bytes> {
    match head::size(&bytes) {
        Some(_) => Ok(bytes),
        None => Err(Error::invalid(field, "must be a PNG, JPEG or WebP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::parse;

    /// The first bytes of a PNG in base64.
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1Pe";

    fn request(kind: Kind, body: &str) -> Result<ImageRequest, String> {
        let mut wish = parse::<Wish>(body.as_bytes()).map_err(|error| error.to_string())?;
        wish.request(kind, None, None).map_err(|error| error.to_string())
    }

    #[test]
    fn no_field_of_txt2img_is_required() {
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
        assert_eq!(
            refused,
            "hr_upscaler: \"ESRGAN\" is unknown; expected None, Lanczos or a name that begins with Latent"
        );
    }

    #[test]
    fn an_initial_picture_may_have_a_mask() {
        let init = |body: &str| request(Kind::Picture, body).map(|request| request.init.unwrap());
        let plain = init(&format!(r#"{{"init_images":["data:image/png;base64,{PNG}"]}}"#)).unwrap();
        assert_eq!((head::size(&plain.bytes), plain.strength, plain.mask), (Some((1, 1)), 0.75, None));
        let masked =
            init(&format!(r#"{{"init_images":["{PNG}"],"mask":"{PNG}","inpainting_mask_invert":1}}"#)).unwrap();
        assert_eq!(masked.mask.unwrap().redraw, Redraw::Black);
        let refused = init(&format!(r#"{{"init_images":["{PNG}"],"mask":"AQ=="}}"#)).unwrap_err();
        assert_eq!(refused, "mask: must be a PNG, JPEG or WebP");
        assert_eq!(init("{}").unwrap_err(), "init_images: required");
        assert_eq!(init(r#"{"init_images":["!"]}"#).unwrap_err(), "init_images[0]: must be base64");
        assert!(
            init(r#"{"init_images":["AQ==","AQ=="]}"#)
                .unwrap_err()
                .starts_with("init_images: must be one picture, got 2")
        );
    }

    #[test]
    fn unsupported_features_are_refused_unless_empty() {
        let neutral = r#"{"restore_faces":false,"tiling":null,"script_name":"","alwayson_scripts":{},"styles":[]}"#;
        assert!(request(Kind::Text, neutral).is_ok());
        for field in ["restore_faces", "tiling"] {
            let refused = request(Kind::Text, &format!("{{\"{field}\":true}}")).unwrap_err();
            assert_eq!(refused, format!("{field}: not supported: leave the field out"));
        }
    }
}
