//! Maps the tensor names in Stability AI's and ComfyUI's files to those of diffusers and transformers. A file has the
//! denoiser, with or without the autoencoder and the text encoders. The map is that of
//! `convert_sd3_transformer_checkpoint_to_diffusers` of diffusers.

use crate::Result;
use crate::families::VAE;
use crate::families::shared::names::transformer::{LEFT_OVER, Signs};
use crate::families::shared::names::{Placed, Renamed, Tensors, clip, gather, t5, vae};
use crate::families::shared::{TEXT_ENCODER, TEXT_ENCODER_2, TEXT_ENCODER_3, TRANSFORMER};
use crate::weights::{TensorIndex, TensorView};
use std::collections::BTreeMap;

/// The table of position embeddings.
pub(super) const POSITIONS: &str = "pos_embed.pos_embed";

/// The tensors by which its transformers are recognised. Other families have such blocks too, but no table of positions.
pub(super) const SIGNS: Signs = Signs {
    original: "joint_blocks.0.context_block.attn.qkv.weight",
    diffusers: &["transformer_blocks.0.attn.add_q_proj.weight", POSITIONS],
};

const AUTOENCODER: &str = "first_stage_model.";

/// The prefixes of the text encoders.
const ENCODERS: [(&str, &str); 3] = [
    ("text_encoders.clip_l.transformer.", TEXT_ENCODER),
    ("text_encoders.clip_g.transformer.", TEXT_ENCODER_2),
    ("text_encoders.t5xxl.transformer.", TEXT_ENCODER_3),
];

/// Whether the file has any component under the original names.
pub(super) fn is_original(index: &TensorIndex) -> bool {
    SIGNS.is_original(index, ENCODERS.iter().map(|(prefix, _)| *prefix).chain([AUTOENCODER]))
}

/// The components of such a file. Unknown tensors are an error.
pub(super) fn components(index: &TensorIndex) -> Result<BTreeMap<&'static str, Tensors>> {
    let prefix = SIGNS.prefix(index);
    let under = |prefix: &'static str| index.iter().filter_map(move |(name, _)| name.strip_prefix(prefix));
    let transformer = Transformer::new(under(prefix));
    let autoencoder = vae::Map::new(under(AUTOENCODER));
    let rename = |name: &str, view: &TensorView| -> Placed {
        if let Some(rest) = name.strip_prefix(AUTOENCODER) {
            return Some((VAE, autoencoder.rename(rest, view)?));
        }
        for (prefix, component) in ENCODERS {
            if let Some(rest) = name.strip_prefix(prefix) {
                return Some((component, encoder(component, rest, view)?));
            }
        }
        Some((TRANSFORMER, transformer.rename(name.strip_prefix(prefix)?, view)?))
    };
    gather(index, |name| name.ends_with(LEFT_OVER), rename)
}

/// Maps a tensor of a text encoder, which has the name of transformers already.
fn encoder(component: &str, name: &str, view: &TensorView) -> Renamed {
    match name {
        _ if component == TEXT_ENCODER_3 => t5::rename(name, view),
        "text_projection.weight" => Some(vec![(name.to_owned(), view.clone())]),
        _ => clip::rename(name, view),
    }
}

/// A tensor of a component in the diffusers layout, in the shape that the network expects.
pub(super) fn current(name: &str, view: &TensorView) -> (String, TensorView) {
    let table = if name == POSITIONS { view.without_batch() } else { None };
    (name.to_owned(), table.unwrap_or_else(|| view.clone()))
}

/// The map for one denoiser.
struct Transformer {
    /// The number of the last block, which has no output for the text.
    last: usize,
}

impl Transformer {
    /// `names` are those of the denoiser.
    fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let number = |name: &str| name.strip_prefix("joint_blocks.")?.split('.').next()?.parse::<usize>().ok();
        Self { last: names.filter_map(number).max().unwrap_or(0) }
    }

    /// Maps a tensor of the denoiser.
    fn rename(&self, name: &str, view: &TensorView) -> Renamed {
        const PARTS: [(&str, &str); 8] = [
            ("x_embedder.proj.", "pos_embed.proj."),
            ("t_embedder.mlp.0.", "time_text_embed.timestep_embedder.linear_1."),
            ("t_embedder.mlp.2.", "time_text_embed.timestep_embedder.linear_2."),
            ("y_embedder.mlp.0.", "time_text_embed.text_embedder.linear_1."),
            ("y_embedder.mlp.2.", "time_text_embed.text_embedder.linear_2."),
            ("context_embedder.", "context_embedder."),
            ("final_layer.linear.", "proj_out."),
            ("final_layer.adaLN_modulation.1.", "norm_out.linear."),
        ];
        if name == "pos_embed" {
            return Some(vec![current(POSITIONS, view)]);
        }
        if let Some(rest) = name.strip_prefix("joint_blocks.") {
            return self.block(rest, view);
        }
        let (old, new) = PARTS.iter().find(|(old, _)| name.starts_with(old))?;
        let view = if *new == "norm_out.linear." { scale_first(view)? } else { view.clone() };
        Some(vec![(format!("{new}{}", &name[old.len()..]), view)])
    }

    fn block(&self, rest: &str, view: &TensorView) -> Renamed {
        let (number, rest) = rest.split_once('.')?;
        let is_last = number.parse::<usize>().ok()? == self.last;
        let block = format!("transformer_blocks.{number}");
        let (side, rest) = rest.split_once('.')?;
        let names = match side {
            "x_block" => &PICTURE,
            "context_block" => &TEXT,
            _ => return None,
        };
        for (attention, fused) in [("attn.", names.fused), ("attn2.", PICTURE.fused)] {
            let Some(end) = rest.strip_prefix(attention).and_then(|rest| rest.strip_prefix("qkv.")) else { continue };
            let projections = fused.map(|name| format!("{block}.{attention}{name}.{end}"));
            return split(projections, view);
        }
        let (old, new) = names.parts.iter().find(|(old, _)| rest.starts_with(old))?;
        let swapped = is_last && *new == "norm1_context.linear.";
        let view = if swapped { scale_first(view)? } else { view.clone() };
        Some(vec![(format!("{block}.{new}{}", &rest[old.len()..]), view)])
    }
}

/// The names of one side of a block.
struct Side {
    /// The query, key and value projections, which are fused in the original.
    fused: [&'static str; 3],
    parts: &'static [(&'static str, &'static str)],
}

const PICTURE: Side = Side {
    fused: ["to_q", "to_k", "to_v"],
    parts: &[
        ("attn.proj.", "attn.to_out.0."),
        ("attn.ln_q.", "attn.norm_q."),
        ("attn.ln_k.", "attn.norm_k."),
        ("attn2.proj.", "attn2.to_out.0."),
        ("attn2.ln_q.", "attn2.norm_q."),
        ("attn2.ln_k.", "attn2.norm_k."),
        ("mlp.fc1.", "ff.net.0.proj."),
        ("mlp.fc2.", "ff.net.2."),
        ("adaLN_modulation.1.", "norm1.linear."),
    ],
};

const TEXT: Side = Side {
    fused: ["add_q_proj", "add_k_proj", "add_v_proj"],
    parts: &[
        ("attn.proj.", "attn.to_add_out."),
        ("attn.ln_q.", "attn.norm_added_q."),
        ("attn.ln_k.", "attn.norm_added_k."),
        ("mlp.fc1.", "ff_context.net.0.proj."),
        ("mlp.fc2.", "ff_context.net.2."),
        ("adaLN_modulation.1.", "norm1_context.linear."),
    ],
};

/// Splits three stacked projections.
fn split(names: [String; 3], view: &TensorView) -> Renamed {
    let rows = *view.shape().first()?;
    let third = rows / 3;
    let part = |(i, name): (usize, String)| Some((name, view.rows(i * third, third)?));
    if rows % 3 != 0 { None } else { names.into_iter().enumerate().map(part).collect() }
}

/// Swaps stacked shift and scale, because the scale is first in diffusers.
fn scale_first(view: &TensorView) -> Option<TensorView> {
    view.rows_from(view.shape().first()? / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::StoredType;

    fn view(shape: &[usize]) -> TensorView {
        TensorView::new(StoredType::F16, shape.to_vec(), 0).unwrap()
    }

    #[test]
    fn names_of_the_denoiser() {
        let map = Transformer { last: 2 };
        let cases = [
            ("pos_embed", "pos_embed.pos_embed"),
            ("x_embedder.proj.weight", "pos_embed.proj.weight"),
            ("t_embedder.mlp.2.bias", "time_text_embed.timestep_embedder.linear_2.bias"),
            ("y_embedder.mlp.0.weight", "time_text_embed.text_embedder.linear_1.weight"),
            ("context_embedder.bias", "context_embedder.bias"),
            ("final_layer.linear.weight", "proj_out.weight"),
            ("final_layer.adaLN_modulation.1.bias", "norm_out.linear.bias"),
            ("joint_blocks.0.x_block.attn2.ln_q.weight", "transformer_blocks.0.attn2.norm_q.weight"),
            ("joint_blocks.1.x_block.mlp.fc2.bias", "transformer_blocks.1.ff.net.2.bias"),
            ("joint_blocks.1.context_block.attn.proj.bias", "transformer_blocks.1.attn.to_add_out.bias"),
            ("joint_blocks.2.context_block.adaLN_modulation.1.bias", "transformer_blocks.2.norm1_context.linear.bias"),
        ];
        for (old, new) in cases {
            let renamed = map.rename(old, &view(&[6])).unwrap();
            assert_eq!((renamed.len(), renamed[0].0.as_str()), (1, new), "{old}");
        }
        for unknown in ["", "x", "joint_blocks.0.y_block.attn.qkv.weight", "joint_blocks.a.x_block.mlp.fc1.bias"] {
            assert_eq!(map.rename(unknown, &view(&[6])), None, "{unknown}");
        }
    }

    #[test]
    fn fused_projections_are_split_and_the_last_norms_are_swapped() {
        let map = Transformer { last: 1 };
        let parts = map.rename("joint_blocks.1.context_block.attn.qkv.bias", &view(&[6])).unwrap();
        let found: Vec<_> = parts.iter().map(|(name, view)| (name.as_str(), view.range())).collect();
        let names = ["q", "k", "v"].map(|part| format!("transformer_blocks.1.attn.add_{part}_proj.bias"));
        assert_eq!(found, [(&*names[0], 0..4), (&*names[1], 4..8), (&*names[2], 8..12)]);
        assert_eq!(map.rename("joint_blocks.1.x_block.attn.qkv.bias", &view(&[7])), None);
        let first = |name: &str| map.rename(name, &view(&[6])).unwrap()[0].1.element(&[0]);
        assert_eq!(first("final_layer.adaLN_modulation.1.bias"), 3);
        assert_eq!(first("joint_blocks.1.context_block.adaLN_modulation.1.bias"), 3);
        assert_eq!(first("joint_blocks.0.context_block.adaLN_modulation.1.bias"), 0);
    }
}
