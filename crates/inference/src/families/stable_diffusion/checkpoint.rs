//! Single files of Stable Diffusion 1 and 2 in their original layout.

use crate::Result;
use crate::families::Checkpoint;
use crate::families::shared::UNET;
use crate::families::shared::checkpoint::{Original, Traits, scheduler};
use crate::families::shared::configs::unet;
use crate::families::shared::names::has;
use crate::weights::TensorIndex;
use serde_json::json;

/// The training step at which Stable Diffusion 2 base was published. It predicts noise; all other checkpoints of version 2
/// are taken to predict velocity, as diffusers does.
const BASE_2_STEP: i64 = 875_000;

/// By how much latents are multiplied.
const LATENT_SCALE: f64 = 0.18215;

/// Takes a file apart.
pub(super) fn read(index: &TensorIndex) -> Result<Checkpoint> {
    let original = Original::read(index, false)?;
    let open_clip = has(index, "cond_stage_model.model.");
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
