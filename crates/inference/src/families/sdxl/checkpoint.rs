//! Single files of SDXL in their original layout. In the refiner's files its only text encoder takes the place of the
//! first one.

use crate::Result;
use crate::families::Checkpoint;
use crate::families::shared::checkpoint::{Original, Traits, scheduler};
use crate::families::shared::configs::unet;
use crate::families::shared::names::{has, is_original};
use crate::families::shared::{TEXT_ENCODER, TEXT_ENCODER_2, UNET};
use crate::weights::TensorIndex;
use serde_json::json;

/// The factor on latents.
const LATENT_SCALE: f64 = 0.13025;

/// The side of the pictures that the models were trained on.
const PICTURE_SIZE: usize = 1024;

/// Whether a file contains a model, or at least a denoiser: one that takes sizes, without another family's text
/// encoder.
pub(super) fn has_model(index: &TensorIndex) -> bool {
    const SIZE_EMBEDDINGS: [&str; 3] =
        ["model.diffusion_model.label_emb.0.0.", "label_emb.0.0.", "add_embedding.linear_1."];
    let takes_sizes = SIZE_EMBEDDINGS.iter().any(|prefix| has(index, prefix));
    has(index, "conditioner.") || (takes_sizes && !has(index, "cond_stage_model."))
}

/// Splits a file into components.
pub(super) fn read(index: &TensorIndex) -> Result<Checkpoint> {
    if is_original(index) { with_documents(Original::read(index, true)?, index) } else { read_component(UNET, index) }
}

/// Extracts one component from a file.
pub(super) fn read_component(component: &str, index: &TensorIndex) -> Result<Checkpoint> {
    with_documents(Original::read_component(component, index, true)?, index)
}

fn with_documents(original: Original, index: &TensorIndex) -> Result<Checkpoint> {
    let inputs = original.shapes(UNET).as_ref().and_then(unet::in_channels);
    // A denoiser alone is assumed to be the base model's.
    let is_refiner = original.shapes(TEXT_ENCODER).is_none() && original.shapes(TEXT_ENCODER_2).is_some();
    let class = match inputs {
        _ if is_refiner => "StableDiffusionXLImg2ImgPipeline",
        Some(9) => "StableDiffusionXLInpaintPipeline",
        _ => "StableDiffusionXLPipeline",
    };
    let configs = original.configs(Traits {
        open_clip: false,
        picture_size: PICTURE_SIZE,
        latent_scale: LATENT_SCALE,
        force_upcast: true,
    })?;
    let model_index = json!({
        "_class_name": class,
        "force_zeros_for_empty_prompt": !is_refiner,
        "requires_aesthetics_score": is_refiner,
    });
    // Markers that finetuned models contain for the programs that run them.
    let prediction_type = if index.get("v_pred").is_some() { "v_prediction" } else { "epsilon" };
    let mut scheduler = scheduler("EulerDiscreteScheduler", prediction_type);
    scheduler["interpolation_type"] = json!("linear");
    scheduler["timestep_spacing"] = json!("leading");
    scheduler["use_karras_sigmas"] = json!(false);
    if index.get("ztsnr").is_some() {
        scheduler["rescale_betas_zero_snr"] = json!(true);
    }
    Ok(original.with_documents(configs, model_index, scheduler))
}
