//! Files that hold one component alone: which one it is, and its tensors as a whole checkpoint or a diffusers folder would
//! name them.

use super::{Tensors, has, modern_attention};
use crate::families::VAE;
use crate::families::shared::{TEXT_ENCODER, TEXT_ENCODER_2, UNET};
use crate::weights::TensorIndex;

/// How the tensors of a file are named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// As in diffusers and transformers.
    Diffusers,
    /// As in transformers, but without the `text_model.` that all but the projection begin with.
    WithoutTextModel,
    /// As in a checkpoint of the original repositories, but without the prefix of the component.
    Original,
}

/// How a tensor begins that every such file has, and what that says of the file. Text encoders are alike: which of them a
/// file is for is what the caller says.
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

/// The prefixes of checkpoints, for components alone under original names.
const ORIGINAL_PREFIXES: [(&str, &str); 4] = [
    (UNET, "model.diffusion_model."),
    (VAE, "first_stage_model."),
    (TEXT_ENCODER, "cond_stage_model.model."),
    (TEXT_ENCODER_2, "conditioner.embedders.1.model."),
];

/// What a file with one component alone holds.
pub(in crate::families) enum Alone {
    /// Tensors under the names of diffusers.
    Diffusers {
        /// The component that they are.
        component: &'static str,
        /// All of them.
        tensors: Tensors,
    },
    /// Tensors under the names of a whole checkpoint.
    Original(TensorIndex),
}

/// Whether the file holds this component alone.
pub(in crate::families) fn is_alone(index: &TensorIndex, component: &str) -> bool {
    layout(index, component).is_some()
}

/// The file as one with this component alone, if it is such.
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

/// The name with the `text_model.` that all but the projection begin with.
fn with_text_model(name: &str) -> String {
    if name.starts_with("text_projection.") { name.to_owned() } else { format!("text_model.{name}") }
}

fn layout(index: &TensorIndex, component: &str) -> Option<Layout> {
    let kind = if component == TEXT_ENCODER_2 { TEXT_ENCODER } else { component };
    SIGNS.iter().find(|(sign, known, _)| *known == kind && has(index, sign)).map(|(.., layout)| *layout)
}
