//! Single files of Stable Diffusion 3 and 3.5: their components, and the configurations of a diffusers folder.

use super::names::{self, current};
use crate::Result;
use crate::families::shared::configs::{clip_text, t5, vae};
use crate::families::shared::names::alone::{Alone, read_alone};
use crate::families::shared::names::transformer::Naming;
use crate::families::shared::names::{self as shared_names, Tensors};
use crate::families::shared::shapes::Shapes;
use crate::families::shared::{TEXT_ENCODER, TEXT_ENCODER_2, TEXT_ENCODER_3, TRANSFORMER};
use crate::families::{Checkpoint, VAE};
use crate::weights::TensorIndex;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The side of the pictures that the models were trained on.
const PICTURE_SIZE: usize = 1024;
/// The autoencoder's constants.
const AUTOENCODER: vae::OfFlows = vae::OfFlows { scale: 1.5305, shift: 0.0609, picture_size: PICTURE_SIZE };
/// Channels of one attention head in all sizes of the model.
const HEAD_WIDTH: usize = 64;

/// Splits a file into components.
pub(super) fn read(index: &TensorIndex) -> Result<Checkpoint> {
    match names::SIGNS.naming(index) {
        Some(Naming::Diffusers) => read_component(TRANSFORMER, index),
        _ => with_documents(names::components(index)?, index),
    }
}

/// Extracts one component from a file that contains it alone or among others. The result is empty if it is missing.
pub(super) fn read_component(component: &str, index: &TensorIndex) -> Result<Checkpoint> {
    let mut components = if component == TRANSFORMER && names::SIGNS.naming(index) == Some(Naming::Diffusers) {
        BTreeMap::from([(TRANSFORMER, index.iter().map(|(name, view)| current(name, view)).collect())])
    } else if names::is_original(index) {
        names::components(index)?
    } else if component == TEXT_ENCODER_3 {
        shared_names::t5::alone(index).map(|tensors| (TEXT_ENCODER_3, tensors)).into_iter().collect()
    } else {
        match read_alone(index, component) {
            Some(Alone::Diffusers { component, tensors }) => BTreeMap::from([(component, tensors)]),
            Some(Alone::Original(named)) => shared_names::components(&named, true)?,
            None => BTreeMap::new(),
        }
    };
    components.retain(|name, _| *name == component);
    with_documents(components, index)
}

fn with_documents(components: BTreeMap<&'static str, Tensors>, index: &TensorIndex) -> Result<Checkpoint> {
    let shapes = |component| components.get(component).map(|tensors| Shapes::new(index.file(), component, tensors));
    let mut documents = json!({
        "model_index": {"_class_name": "StableDiffusion3Pipeline"},
        "scheduler": {
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "num_train_timesteps": 1000,
            "shift": 3.0,
            "use_dynamic_shifting": false,
            "stochastic_sampling": false,
        },
    });
    for (component, is_open_clip) in [(TEXT_ENCODER, false), (TEXT_ENCODER_2, true)] {
        if let Some(shapes) = shapes(component) {
            documents[component] = clip_text::config(&shapes, is_open_clip)?;
        }
    }
    if let Some(shapes) = shapes(TEXT_ENCODER_3) {
        documents[TEXT_ENCODER_3] = t5::config(&shapes)?;
    }
    if let Some(shapes) = shapes(TRANSFORMER) {
        documents[TRANSFORMER] = transformer(&shapes)?;
    }
    if let Some(shapes) = shapes(VAE) {
        documents[VAE] = vae::config_of_flows(&shapes, &AUTOENCODER)?;
    }
    Ok(Checkpoint { components, documents })
}

/// The `config.json` of a denoiser.
fn transformer(shapes: &Shapes<'_>) -> Result<Value> {
    let patch = "pos_embed.proj.weight";
    let width = shapes.size(patch, 0)?;
    let patch_size = shapes.size(patch, 2)?;
    let layers = shapes.count("transformer_blocks");
    let is_dual = |layer: &usize| shapes.has(&format!("transformer_blocks.{layer}.attn2."));
    let has_norms = shapes.has("transformer_blocks.0.attn.norm_q.");
    Ok(json!({
        "_class_name": "SD3Transformer2DModel",
        "attention_head_dim": HEAD_WIDTH,
        "caption_projection_dim": width,
        "dual_attention_layers": (0..layers).filter(is_dual).collect::<Vec<_>>(),
        "in_channels": shapes.size(patch, 1)?,
        "joint_attention_dim": shapes.size("context_embedder.weight", 1)?,
        "num_attention_heads": (width / HEAD_WIDTH).max(1),
        "num_layers": layers,
        "out_channels": shapes.size("proj_out.weight", 0)? / (patch_size * patch_size),
        "patch_size": patch_size,
        "pooled_projection_dim": shapes.size("time_text_embed.text_embedder.linear_1.weight", 1)?,
        "pos_embed_max_size": shapes.size(names::POSITIONS, 0)?.isqrt(),
        "qk_norm": if has_norms { json!("rms_norm") } else { Value::Null },
        "sample_size": PICTURE_SIZE / 8,
    }))
}
