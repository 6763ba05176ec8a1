//! Requests for pictures. Missing fields are filled in from the model's defaults.

use crate::{Error, Result};
use easel_picture::Image;

/// Width and height are multiples of this many pixels: one latent.
pub const SIZE_STEP: usize = 8;
/// The smallest width and height.
pub const SIZE_MIN: usize = 16;
/// The largest width and height.
pub const SIZE_MAX: usize = 4096;
/// The largest number of denoising steps: schedules have 1000 training timesteps.
pub const STEPS_MAX: usize = 1000;
/// The largest number of pictures in one request.
pub const COUNT_MAX: usize = 256;

/// The largest number of tokens that T5 reads.
pub const SEQUENCE_MAX: usize = 512;

/// One picture of a request: its texts and its seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// What to draw.
    pub text: String,
    /// Another text for the second text encoder, if the model has one.
    pub text_2: Option<String>,
    /// What not to draw; `None` means the family's own default.
    pub negative: Option<String>,
    /// Another negative prompt for the second text encoder.
    pub negative_2: Option<String>,
    /// The seed of this picture's noise.
    pub seed: u64,
}

/// An initial picture.
#[derive(Clone, Debug)]
pub struct InitImage {
    /// The picture. It is resized to the size of the request.
    pub image: Image,
    /// How much of it to change, from 0 (nothing) to 1 (everything).
    pub strength: f64,
    /// Take all steps, over the last part of a distilled schedule that `strength` leaves, as diffusers' LCM pipeline does,
    /// instead of skipping the first ones. LCM and TCD schedulers only.
    pub all_steps: bool,
    /// The area to redraw: white is redrawn, black is kept. `None` redraws everything.
    pub mask: Option<Image>,
}

/// Micro-conditioning (<https://arxiv.org/abs/2307.01952>, section 2.2), for families that take sizes as an input. Sizes are
/// `[height, width]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeConditioning {
    /// The size before cropping; `None` stands for the size of the request.
    pub original_size: Option<[usize; 2]>,
    /// The corner of the crop, `[top, left]`.
    pub crop_top_left: [usize; 2],
    /// The target size; `None` stands for the size of the request.
    pub target_size: Option<[usize; 2]>,
    /// The original size for the negative prompt; `None` stands for that of the prompt.
    pub negative_original_size: Option<[usize; 2]>,
    /// The corner of the negative prompt's crop.
    pub negative_crop_top_left: [usize; 2],
    /// The negative prompt's target size; `None` stands for that of the prompt.
    pub negative_target_size: Option<[usize; 2]>,
}

/// How a prompt is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptOptions {
    /// Read `(word:1.3)` and `[word]` as weights.
    pub weighting: bool,
    /// Split prompts that are longer than one window over several, instead of truncating them.
    pub long: bool,
    /// Use the hidden states this many layers before the last one.
    pub clip_skip: usize,
    /// How many tokens T5 reads, for families that have it; `None` stands for the family's default.
    pub max_sequence_length: Option<usize>,
}

/// Skip-layer guidance: during a part of the steps, the prediction is also pushed away from a prediction without some
/// of the layers. For families whose denoiser has uniform layers.
#[derive(Clone, Debug, PartialEq)]
pub struct SkipLayers {
    /// The layers to skip, numbered from 0.
    pub layers: Vec<usize>,
    /// The factor on the difference.
    pub scale: f64,
    /// The start of its range of steps, as a part of all steps from 0 to 1.
    pub start: f64,
    /// The end of its range of steps, as a part of all steps from 0 to 1.
    pub stop: f64,
}

impl SkipLayers {
    /// Skips these layers, with the defaults of diffusers and of Stable Diffusion 3.5 medium's authors.
    pub fn new(layers: Vec<usize>) -> Self {
        Self { layers, scale: 2.8, start: 0.01, stop: 0.2 }
    }

    /// Whether step `step` of `steps` is in the range.
    pub(crate) fn covers(&self, step: usize, steps: usize) -> bool {
        let step = step as f64;
        let steps = steps as f64;
        step > steps * self.start && step < steps * self.stop
    }
}

/// A request for pictures.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// One entry per picture.
    pub prompts: Vec<Prompt>,
    /// How the prompts are read.
    pub prompt_options: PromptOptions,
    /// Width in pixels.
    pub width: Option<usize>,
    /// Height in pixels.
    pub height: Option<usize>,
    /// Denoising steps.
    pub steps: Option<usize>,
    /// The guidance scale: how strongly to follow the prompt. 1 or less turns guidance off.
    pub guidance_scale: Option<f64>,
    /// The scale of additional classifier-free guidance with the negative prompt, for models that take `guidance_scale`
    /// as an input (FLUX.1 dev). 1 or less turns it off. `None` stands for the model's default if there is a non-empty
    /// negative prompt, otherwise it is off.
    pub true_cfg_scale: Option<f64>,
    /// How strongly to rescale the guided prediction to the standard deviation of the unguided one, from 0 to 1.
    pub guidance_rescale: f64,
    /// Skip-layer guidance, in addition to that by the prompt.
    pub skip_layers: Option<SkipLayers>,
    /// The scheduler by name; `None` stands for the model's own.
    pub scheduler: Option<String>,
    /// DDIM's eta, from 0 to 1.
    pub eta: f64,
    /// An initial picture.
    pub init: Option<InitImage>,
    /// Micro-conditioning on sizes, for families that take it.
    pub sizes: SizeConditioning,
    /// How many pictures are computed at once. With 1, every picture has the same bytes alone and in a batch.
    pub batch_size: usize,
    /// Draw the noise of a whole batch from the first picture's seed, as diffusers does with a single generator.
    pub one_generator: bool,
    /// Denoising steps between previews; 0 for no previews.
    pub preview_every: usize,
    /// Whether to decode in overlapping tiles; `None` does so for pictures that are large for the autoencoder.
    pub tiling: Option<bool>,
}

impl Request {
    /// `count` pictures of one prompt; picture `k` has seed `seed + k`. A count above [`COUNT_MAX`] becomes one more
    /// than that, so that no memory is allocated for an unchecked number before [`validate`](Self::validate) refuses
    /// it.
    pub fn new(text: &str, negative: Option<&str>, seed: u64, count: usize) -> Self {
        let prompt = |k: usize| Prompt {
            text: text.to_owned(),
            negative: negative.map(str::to_owned),
            seed: seed.wrapping_add(k as u64),
            ..Prompt::default()
        };
        Self { prompts: (0..count.min(COUNT_MAX + 1)).map(prompt).collect(), batch_size: 1, ..Self::default() }
    }

    /// Checks everything that does not depend on the model.
    pub fn validate(&self) -> Result<()> {
        in_range("count", self.prompts.len(), 1, COUNT_MAX)?;
        for (field, size) in [("width", self.width), ("height", self.height)] {
            if let Some(size) = size {
                check_size(field, size)?;
            }
        }
        if let Some(steps) = self.steps {
            in_range("steps", steps, 1, STEPS_MAX)?;
        }
        if let Some(scale) = self.guidance_scale {
            in_range("guidance_scale", scale, 0.0, 100.0)?;
        }
        in_range("true_cfg_scale", self.true_cfg_scale.unwrap_or(0.0), 0.0, 100.0)?;
        in_range("guidance_rescale", self.guidance_rescale, 0.0, 1.0)?;
        if let Some(skip) = &self.skip_layers {
            in_range("skip_layer_guidance_scale", skip.scale, 0.0, 100.0)?;
            in_range("skip_layer_guidance_start", skip.start, 0.0, 1.0)?;
            in_range("skip_layer_guidance_stop", skip.stop, 0.0, 1.0)?;
        }
        if let Some(length) = self.prompt_options.max_sequence_length {
            in_range("max_sequence_length", length, 1, SEQUENCE_MAX)?;
        }
        in_range("eta", self.eta, 0.0, 1.0)?;
        in_range("batch_size", self.batch_size, 1, COUNT_MAX)?;
        if let Some(init) = &self.init {
            in_range("strength", init.strength, 0.0, 1.0)?;
        }
        Ok(())
    }
}

/// Checks a width or height.
fn check_size(field: &'static str, size: usize) -> Result<()> {
    if (SIZE_MIN..=SIZE_MAX).contains(&size) && size.is_multiple_of(SIZE_STEP) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("must be a multiple of {SIZE_STEP} between {SIZE_MIN} and {SIZE_MAX}, got {size}"),
    ))
}

/// Checks that a number is within its bounds. A NaN is not.
fn in_range<T: PartialOrd + std::fmt::Display>(field: &'static str, value: T, low: T, high: T) -> Result<()> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(Error::invalid(field, format!("must be between {low} and {high}, got {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error message for a changed request.
    fn refused(change: impl FnOnce(&mut Request)) -> String {
        let mut request = Request::new("a cat", None, 1, 1);
        request.validate().unwrap();
        change(&mut request);
        request.validate().unwrap_err().to_string()
    }

    #[test]
    fn every_field_out_of_range_is_named() {
        assert_eq!(refused(|r| r.width = Some(0)), "width: must be a multiple of 8 between 16 and 4096, got 0");
        assert_eq!(refused(|r| r.height = Some(7)), "height: must be a multiple of 8 between 16 and 4096, got 7");
        assert_eq!(
            refused(|r| r.width = Some(100_000)),
            "width: must be a multiple of 8 between 16 and 4096, got 100000"
        );
        assert_eq!(refused(|r| r.steps = Some(0)), "steps: must be between 1 and 1000, got 0");
        assert_eq!(refused(|r| r.prompts.clear()), "count: must be between 1 and 256, got 0");
        assert_eq!(refused(|r| r.guidance_scale = Some(-1.0)), "guidance_scale: must be between 0 and 100, got -1");
        assert_eq!(
            refused(|r| r.guidance_scale = Some(f64::NAN)),
            "guidance_scale: must be between 0 and 100, got NaN"
        );
        assert_eq!(refused(|r| r.true_cfg_scale = Some(101.0)), "true_cfg_scale: must be between 0 and 100, got 101");
        assert_eq!(refused(|r| r.guidance_rescale = 1.5), "guidance_rescale: must be between 0 and 1, got 1.5");
        let skip = |stop| Some(SkipLayers { stop, ..SkipLayers::new(vec![7]) });
        assert_eq!(
            refused(|r| r.skip_layers = skip(1.5)),
            "skip_layer_guidance_stop: must be between 0 and 1, got 1.5"
        );
        let length = refused(|r| r.prompt_options.max_sequence_length = Some(1000));
        assert_eq!(length, "max_sequence_length: must be between 1 and 512, got 1000");
        assert_eq!(refused(|r| r.eta = 2.0), "eta: must be between 0 and 1, got 2");
        assert_eq!(refused(|r| r.batch_size = 0), "batch_size: must be between 1 and 256, got 0");
    }

    #[test]
    fn f1_an_absurd_count_is_refused_and_allocates_nothing() {
        let request = Request::new("a cat", None, 1, u32::MAX as usize);
        assert_eq!(request.prompts.len(), COUNT_MAX + 1);
        assert_eq!(request.validate().unwrap_err().to_string(), "count: must be between 1 and 256, got 257");
    }

    #[test]
    fn pictures_of_a_batch_have_consecutive_seeds() {
        let seeds: Vec<u64> = Request::new("a", None, u64::MAX, 2).prompts.iter().map(|p| p.seed).collect();
        assert_eq!(seeds, [u64::MAX, 0]);
    }
}
