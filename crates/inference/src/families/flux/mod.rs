//! FLUX.1, schnell and dev (<https://github.com/black-forest-labs/flux>): CLIP's text encoder for the prompt as a whole
//! and T5's for its tokens, a transformer that predicts flows for squares of latents, and an autoencoder with 16
//! channels.
//!
//! dev was distilled with guidance: the guidance scale is an input, and a step takes one prediction. If there is a
//! negative prompt, classifier-free guidance is applied in addition and doubles the work ([`TRUE_SCALE`]). schnell has
//! no such input; for it a guidance scale above 1 is that of the negative prompt.

mod checkpoint;
mod denoiser;
mod names;

use super::shared::clip::{self, ClipEncoder, Pooling, State, Texts};
use super::shared::guidance::has_negative;
use super::shared::latents::ScaledLatents;
use super::shared::names::modern_attention;
use super::shared::t5::{self, T5TextEncoder};
use super::shared::{TEXT_ENCODER, TEXT_ENCODER_2, TRANSFORMER};
use super::{
    Checkpoint, Colours, Conditioning, Defaults, Denoiser, Family, Latents, Model, ModelFiles, Prompts, TextEncoder,
    TextStates, VAE,
};
use crate::models::flux::FluxConfig;
use crate::models::vae::AutoencoderConfig;
use crate::pipeline::Request;
use crate::sampling::{SchedulerConfig, TimestepOptions};
use crate::weights::{TensorIndex, TensorView, Weights};
use crate::{Error, Result};
use denoiser::{FluxDenoiser, PATCH};
use serde_json::Value;

const TOKENIZER: &str = "tokenizer";
const TOKENIZER_2: &str = "tokenizer_2";

/// The supported pipeline classes. Those of Fill, Kontext and other variants take additional pictures.
const CLASSES: [&str; 3] = ["FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"];

/// The side of the pictures that the models were trained on.
const PICTURE_SIZE: usize = 1024;

/// Default steps, guidance scale and number of T5 tokens of a model, from its authors and diffusers.
struct Preset {
    steps: usize,
    guidance_scale: f64,
    tokens: usize,
}

const SCHNELL: Preset = Preset { steps: 4, guidance_scale: 0.0, tokens: 256 };
const DEV: Preset = Preset { steps: 28, guidance_scale: 3.5, tokens: 512 };

/// The default scale of classifier-free guidance for requests with a negative prompt, for models that take the guidance
/// scale as an input.
const TRUE_SCALE: f64 = 2.0;

/// The factors in ComfyUI's `latent_formats.py`.
const COLOURS: Colours = Colours {
    factors: &[
        [-0.0346, 0.0244, 0.0681],
        [0.0034, 0.0210, 0.0687],
        [0.0275, -0.0668, -0.0433],
        [-0.0174, 0.0160, 0.0617],
        [0.0859, 0.0721, 0.0329],
        [0.0004, 0.0383, 0.0115],
        [0.0405, 0.0861, 0.0915],
        [-0.0236, -0.0185, -0.0259],
        [-0.0245, 0.0250, 0.1180],
        [0.1008, 0.0755, -0.0421],
        [-0.0515, 0.0201, 0.0011],
        [0.0428, -0.0012, -0.0036],
        [0.0817, 0.0765, 0.0749],
        [-0.1264, -0.0522, -0.1103],
        [-0.0280, -0.0881, -0.0499],
        [-0.1262, -0.0982, -0.0778],
    ],
    bias: [-0.0329, -0.0718, -0.0851],
};

/// The family.
pub(super) struct Flux;

impl Family for Flux {
    fn name(&self) -> &'static str {
        "FLUX.1"
    }

    fn components(&self) -> &'static [&'static str] {
        &[TEXT_ENCODER, TEXT_ENCODER_2, TRANSFORMER, VAE]
    }

    fn tokenizers(&self) -> &'static [&'static str] {
        &[TOKENIZER, TOKENIZER_2]
    }

    fn architecture(&self) -> &'static str {
        "flux"
    }

    fn t5(&self) -> Option<[&'static str; 2]> {
        Some([TEXT_ENCODER_2, TOKENIZER_2])
    }

    fn tiny_autoencoder(&self) -> Option<&'static str> {
        Some("madebyollin/taef1")
    }

    fn has_folder(&self, model_index: &Value) -> bool {
        model_index["_class_name"].as_str().is_some_and(|class| CLASSES.contains(&class))
    }

    fn has_file(&self, index: &TensorIndex) -> bool {
        names::SIGNS.naming(index).is_some()
    }

    fn read_file(&self, index: &TensorIndex) -> Result<Checkpoint> {
        checkpoint::read(index)
    }

    fn read_component(&self, component: &str, index: &TensorIndex) -> Result<Checkpoint> {
        checkpoint::read_component(component, index)
    }

    fn current(&self, component: &str, name: &str, view: &TensorView) -> (String, TensorView) {
        if component == VAE { modern_attention(name, view) } else { (name.to_owned(), view.clone()) }
    }

    fn model(&self, files: &ModelFiles, _scheduler: &SchedulerConfig) -> Result<Box<dyn Model>> {
        let transformer = files.component(TRANSFORMER)?;
        let config = FluxConfig::from_json(&transformer.config_file, &transformer.config)?;
        let latents = ScaledLatents::read(files, &COLOURS)?;
        let channels = PATCH * PATCH * latents.autoencoder().latent_channels();
        if [config.in_channels, config.out_channels] != [channels; 2] {
            let FluxConfig { in_channels, out_channels, .. } = config;
            let reason = format!("{in_channels} channels (and {out_channels} out), but the autoencoder has {channels}");
            let file = transformer.config_file.clone();
            return Err(Error::Config { file, field: "in_channels".into(), reason });
        }
        clip::check_width(files, TEXT_ENCODER, config.pooled_projection_dim)?;
        t5::check_width(files, TEXT_ENCODER_2, config.joint_attention_dim)?;
        let preset = if config.guidance_embeds { DEV } else { SCHNELL };
        let Preset { steps, guidance_scale, .. } = preset;
        let defaults = Defaults { width: PICTURE_SIZE, height: PICTURE_SIZE, steps, guidance_scale };
        Ok(Box::new(FluxModel { config, latents, defaults, tokens: preset.tokens }))
    }
}

/// One model of the family.
struct FluxModel {
    config: FluxConfig,
    latents: ScaledLatents,
    defaults: Defaults,
    /// The default number of T5 tokens.
    tokens: usize,
}

impl Model for FluxModel {
    fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    fn size_step(&self) -> usize {
        PATCH * self.autoencoder().factor()
    }

    fn text_encoders(&self) -> &'static [&'static str] {
        &[TEXT_ENCODER, TEXT_ENCODER_2]
    }

    fn text_encoder(&self, component: &str, files: &ModelFiles, weights: &Weights) -> Result<Box<dyn TextEncoder>> {
        if component == TEXT_ENCODER_2 {
            let folders = [component, TOKENIZER_2];
            return Ok(Box::new(T5TextEncoder::new(files, folders, weights, Texts::Second, self.tokens)?));
        }
        let encoder = ClipEncoder::new(files, [component, TOKENIZER], weights, State::Last, Texts::First)?;
        Ok(Box::new(encoder.pooling(Pooling::Unprojected)))
    }

    fn condition(&self, states: Vec<TextStates>, prompts: &Prompts<'_>) -> Result<Conditioning> {
        let [clip, t5] = TextStates::exactly(states)?;
        denoiser::condition(&clip, &t5, prompts.guidance_scale)
    }

    fn without_layers(&self, _conditioning: &Conditioning, _layers: &[usize]) -> Result<Conditioning> {
        Err(Error::invalid("skip_guidance_layers", "not supported by FLUX.1"))
    }

    fn denoiser(&self) -> &'static str {
        TRANSFORMER
    }

    fn build_denoiser(&self, weights: &Weights) -> Result<Box<dyn Denoiser>> {
        Ok(Box::new(FluxDenoiser::new(weights, self.config.clone())?))
    }

    fn guidance(&self, guidance_scale: f64, request: &Request) -> Result<Option<f64>> {
        let default_scale = if self.config.guidance_embeds { TRUE_SCALE } else { guidance_scale };
        let scale = match request.true_cfg_scale {
            Some(scale) => scale,
            None if has_negative(request) => default_scale,
            None => 1.0,
        };
        Ok((scale > 1.0).then_some(scale))
    }

    fn needs_mask(&self) -> bool {
        false
    }

    /// Evenly spaced sigmas, before the shift, for samplers that accept a list of them. The other samplers have their
    /// own spacing.
    fn timesteps(&self, size: [usize; 2], scheduler: &SchedulerConfig, steps: TimestepOptions) -> TimestepOptions {
        let [height, width] = size.map(|pixels| pixels / self.size_step());
        let sigmas = steps.steps.and_then(|count| scheduler.even_sigmas(count));
        TimestepOptions { mu: scheduler.dynamic_shift(height * width), sigmas, ..steps }
    }

    fn autoencoder(&self) -> &AutoencoderConfig {
        self.latents.autoencoder()
    }

    fn latents(&self) -> &dyn Latents {
        &self.latents
    }
}
