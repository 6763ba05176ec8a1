//! Stable Diffusion XL (<https://arxiv.org/abs/2307.01952>), its refiner, its inpainting variant, and models distilled
//! from it: two CLIP text encoders, a UNet that is conditioned on sizes, and an autoencoder that overflows in half
//! precision.

mod checkpoint;
mod conditioning;

use super::shared::clip::{ClipEncoder, State, Texts};
use super::shared::guidance::classifier_free;
use super::shared::latents::ScaledLatents;
use super::shared::names::modern_attention;
use super::shared::unet::{Description, POOLED, SIZES, no_layers_to_skip, sampling_defaults, size_step};
use super::shared::{TEXT_ENCODER, TEXT_ENCODER_2, UNET};
use super::{
    Checkpoint, Colours, Conditioning, Defaults, Denoiser, Family, Latents, Model, ModelFiles, Prompts, TextEncoder,
    TextStates, VAE,
};
use crate::Result;
use crate::models::vae::AutoencoderConfig;
use crate::pipeline::Request;
use crate::sampling::{SchedulerConfig, TimestepOptions};
use crate::weights::{TensorIndex, TensorView, Weights};
use conditioning::{TextPair, sizes};
use serde_json::Value;

const TOKENIZER: &str = "tokenizer";
const TOKENIZER_2: &str = "tokenizer_2";

/// The default guidance scale.
const GUIDANCE_SCALE: f64 = 5.0;

/// The factors in ComfyUI's `latent_formats.py`.
const COLOURS: Colours = Colours {
    factors: &[
        [0.3651, 0.4232, 0.4341],
        [-0.2533, -0.0042, 0.1068],
        [0.1076, 0.1111, -0.0362],
        [-0.3165, -0.2492, -0.2188],
    ],
    bias: [0.1084, -0.0175, -0.0011],
};

/// The family.
pub(super) struct Sdxl;

impl Family for Sdxl {
    fn name(&self) -> &'static str {
        "Stable Diffusion XL"
    }

    fn components(&self) -> &'static [&'static str] {
        &[TEXT_ENCODER, TEXT_ENCODER_2, UNET, VAE]
    }

    fn tokenizers(&self) -> &'static [&'static str] {
        &[TOKENIZER, TOKENIZER_2]
    }

    fn architecture(&self) -> &'static str {
        "sdxl"
    }

    fn t5(&self) -> Option<[&'static str; 2]> {
        None
    }

    fn tiny_autoencoder(&self) -> Option<&'static str> {
        Some("madebyollin/taesdxl")
    }

    /// Its pipelines have many classes, but no other family has a UNet and a second text encoder.
    fn has_folder(&self, model_index: &Value) -> bool {
        let class = model_index["_class_name"].as_str().unwrap_or_default();
        let has_both = [TEXT_ENCODER_2, UNET].iter().all(|component| model_index.get(component).is_some());
        class.starts_with("StableDiffusionXL") || has_both
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
        let zeros = files.model_index()["force_zeros_for_empty_prompt"].as_bool().unwrap_or(true);
        Ok(Box::new(SdxlModel { unet, latents, defaults, zeros_for_missing_negative: zeros }))
    }
}

/// One model of the family.
struct SdxlModel {
    unet: Description,
    latents: ScaledLatents,
    defaults: Defaults,
    /// Whether a missing negative prompt becomes zeros instead of the empty text.
    zeros_for_missing_negative: bool,
}

impl Model for SdxlModel {
    fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    fn size_step(&self) -> usize {
        size_step(self.autoencoder().factor())
    }

    fn text_encoders(&self) -> &'static [&'static str] {
        &[TEXT_ENCODER, TEXT_ENCODER_2]
    }

    fn text_encoder(&self, component: &str, files: &ModelFiles, weights: &Weights) -> Result<Box<dyn TextEncoder>> {
        let (tokenizer, texts) = match component {
            TEXT_ENCODER_2 => (TOKENIZER_2, Texts::Second),
            _ => (TOKENIZER, Texts::First),
        };
        let encoder = ClipEncoder::new(files, [component, tokenizer], weights, State::Penultimate, texts)?;
        Ok(Box::new(encoder))
    }

    fn condition(&self, states: Vec<TextStates>, prompts: &Prompts<'_>) -> Result<Conditioning> {
        let [first, second] = TextStates::exactly(states)?;
        let mut text = TextPair::join(&first, &second)?;
        if prompts.guided && self.zeros_for_missing_negative {
            text.blank_missing_negatives(prompts)?;
        }
        let conditioning = self.unet.condition(text.hidden.clone(), prompts.guidance_scale);
        if !self.unet.takes_sizes() {
            return Ok(conditioning);
        }
        Ok(conditioning.with(POOLED, text.pooled()?).with_numbers(SIZES, sizes(prompts)))
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
