//! Single files of FLUX.1: their components, and the configurations of a diffusers folder.

use super::names;
use crate::Result;
use crate::families::shared::configs::{clip_text, t5, vae};
use crate::families::shared::names::alone::{Alone, read_alone};
use crate::families::shared::names::transformer::Naming;
use crate::families::shared::names::{self as shared_names, Tensors};
use crate::families::shared::shapes::Shapes;
use crate::families::shared::{TEXT_ENCODER, TEXT_ENCODER_2, TRANSFORMER};
use crate::families::{Checkpoint, VAE};
use crate::weights::TensorIndex;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The autoencoder's constants.
const AUTOENCODER: vae::OfFlows = vae::OfFlows { scale: 0.3611, shift: 0.1159, picture_size: 1024 };

/// Splits a file into components.
pub(super) fn read(index: &TensorIndex) -> Result<Checkpoint> {
    match names::SIGNS.naming(index) {
        Some(Naming::Diffusers) => read_component(TRANSFORMER, index),
        _ => with_documents(names::components(index)?, index),
    }
}

/// Extracts one component from a file that contains it alone or among others. The result is empty if it is missing.
pub(super) fn read_component(component: &str, index: &TensorIndex) -> Result<Checkpoint> {
    let mut components = match component {
        TRANSFORMER if names::SIGNS.naming(index) == Some(Naming::Diffusers) => {
            BTreeMap::from([(TRANSFORMER, index.iter().map(|(name, view)| (name.to_owned(), view.clone())).collect())])
        }
        _ if names::is_original(index) => names::components(index)?,
        TEXT_ENCODER_2 => shared_names::t5::alone(index).map(|tensors| (TEXT_ENCODER_2, tensors)).into_iter().collect(),
        _ => match read_alone(index, component) {
            Some(Alone::Diffusers { component, tensors }) => BTreeMap::from([(component, tensors)]),
            Some(Alone::Original(named)) => shared_names::components(&named, false)?,
            None => BTreeMap::new(),
        },
    };
    components.retain(|name, _| *name == component);
    if let Some(tensors) = components.get_mut(TEXT_ENCODER) {
        tensors.remove(names::UNUSED_PROJECTION);
    }
    with_documents(components, index)
}

fn with_documents(components: BTreeMap<&'static str, Tensors>, index: &TensorIndex) -> Result<Checkpoint> {
    let shapes = |component| components.get(component).map(|tensors| Shapes::new(index.file(), component, tensors));
    let mut documents = json!({"model_index": {"_class_name": "FluxPipeline"}});
    if let Some(shapes) = shapes(TEXT_ENCODER) {
        documents[TEXT_ENCODER] = clip_text::config(&shapes, false)?;
    }
    if let Some(shapes) = shapes(TEXT_ENCODER_2) {
        documents[TEXT_ENCODER_2] = t5::config(&shapes)?;
    }
    if let Some(shapes) = shapes(TRANSFORMER) {
        documents[TRANSFORMER] = transformer(&shapes)?;
    }
    if let Some(shapes) = shapes(VAE) {
        documents[VAE] = vae::config_of_flows(&shapes, &AUTOENCODER)?;
    }
    documents["scheduler"] = scheduler(documents[TRANSFORMER]["guidance_embeds"] == true);
    Ok(Checkpoint { components, documents })
}

/// The schedule of dev, which takes a guidance scale, or of schnell.
fn scheduler(takes_guidance: bool) -> Value {
    json!({
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "base_image_seq_len": 256,
        "base_shift": 0.5,
        "max_image_seq_len": 4096,
        "max_shift": 1.15,
        "num_train_timesteps": 1000,
        "shift": if takes_guidance { 3.0 } else { 1.0 },
        "use_dynamic_shifting": takes_guidance,
    })
}

/// The `config.json` of a denoiser.
fn transformer(shapes: &Shapes<'_>) -> Result<Value> {
    let width = shapes.size("x_embedder.weight", 0)?;
    let head = shapes.size("transformer_blocks.0.attn.norm_q.weight", 0)?;
    Ok(json!({
        "_class_name": "FluxTransformer2DModel",
        "attention_head_dim": head,
        "guidance_embeds": shapes.has("time_text_embed.guidance_embedder."),
        "in_channels": shapes.size("x_embedder.weight", 1)?,
        "joint_attention_dim": shapes.size("context_embedder.weight", 1)?,
        "num_attention_heads": (width / head).max(1),
        "num_layers": shapes.count("transformer_blocks"),
        "num_single_layers": shapes.count("single_transformer_blocks"),
        "out_channels": shapes.size("proj_out.weight", 0)?,
        "patch_size": 1,
        "pooled_projection_dim": shapes.size("time_text_embed.text_embedder.linear_1.weight", 1)?,
    }))
}
