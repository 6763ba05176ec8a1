//! The configurations that a diffusers folder would carry, for a single file: from the names and shapes of its tensors.
//!
//! What shapes show is read from them, so that a model of any size is understood. What they don't show (heads, groups of
//! the norms, the schedule) is what all models of the family have; a caller who knows better says so with
//! [`OpenOptions::overrides`](super::OpenOptions).

mod shapes;
mod text;
mod unet;
mod vae;

use super::component::Component;
use super::index::TensorIndex;
use super::names::Tensors;
use crate::Result;
use serde_json::{Value, json};
use shapes::Shapes;
use std::collections::BTreeMap;

/// The training step at which Stable Diffusion 2 base was published. It predicts noise; all other checkpoints of version 2
/// are taken to predict velocity, as diffusers does.
const BASE_2_STEP: i64 = 875_000;

/// The families of models that share what shapes don't show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Sd1,
    Sd2,
    Xl,
}

/// The documents by component, with `model_index` and `scheduler`.
pub(super) fn documents(index: &TensorIndex, tensors: &BTreeMap<Component, Tensors>) -> Result<Value> {
    let shapes = |component| tensors.get(&component).map(|tensors| Shapes::new(&index.file, component, tensors));
    let encoder =
        shapes(Component::TextEncoder).map(|shapes| text::config(&shapes, is_open_clip(index))).transpose()?;
    let encoder_2 = shapes(Component::TextEncoder2).map(|shapes| text::config(&shapes, true)).transpose()?;
    let unet = shapes(Component::UNet);
    let family = family(index, unet.as_ref());
    let facts = Facts { family, inputs: unet.as_ref().and_then(unet::in_channels), step: index.global_step };
    let mut documents =
        json!({"model_index": facts.model_index(encoder.is_some()), "scheduler": facts.scheduler(index)});
    if let Some(shapes) = &unet {
        let pooled = encoder_2.as_ref().and_then(|config| config["projection_dim"].as_u64());
        documents["unet"] = unet::config(shapes, pooled)?;
        documents["unet"]["sample_size"] = json!(facts.picture_size() / 8);
    }
    if let Some(shapes) = shapes(Component::Vae) {
        documents["vae"] = vae::config(&shapes, family == Family::Xl)?;
        documents["vae"]["sample_size"] = json!(facts.picture_size());
    }
    for (component, config) in [(Component::TextEncoder, encoder), (Component::TextEncoder2, encoder_2)] {
        if let Some(config) = config {
            documents[component.folder()] = config;
        }
    }
    Ok(documents)
}

fn is_open_clip(index: &TensorIndex) -> bool {
    index.iter().any(|(name, _)| name.starts_with("cond_stage_model.model."))
}

fn family(index: &TensorIndex, unet: Option<&Shapes<'_>>) -> Family {
    if index.iter().any(|(name, _)| name.starts_with("conditioner.")) {
        Family::Xl
    } else if is_open_clip(index) || unet.is_some_and(unet::is_linear) {
        Family::Sd2
    } else {
        Family::Sd1
    }
}

struct Facts {
    family: Family,
    /// Channels that the UNet takes: 9 for inpainting.
    inputs: Option<usize>,
    step: Option<i64>,
}

impl Facts {
    fn is_inpainting(&self) -> bool {
        self.inputs == Some(9)
    }

    fn predicts_velocity(&self) -> bool {
        self.family == Family::Sd2 && self.step != Some(BASE_2_STEP) && self.inputs == Some(4)
    }

    /// The side of the pictures that the model was trained on.
    fn picture_size(&self) -> usize {
        match self.family {
            Family::Xl => 1024,
            Family::Sd2 if self.predicts_velocity() => 768,
            _ => 512,
        }
    }

    fn model_index(&self, has_first_encoder: bool) -> Value {
        let class = match (self.family, self.is_inpainting()) {
            (Family::Xl, _) if !has_first_encoder => "StableDiffusionXLImg2ImgPipeline",
            (Family::Xl, false) => "StableDiffusionXLPipeline",
            (Family::Xl, true) => "StableDiffusionXLInpaintPipeline",
            (_, false) => "StableDiffusionPipeline",
            (_, true) => "StableDiffusionInpaintPipeline",
        };
        let mut document = json!({"_class_name": class});
        if self.family == Family::Xl {
            document["force_zeros_for_empty_prompt"] = json!(has_first_encoder);
            document["requires_aesthetics_score"] = json!(!has_first_encoder);
        }
        document
    }

    /// The schedule that the published folders of the family have.
    fn scheduler(&self, index: &TensorIndex) -> Value {
        let class = match self.family {
            Family::Sd1 => "PNDMScheduler",
            Family::Sd2 => "DDIMScheduler",
            Family::Xl => "EulerDiscreteScheduler",
        };
        let mut document = json!({
            "_class_name": class,
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000,
            "prediction_type": if self.predicts_velocity() { "v_prediction" } else { "epsilon" },
            "clip_sample": false,
            "set_alpha_to_one": false,
            "skip_prk_steps": true,
            "steps_offset": 1,
            "trained_betas": null,
        });
        if self.family == Family::Xl {
            document["interpolation_type"] = json!("linear");
            document["timestep_spacing"] = json!("leading");
            document["use_karras_sigmas"] = json!(false);
            // Marks that finetuned models carry for the programs that run them.
            if index.get("v_pred").is_some() {
                document["prediction_type"] = json!("v_prediction");
            }
            if index.get("ztsnr").is_some() {
                document["rescale_betas_zero_snr"] = json!(true);
            }
        }
        document
    }
}
