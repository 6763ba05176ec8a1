//! Stable Diffusion 1 and 2 (<https://arxiv.org/abs/2112.10752>), their inpainting variants, and models distilled from them:
//! one CLIP text encoder, a UNet, and an autoencoder of four channels.

mod checkpoint;

use super::shared::clip::{ClipEncoder, State, Texts};
use super::shared::guidance::classifier_free;
use super::shared::latents::ScaledLatents;
use super::shared::names::modern_attention;
use super::shared::unet::{Description, no_layers_to_skip, sampling_defaults, size_step};
use super::shared::{TEXT_ENCODER, UNET};
use super::{
    Checkpoint, Colours, Conditioning, Defaults, Denoiser, Family, Latents, Model, ModelFiles, Prompts, TextEncoder,
    TextStates, VAE,
};
use crate::Result;
use crate::models::vae::AutoencoderConfig;
use crate::pipeline::Request;
use crate::sampling::{SchedulerConfig, TimestepOptions};
use crate::weights::{TensorIndex, TensorView, Weights};
use serde_json::Value;

const TOKENIZER: &str = "tokenizer";

/// The default guidance scale.
const GUIDANCE_SCALE: f64 = 7.5;

/// The factors in ComfyUI's `latent_formats.py`.
const COLOURS: Colours = Colours {
    factors: &[
        [0.3512, 0.2297, 0.3227],
        [0.3250, 0.4974, 0.2350],
        [-0.2829, 0.1762, 0.2721],
        [-0.2120, -0.2616, -0.7177],
    ],
    bias: [0.0; 3],
};

/// The family.
pub(super) struct StableDiffusion;

impl Family for StableDiffusion {
    fn name(&self) -> &'static str {
        "Stable Diffusion"
    }

    fn components(&self) -> &'static [&'static str] {
        &[TEXT_ENCODER, UNET, VAE]
    }

    fn tokenizers(&self) -> &'static [&'static str] {
        &[TOKENIZER]
    }

    fn architecture(&self) -> &'static str {
        "sd1"
    }

    fn t5(&self) -> Option<[&'static str; 2]> {
        None
    }

    fn tiny_autoencoder(&self) -> Option<&'static str> {
        Some("madebyollin/taesd")
    }

    /// Any folder with a UNet, or with an autoencoder and no other denoiser, because its pipelines have many classes.
    fn has_folder(&self, model_index: &Value) -> bool {
        let has = |component: &str| model_index.get(component).is_some();
        has(UNET) || (has(VAE) && !has("transformer"))
    }

    fn has_file(&self, index: &TensorIndex) -> bool {
        checkpoint::has_model(index)
    }

    fn read_file(&self, index: &TensorIndex) -> Result<Checkpoint> {
        checkpoint::read(index)
    }

    fn read_component(&self, component: &str, index: &TensorIndex) -> Result<Checkpoint> {
        checkpoint::read_component(component, index)
    }

    fn current(&self, _component: &str, name: &str, view: &TensorView) -> (String, TensorView) {
        modern_attention(name, view)
    }

    fn model(&self, files: &ModelFiles, scheduler: &SchedulerConfig) -> Result<Box<dyn Model>> {
        let unet = Description::read(files)?;
        let latents = ScaledLatents::read(files, &COLOURS)?;
        let sampling = sampling_defaults(scheduler, files.scheduler(), GUIDANCE_SCALE);
        let defaults = unet.defaults(latents.autoencoder().factor(), sampling);
        Ok(Box::new(StableDiffusionModel { unet, latents, defaults }))
    }
}

/// One model of the family.
struct StableDiffusionModel {
    unet: Description,
    latents: ScaledLatents,
    defaults: Defaults,
}

impl Model for StableDiffusionModel {
    fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    fn size_step(&self) -> usize {
        size_step(self.autoencoder().factor())
    }

    fn text_encoders(&self) -> &'static [&'static str] {
        &[TEXT_ENCODER]
    }

    fn text_encoder(&self, component: &str, files: &ModelFiles, weights: &Weights) -> Result<Box<dyn TextEncoder>> {
        let encoder = ClipEncoder::new(files, [component, TOKENIZER], weights, State::Last, Texts::First)?;
        Ok(Box::new(encoder))
    }

    fn condition(&self, states: Vec<TextStates>, prompts: &Prompts<'_>) -> Result<Conditioning> {
        let [states] = TextStates::exactly(states)?;
        Ok(self.unet.condition(states.hidden, prompts.guidance_scale))
    }

    fn without_layers(&self, _conditioning: &Conditioning, _layers: &[usize]) -> Result<Conditioning> {
        Err(no_layers_to_skip())
    }

    fn denoiser(&self) -> &'static str {
        UNET
    }

    fn build_denoiser(&self, weights: &Weights) -> Result<Box<dyn Denoiser>> {
        Ok(Box::new(self.unet.build(weights)?))
    }

    fn guidance(&self, guidance_scale: f64, request: &Request) -> Result<Option<f64>> {
        Ok(classifier_free(guidance_scale, request)?.filter(|_| !self.unet.takes_guidance()))
    }

    fn needs_mask(&self) -> bool {
        self.unet.needs_mask(self.autoencoder().latent_channels())
    }

    fn timesteps(&self, _size: [usize; 2], _scheduler: &SchedulerConfig, steps: TimestepOptions) -> TimestepOptions {
        steps
    }

    fn autoencoder(&self) -> &AutoencoderConfig {
        self.latents.autoencoder()
    }

    fn latents(&self) -> &dyn Latents {
        &self.latents
    }
}
