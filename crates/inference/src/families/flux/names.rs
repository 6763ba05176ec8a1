//! Maps the tensor names in Black Forest Labs' and ComfyUI's files to those of diffusers and transformers. A file has
//! the denoiser, with or without the autoencoder and the text encoders. The map is that of
//! `convert_flux_transformer_checkpoint_to_diffusers` of diffusers.

use crate::Result;
use crate::families::VAE;
use crate::families::shared::names::transformer::{LEFT_OVER, Signs};
use crate::families::shared::names::{Placed, Renamed, Tensors, clip, gather, t5, vae};
use crate::families::shared::{TEXT_ENCODER, TEXT_ENCODER_2, TRANSFORMER};
use crate::weights::{TensorIndex, TensorView};
use std::collections::BTreeMap;

/// The tensors by which its transformers are recognised. Other models with double blocks have other modulations.
pub(super) const SIGNS: Signs = Signs {
    original: "double_blocks.0.img_mod.lin.weight",
    diffusers: &["single_transformer_blocks.0.proj_mlp.weight"],
};

/// The prefixes of the autoencoder.
const AUTOENCODERS: [&str; 2] = ["vae.", "first_stage_model."];

/// The prefixes of the text encoders.
const ENCODERS: [(&str, &str); 2] =
    [("text_encoders.clip_l.transformer.", TEXT_ENCODER), ("text_encoders.t5xxl.transformer.", TEXT_ENCODER_2)];

/// Whether the file has any component under the original names.
pub(super) fn is_original(index: &TensorIndex) -> bool {
    SIGNS.is_original(index, ENCODERS.iter().map(|(prefix, _)| *prefix).chain(AUTOENCODERS))
}

/// The components of such a file. Unknown tensors are an error.
pub(super) fn components(index: &TensorIndex) -> Result<BTreeMap<&'static str, Tensors>> {
    let prefix = SIGNS.prefix(index);
    let autoencoder =
        |name: &'_ str| AUTOENCODERS.iter().find_map(|prefix| Some(name.strip_prefix(prefix)?.to_owned()));
    let inside: Vec<String> = index.iter().filter_map(|(name, _)| autoencoder(name)).collect();
    let vae = vae::Map::new(inside.iter().map(String::as_str));
    let rename = |name: &str, view: &TensorView| -> Placed {
        if let Some(rest) = autoencoder(name) {
            return Some((VAE, vae.rename(&rest, view)?));
        }
        for (prefix, component) in ENCODERS {
            if let Some(rest) = name.strip_prefix(prefix) {
                return Some((component, encoder(component, rest, view)?));
            }
        }
        Some((TRANSFORMER, transformer(name.strip_prefix(prefix)?, view)?))
    };
    gather(index, |name| name.ends_with(LEFT_OVER), rename)
}

/// The projection of CLIP's pooled state, which the family does not use.
pub(super) const UNUSED_PROJECTION: &str = "text_projection.weight";

/// Maps a tensor of a text encoder.
fn encoder(component: &str, name: &str, view: &TensorView) -> Renamed {
    match name {
        _ if component == TEXT_ENCODER_2 => t5::rename(name, view),
        UNUSED_PROJECTION => Some(Vec::new()),
        _ => clip::rename(name, view),
    }
}

/// Maps a tensor of the denoiser.
fn transformer(name: &str, view: &TensorView) -> Renamed {
    const PARTS: [(&str, &str); 10] = [
        ("img_in.", "x_embedder."),
        ("txt_in.", "context_embedder."),
        ("time_in.in_layer.", "time_text_embed.timestep_embedder.linear_1."),
        ("time_in.out_layer.", "time_text_embed.timestep_embedder.linear_2."),
        ("vector_in.in_layer.", "time_text_embed.text_embedder.linear_1."),
        ("vector_in.out_layer.", "time_text_embed.text_embedder.linear_2."),
        ("guidance_in.in_layer.", "time_text_embed.guidance_embedder.linear_1."),
        ("guidance_in.out_layer.", "time_text_embed.guidance_embedder.linear_2."),
        ("final_layer.linear.", "proj_out."),
        ("final_layer.adaLN_modulation.1.", "norm_out.linear."),
    ];
    if let Some(rest) = name.strip_prefix("double_blocks.") {
        return double_block(rest, view);
    }
    if let Some(rest) = name.strip_prefix("single_blocks.") {
        return single_block(rest, view);
    }
    let (old, new) = PARTS.iter().find(|(old, _)| name.starts_with(old))?;
    // Shift and scale are stacked; in diffusers the scale is first.
    let view = if *new == "norm_out.linear." { view.rows_from(view.shape().first()? / 2)? } else { view.clone() };
    Some(vec![(format!("{new}{}", &name[old.len()..]), view)])
}

fn double_block(rest: &str, view: &TensorView) -> Renamed {
    const PARTS: [(&str, &str); 12] = [
        ("img_mod.lin.", "norm1.linear."),
        ("txt_mod.lin.", "norm1_context.linear."),
        ("img_attn.norm.query_norm.scale", "attn.norm_q.weight"),
        ("img_attn.norm.key_norm.scale", "attn.norm_k.weight"),
        ("txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"),
        ("txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"),
        ("img_attn.proj.", "attn.to_out.0."),
        ("txt_attn.proj.", "attn.to_add_out."),
        ("img_mlp.0.", "ff.net.0.proj."),
        ("img_mlp.2.", "ff.net.2."),
        ("txt_mlp.0.", "ff_context.net.0.proj."),
        ("txt_mlp.2.", "ff_context.net.2."),
    ];
    const FUSED: [(&str, [&str; 3]); 2] = [
        ("img_attn.qkv.", ["attn.to_q", "attn.to_k", "attn.to_v"]),
        ("txt_attn.qkv.", ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"]),
    ];
    let (number, rest) = rest.split_once('.')?;
    let block = format!("transformer_blocks.{}", number.parse::<usize>().ok()?);
    if let Some((old, names)) = FUSED.iter().find(|(old, _)| rest.starts_with(old)) {
        let rows = *view.shape().first()?;
        let width = rows / 3;
        let names = names.map(|name| (format!("{block}.{name}.{}", &rest[old.len()..]), width));
        return if rows % 3 == 0 { split(names, view) } else { None };
    }
    let (old, new) = PARTS.iter().find(|(old, _)| rest.starts_with(old))?;
    Some(vec![(format!("{block}.{new}{}", &rest[old.len()..]), view.clone())])
}

fn single_block(rest: &str, view: &TensorView) -> Renamed {
    const PARTS: [(&str, &str); 4] = [
        ("modulation.lin.", "norm.linear."),
        ("norm.query_norm.scale", "attn.norm_q.weight"),
        ("norm.key_norm.scale", "attn.norm_k.weight"),
        ("linear2.", "proj_out."),
    ];
    /// Query, key, value, and a feed-forward layer that is four times as wide.
    const FUSED: [(&str, usize); 4] = [("attn.to_q", 1), ("attn.to_k", 1), ("attn.to_v", 1), ("proj_mlp", 4)];
    const SHARES: usize = 7;
    let (number, rest) = rest.split_once('.')?;
    let block = format!("single_transformer_blocks.{}", number.parse::<usize>().ok()?);
    if let Some(end) = rest.strip_prefix("linear1.") {
        let rows = *view.shape().first()?;
        let names = FUSED.map(|(name, shares)| (format!("{block}.{name}.{end}"), rows / SHARES * shares));
        return if rows % SHARES == 0 { split(names, view) } else { None };
    }
    let (old, new) = PARTS.iter().find(|(old, _)| rest.starts_with(old))?;
    Some(vec![(format!("{block}.{new}{}", &rest[old.len()..]), view.clone())])
}

/// Splits stacked layers, each with its number of rows.
fn split<const N: usize>(names: [(String, usize); N], view: &TensorView) -> Renamed {
    let mut start = 0;
    let mut parts = Vec::with_capacity(N);
    for (name, rows) in names {
        parts.push((name, view.rows(start, rows)?));
        start += rows;
    }
    Some(parts)
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
        let cases = [
            ("img_in.weight", "x_embedder.weight"),
            ("txt_in.bias", "context_embedder.bias"),
            ("time_in.out_layer.bias", "time_text_embed.timestep_embedder.linear_2.bias"),
            ("vector_in.in_layer.weight", "time_text_embed.text_embedder.linear_1.weight"),
            ("guidance_in.in_layer.weight", "time_text_embed.guidance_embedder.linear_1.weight"),
            ("final_layer.linear.weight", "proj_out.weight"),
            ("double_blocks.3.img_mod.lin.bias", "transformer_blocks.3.norm1.linear.bias"),
            ("double_blocks.3.txt_attn.norm.key_norm.scale", "transformer_blocks.3.attn.norm_added_k.weight"),
            ("double_blocks.18.txt_mlp.2.weight", "transformer_blocks.18.ff_context.net.2.weight"),
            ("double_blocks.0.img_attn.proj.bias", "transformer_blocks.0.attn.to_out.0.bias"),
            ("single_blocks.37.modulation.lin.bias", "single_transformer_blocks.37.norm.linear.bias"),
            ("single_blocks.0.norm.query_norm.scale", "single_transformer_blocks.0.attn.norm_q.weight"),
            ("single_blocks.0.linear2.weight", "single_transformer_blocks.0.proj_out.weight"),
        ];
        for (old, new) in cases {
            let renamed = transformer(old, &view(&[6])).unwrap();
            assert_eq!((renamed.len(), renamed[0].0.as_str()), (1, new), "{old}");
        }
        for unknown in
            ["", "x", "double_blocks.0.y_attn.qkv.weight", "double_blocks.a.img_mlp.0.bias", "single_blocks.0"]
        {
            assert_eq!(transformer(unknown, &view(&[6])), None, "{unknown}");
        }
    }

    #[test]
    fn fused_layers_are_split_and_the_last_norm_is_swapped() {
        let ranges = |name: &str, rows: usize| -> Vec<(String, std::ops::Range<u64>)> {
            let parts = transformer(name, &view(&[rows])).unwrap();
            parts.into_iter().map(|(name, view)| (name, view.range())).collect()
        };
        let double = ranges("double_blocks.1.txt_attn.qkv.bias", 6);
        let names = ["q", "k", "v"].map(|part| format!("transformer_blocks.1.attn.add_{part}_proj.bias"));
        assert_eq!(
            double,
            [0..4, 4..8, 8..12].into_iter().enumerate().map(|(i, r)| (names[i].clone(), r)).collect::<Vec<_>>()
        );
        let single = ranges("single_blocks.1.linear1.bias", 14);
        let names = ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"];
        let names = names.map(|part| format!("single_transformer_blocks.1.{part}.bias"));
        assert_eq!(
            single,
            [0..4, 4..8, 8..12, 12..28].into_iter().enumerate().map(|(i, r)| (names[i].clone(), r)).collect::<Vec<_>>()
        );
        assert_eq!(transformer("double_blocks.1.img_attn.qkv.bias", &view(&[7])), None);
        assert_eq!(transformer("single_blocks.1.linear1.bias", &view(&[15])), None);
        let turned = transformer("final_layer.adaLN_modulation.1.bias", &view(&[6])).unwrap();
        assert_eq!((turned[0].0.as_str(), turned[0].1.element(&[0])), ("norm_out.linear.bias", 3));
    }
}
