//! Files that contain a single component: which one it is, and its tensors under the names of a whole checkpoint or a
//! diffusers folder.

use super::{Tensors, has, modern_attention};
use crate::families::VAE;
use crate::families::shared::{TEXT_ENCODER, TEXT_ENCODER_2, UNET};
use crate::weights::TensorIndex;

/// The naming of a file's tensors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// The names of diffusers and transformers.
    Diffusers,
    /// The names of transformers, but without `text_model.`, the prefix of all tensors except the projection.
    WithoutTextModel,
    /// The original names, but without the prefix of the component.
    Original,
}

/// Prefixes that identify files, with the component and the naming. Text encoders look alike, so the caller says which
/// one a file is for.
const SIGNS: [(&str, &str, Layout); 11] = [
    ("input_blocks.0.0.", UNET, Layout::Original),
    ("down_blocks.0.resnets.", UNET, Layout::Diffusers),
    ("encoder.down.0.block.", VAE, Layout::Original),
    ("decoder.up.0.block.", VAE, Layout::Original),
    ("encoder.down_blocks.0.", VAE, Layout::Diffusers),
    ("decoder.up_blocks.0.", VAE, Layout::Diffusers),
    ("encoder.layers.0.weight", VAE, Layout::Diffusers),
    ("decoder.layers.0.weight", VAE, Layout::Diffusers),
    ("text_model.embeddings.", TEXT_ENCODER, Layout::Diffusers),
    ("embeddings.token_embedding.", TEXT_ENCODER, Layout::WithoutTextModel),
    ("transformer.resblocks.0.", TEXT_ENCODER, Layout::Original),
];

/// The prefixes of components in checkpoints.
const ORIGINAL_PREFIXES: [(&str, &str); 4] = [
    (UNET, "model.diffusion_model."),
    (VAE, "first_stage_model."),
    (TEXT_ENCODER, "cond_stage_model.model."),
    (TEXT_ENCODER_2, "conditioner.embedders.1.model."),
];

/// The contents of a file with a single component.
pub(in crate::families) enum Alone {
    /// Tensors under diffusers names.
    Diffusers {
        /// The component.
        component: &'static str,
        /// Its tensors.
        tensors: Tensors,
    },
    /// The tensors under the names of a whole checkpoint.
    Original(TensorIndex),
}

/// Whether the file contains only this component.
pub(in crate::families) fn is_alone(index: &TensorIndex, component: &str) -> bool {
    layout(index, component).is_some()
}

/// The contents of the file, if it contains only this component.
pub(in crate::families) fn read_alone(index: &TensorIndex, component: &str) -> Option<Alone> {
    let layout = layout(index, component)?;
    let (component, prefix) = ORIGINAL_PREFIXES.into_iter().find(|(known, _)| *known == component)?;
    let tensors: Tensors = match layout {
        Layout::Original => {
            return Some(Alone::Original(index.map(|name, view| (format!("{prefix}{name}"), view.clone()))));
        }
        Layout::Diffusers => index.iter().map(|(name, view)| modern_attention(name, view)).collect(),
        Layout::WithoutTextModel => index.iter().map(|(name, view)| (with_text_model(name), view.clone())).collect(),
    };
    Some(Alone::Diffusers { component, tensors })
}

/// Adds `text_model.`, the prefix of all tensors except the projection.
fn with_text_model(name: &str) -> String {
    if name.starts_with("text_projection.") { name.to_owned() } else { format!("text_model.{name}") }
}

fn layout(index: &TensorIndex, component: &str) -> Option<Layout> {
    let kind = if component == TEXT_ENCODER_2 { TEXT_ENCODER } else { component };
    SIGNS.iter().find(|(sign, known, _)| *known == kind && has(index, sign)).map(|(.., layout)| *layout)
}
