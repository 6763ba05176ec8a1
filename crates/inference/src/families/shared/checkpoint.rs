//! A single file in the layout of CompVis and Stability AI: its components under diffusers names, and the
//! configurations of the corresponding diffusers folder.

use super::configs::{clip_text, unet, vae};
use super::names::alone::{Alone, read_alone};
use super::names::{self, Tensors};
use super::shapes::Shapes;
use super::{TEXT_ENCODER, TEXT_ENCODER_2, UNET};
use crate::Result;
use crate::families::{Checkpoint, VAE};
use crate::weights::TensorIndex;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The components of a file.
pub(in crate::families) struct Original {
    file: String,
    tensors: BTreeMap<&'static str, Tensors>,
}

/// The family's constants that the tensors of a file do not reveal.
#[derive(Clone, Copy)]
pub(in crate::families) struct Traits {
    /// Whether the first text encoder is OpenCLIP's, whose activation is the exact GELU.
    pub(in crate::families) open_clip: bool,
    /// The side of the pictures that the model was trained on.
    pub(in crate::families) picture_size: usize,
    /// The factor on latents.
    pub(in crate::families) latent_scale: f64,
    /// Whether half precision overflows in the autoencoder.
    pub(in crate::families) force_upcast: bool,
}

impl Original {
    /// Splits a file into components. `is_xl` selects SDXL's layout. Unknown tensors are an error.
    pub(in crate::families) fn read(index: &TensorIndex, is_xl: bool) -> Result<Self> {
        Ok(Self { file: index.file().to_owned(), tensors: names::components(index, is_xl)? })
    }

    /// Extracts one component from a file that contains it alone or among others. The result is empty if it is missing.
    pub(in crate::families) fn read_component(component: &str, index: &TensorIndex, is_xl: bool) -> Result<Self> {
        let mut original = match read_alone(index, component) {
            Some(Alone::Original(named)) => Self::read(&named, is_xl)?,
            Some(Alone::Diffusers { component, tensors }) => {
                Self { file: index.file().to_owned(), tensors: BTreeMap::from([(component, tensors)]) }
            }
            None if names::is_original(index) => Self::read(index, is_xl)?,
            None => Self { file: index.file().to_owned(), tensors: BTreeMap::new() },
        };
        original.tensors.retain(|name, _| *name == component);
        Ok(original)
    }

    /// The tensors of a component.
    pub(in crate::families) fn shapes(&self, component: &'static str) -> Option<Shapes<'_>> {
        let tensors = self.tensors.get(component)?;
        Some(Shapes::new(&self.file, component, tensors))
    }

    /// The configurations of all components.
    pub(in crate::families) fn configs(&self, traits: Traits) -> Result<Value> {
        let mut configs = json!({});
        if let Some(shapes) = self.shapes(TEXT_ENCODER) {
            configs[TEXT_ENCODER] = clip_text::config(&shapes, traits.open_clip)?;
        }
        if let Some(shapes) = self.shapes(TEXT_ENCODER_2) {
            configs[TEXT_ENCODER_2] = clip_text::config(&shapes, true)?;
        }
        if let Some(shapes) = self.shapes(UNET) {
            let pooled = configs[TEXT_ENCODER_2]["projection_dim"].as_u64();
            configs[UNET] = unet::config(&shapes, pooled)?;
            configs[UNET]["sample_size"] = json!(traits.picture_size / 8);
        }
        if let Some(shapes) = self.shapes(VAE) {
            configs[VAE] = vae::config(&shapes, traits.latent_scale)?;
            configs[VAE]["sample_size"] = json!(traits.picture_size);
            if traits.force_upcast {
                configs[VAE]["force_upcast"] = json!(true);
            }
        }
        Ok(configs)
    }

    /// Adds the configuration documents.
    pub(in crate::families) fn with_documents(
        self,
        mut configs: Value,
        model_index: Value,
        scheduler: Value,
    ) -> Checkpoint {
        configs["model_index"] = model_index;
        configs["scheduler"] = scheduler;
        Checkpoint { components: self.tensors, documents: configs }
    }
}

/// The configuration of a scheduler of this class, with the schedule of all latent diffusion models.
pub(in crate::families) fn scheduler(class: &str, prediction_type: &str) -> Value {
    json!({
        "_class_name": class,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": prediction_type,
        "clip_sample": false,
        "set_alpha_to_one": false,
        "skip_prk_steps": true,
        "steps_offset": 1,
        "trained_betas": null,
    })
}
