//! Single files of Stable Diffusion 1 and 2 in their original layout.

use crate::Result;
use crate::families::Checkpoint;
use crate::families::shared::checkpoint::{Original, Traits, scheduler};
use crate::families::shared::configs::{clip_text, unet};
use crate::families::shared::names::alone::is_alone;
use crate::families::shared::names::{has, is_original};
use crate::families::shared::{TEXT_ENCODER, UNET};
use crate::weights::TensorIndex;
use serde_json::json;

/// The training step at which Stable Diffusion 2 base was published. It predicts noise; all other checkpoints of
/// version 2 are assumed to predict velocity, as in diffusers.
const BASE_2_STEP: i64 = 875_000;

/// The factor on latents.
const LATENT_SCALE: f64 = 0.18215;

/// Text encoders of at least this width are OpenCLIP's, if their names do not tell.
const OPEN_CLIP_WIDTH: usize = 1024;

/// Whether a file contains a model, or at least a denoiser. SDXL was ruled out before.
pub(super) fn has_model(index: &TensorIndex) -> bool {
    is_original(index) || is_alone(index, UNET)
}

/// Splits a file into components.
pub(super) fn read(index: &TensorIndex) -> Result<Checkpoint> {
    if is_original(index) { with_documents(Original::read(index, false)?, index) } else { read_component(UNET, index) }
}

/// Extracts one component from a file.
pub(super) fn read_component(component: &str, index: &TensorIndex) -> Result<Checkpoint> {
    with_documents(Original::read_component(component, index, false)?, index)
}

fn with_documents(original: Original, index: &TensorIndex) -> Result<Checkpoint> {
    let width = original.shapes(TEXT_ENCODER).as_ref().and_then(clip_text::width);
    let by_name = ["cond_stage_model.model.", "transformer.resblocks."].iter().any(|prefix| has(index, prefix));
    let open_clip = by_name || width >= Some(OPEN_CLIP_WIDTH);
    let shapes = original.shapes(UNET);
    let inputs = shapes.as_ref().and_then(unet::in_channels);
    let is_2 = open_clip || shapes.as_ref().is_some_and(unet::is_linear);
    let velocity = is_2 && index.training_step() != Some(BASE_2_STEP) && inputs == Some(4);
    let class = if inputs == Some(9) { "StableDiffusionInpaintPipeline" } else { "StableDiffusionPipeline" };
    let scheduler_class = if is_2 { "DDIMScheduler" } else { "PNDMScheduler" };
    let prediction_type = if velocity { "v_prediction" } else { "epsilon" };
    let configs = original.configs(Traits {
        open_clip,
        picture_size: if velocity { 768 } else { 512 },
        latent_scale: LATENT_SCALE,
        force_upcast: false,
    })?;
    let model_index = json!({"_class_name": class});
    Ok(original.with_documents(configs, model_index, scheduler(scheduler_class, prediction_type)))
}
