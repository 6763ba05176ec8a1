//! Stable Diffusion 3 and 3.5 (<https://arxiv.org/abs/2403.03206>): two CLIP text encoders, an optional T5, a
//! multimodal diffusion transformer that predicts flows, and an autoencoder with 16 channels.

mod checkpoint;
mod denoiser;
mod names;

use super::shared::clip::{ClipEncoder, Pooling, State, Texts};
use super::shared::guidance::classifier_free;
use super::shared::latents::ScaledLatents;
use super::shared::names::modern_attention;
use super::shared::t5::{self, T5TextEncoder};
use super::shared::{TEXT_ENCODER, TEXT_ENCODER_2, TEXT_ENCODER_3, TRANSFORMER};
use super::{
    Checkpoint, Colours, Conditioning, Defaults, Denoiser, Family, Latents, Model, ModelFiles, Prompts,
    SamplingDefaults, TextEncoder, TextStates, VAE,
};
use crate::models::clip_text::ClipTextConfig;
use crate::models::mmdit::MmditConfig;
use crate::models::vae::AutoencoderConfig;
use crate::pipeline::Request;
use crate::sampling::{SchedulerConfig, TimestepOptions};
use crate::weights::{TensorIndex, TensorView, Weights};
use crate::{Error, Result};
use denoiser::{MmditDenoiser, T5_LENGTH};
use serde_json::Value;

const TOKENIZER: &str = "tokenizer";
const TOKENIZER_2: &str = "tokenizer_2";
const TOKENIZER_3: &str = "tokenizer_3";

/// The default number of steps, from diffusers.
const STEPS: usize = 28;
/// The default guidance scale of version 3, from diffusers.
const GUIDANCE_SCALE: f64 = 7.0;
/// The guidance scale that the authors recommend for version 3.5, whose queries and keys are normalised.
const GUIDANCE_SCALE_35: f64 = 4.5;
/// Their recommendation for large-turbo.
const TURBO: SamplingDefaults = SamplingDefaults { steps: 4, guidance_scale: 0.0 };

/// The factors in ComfyUI's `latent_formats.py`.
const COLOURS: Colours = Colours {
    factors: &[
        [-0.0922, -0.0175, 0.0749],
        [0.0311, 0.0633, 0.0954],
        [0.1994, 0.0927, 0.0458],
        [0.0856, 0.0339, 0.0902],
        [0.0587, 0.0272, -0.0496],
        [-0.0006, 0.1104, 0.0309],
        [0.0978, 0.0306, 0.0427],
        [-0.0042, 0.1038, 0.1358],
        [-0.0194, 0.0020, 0.0669],
        [-0.0488, 0.0130, -0.0268],
        [0.0922, 0.0988, 0.0951],
        [-0.0278, 0.0524, -0.0542],
        [0.0332, 0.0456, 0.0895],
        [-0.0069, -0.0030, -0.0810],
        [-0.0596, -0.0465, -0.0293],
        [-0.1448, -0.1463, -0.1189],
    ],
    bias: [0.2394, 0.2135, 0.1925],
};

/// The family.
pub(super) struct Sd3;

impl Family for Sd3 {
    fn name(&self) -> &'static str {
        "Stable Diffusion 3"
    }

    fn components(&self) -> &'static [&'static str] {
        &[TEXT_ENCODER, TEXT_ENCODER_2, TEXT_ENCODER_3, TRANSFORMER, VAE]
    }

    fn tokenizers(&self) -> &'static [&'static str] {
        &[TOKENIZER, TOKENIZER_2, TOKENIZER_3]
    }

    fn architecture(&self) -> &'static str {
        "sd3"
    }

    fn t5(&self) -> Option<[&'static str; 2]> {
        Some([TEXT_ENCODER_3, TOKENIZER_3])
    }

    fn tiny_autoencoder(&self) -> Option<&'static str> {
        Some("madebyollin/taesd3")
    }

    fn has_folder(&self, model_index: &Value) -> bool {
        model_index["_class_name"].as_str().is_some_and(|class| class.starts_with("StableDiffusion3"))
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
        if component == VAE { modern_attention(name, view) } else { names::current(name, view) }
    }

    fn model(&self, files: &ModelFiles, _scheduler: &SchedulerConfig) -> Result<Box<dyn Model>> {
        let transformer = files.component(TRANSFORMER)?;
        let config = MmditConfig::from_json(&transformer.config_file, &transformer.config)?;
        let latents = ScaledLatents::read(files, &COLOURS)?;
        let side = config.sample_size * latents.autoencoder().factor();
        let sampling = match config.qk_norm {
            _ if is_turbo(files) => TURBO,
            true => SamplingDefaults { steps: STEPS, guidance_scale: GUIDANCE_SCALE_35 },
            false => SamplingDefaults { steps: STEPS, guidance_scale: GUIDANCE_SCALE },
        };
        let SamplingDefaults { steps, guidance_scale } = sampling;
        let defaults = Defaults { width: side, height: side, steps, guidance_scale };
        let channels = latents.autoencoder().latent_channels();
        if config.in_channels != channels {
            return Err(Error::Config {
                file: transformer.config_file.clone(),
                field: "in_channels".into(),
                reason: format!("{} channels, but the autoencoder has {channels}", config.in_channels),
            });
        }
        check_pooled(files, &transformer.config_file, config.pooled_projection_dim)?;
        t5::check_width(files, TEXT_ENCODER_3, config.joint_attention_dim)?;
        Ok(Box::new(Sd3Model { config, latents, defaults, has_t5: files.get(TEXT_ENCODER_3).is_some() }))
    }
}

/// Refuses text encoders of another model by the width of the pooled state that the denoiser takes from both.
fn check_pooled(files: &ModelFiles, config_file: &str, wanted: usize) -> Result<()> {
    let mut width = 0;
    for component in [TEXT_ENCODER, TEXT_ENCODER_2] {
        let Some(found) = files.get(component) else { return Ok(()) };
        width += ClipTextConfig::from_json(&found.config_file, &found.config)?.hidden_size;
    }
    if width == wanted {
        return Ok(());
    }
    let reason = format!("{wanted}, but the pooled states of {TEXT_ENCODER} and {TEXT_ENCODER_2} have {width}");
    Err(Error::Config { file: config_file.to_owned(), field: "pooled_projection_dim".into(), reason })
}

/// Whether this is 3.5 large-turbo. Its tensors, configurations and scheduler are those of large. Only a name tells
/// them apart: that of the repository, folder or file, or the one in `model_index.json`.
fn is_turbo(files: &ModelFiles) -> bool {
    let remembered = files.model_index()["_name_or_path"].as_str().unwrap_or_default();
    let last = |name: &str| name.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    [files.name(), remembered].into_iter().any(|name| last(name).contains("turbo"))
}

/// One model of the family.
struct Sd3Model {
    config: MmditConfig,
    latents: ScaledLatents,
    defaults: Defaults,
    has_t5: bool,
}

impl Model for Sd3Model {
    fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    fn size_step(&self) -> usize {
        self.config.patch_size * self.autoencoder().factor()
    }

    fn text_encoders(&self) -> &'static [&'static str] {
        if self.has_t5 { &[TEXT_ENCODER, TEXT_ENCODER_2, TEXT_ENCODER_3] } else { &[TEXT_ENCODER, TEXT_ENCODER_2] }
    }

    fn text_encoder(&self, component: &str, files: &ModelFiles, weights: &Weights) -> Result<Box<dyn TextEncoder>> {
        let (tokenizer, texts) = match component {
            TEXT_ENCODER_3 => {
                let folders = [component, TOKENIZER_3];
                return Ok(Box::new(T5TextEncoder::new(files, folders, weights, Texts::First, T5_LENGTH)?));
            }
            TEXT_ENCODER_2 => (TOKENIZER_2, Texts::Second),
            _ => (TOKENIZER, Texts::First),
        };
        let encoder = ClipEncoder::new(files, [component, tokenizer], weights, State::Penultimate, texts)?;
        Ok(Box::new(encoder.pooling(Pooling::ProjectedIfPossible)))
    }

    fn condition(&self, states: Vec<TextStates>, prompts: &Prompts<'_>) -> Result<Conditioning> {
        if self.has_t5 {
            let [first, second, t5] = TextStates::exactly(states)?;
            return denoiser::condition(&self.config, [&first, &second], Some(&t5), prompts);
        }
        let [first, second] = TextStates::exactly(states)?;
        denoiser::condition(&self.config, [&first, &second], None, prompts)
    }

    fn without_layers(&self, conditioning: &Conditioning, layers: &[usize]) -> Result<Conditioning> {
        denoiser::without_layers(&self.config, conditioning, layers)
    }

    fn denoiser(&self) -> &'static str {
        TRANSFORMER
    }

    fn build_denoiser(&self, weights: &Weights) -> Result<Box<dyn Denoiser>> {
        Ok(Box::new(MmditDenoiser::new(weights, self.config.clone())?))
    }

    fn guidance(&self, guidance_scale: f64, request: &Request) -> Result<Option<f64>> {
        classifier_free(guidance_scale, request)
    }

    fn needs_mask(&self) -> bool {
        false
    }

    fn timesteps(&self, size: [usize; 2], scheduler: &SchedulerConfig, steps: TimestepOptions) -> TimestepOptions {
        let [height, width] = size.map(|pixels| pixels / self.size_step());
        TimestepOptions { mu: scheduler.dynamic_shift(height * width), ..steps }
    }

    fn autoencoder(&self) -> &AutoencoderConfig {
        self.latents.autoencoder()
    }

    fn latents(&self) -> &dyn Latents {
        &self.latents
    }
}
