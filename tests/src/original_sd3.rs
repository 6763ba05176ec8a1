//! Writes a Stable Diffusion 3 model in the diffusers layout as one file in the layout of Stability AI and ComfyUI: the
//! inverse of `easel_inference::families`, written independently.

use crate::original::{Stored, Tensors, read, vae_tensors};
use anyhow::{Context, Result, anyhow, bail};
use std::path::Path;

/// The names of one side of a block: in diffusers and in the original.
type Parts = [(&'static str, &'static str); 6];

const PICTURE: Parts = [
    ("attn.to_out.0.", "x_block.attn.proj."),
    ("attn.norm_q.", "x_block.attn.ln_q."),
    ("attn.norm_k.", "x_block.attn.ln_k."),
    ("ff.net.0.proj.", "x_block.mlp.fc1."),
    ("ff.net.2.", "x_block.mlp.fc2."),
    ("norm1.linear.", "x_block.adaLN_modulation.1."),
];

const TEXT: Parts = [
    ("attn.to_add_out.", "context_block.attn.proj."),
    ("attn.norm_added_q.", "context_block.attn.ln_q."),
    ("attn.norm_added_k.", "context_block.attn.ln_k."),
    ("ff_context.net.0.proj.", "context_block.mlp.fc1."),
    ("ff_context.net.2.", "context_block.mlp.fc2."),
    ("norm1_context.linear.", "context_block.adaLN_modulation.1."),
];

const DUAL: [(&str, &str); 3] = [
    ("attn2.to_out.0.", "x_block.attn2.proj."),
    ("attn2.norm_q.", "x_block.attn2.ln_q."),
    ("attn2.norm_k.", "x_block.attn2.ln_k."),
];

/// Query, key and value projections in diffusers, and the fused one in the original.
const FUSED: [([&str; 3], &str); 3] = [
    (["attn.to_q.", "attn.to_k.", "attn.to_v."], "x_block.attn.qkv."),
    (["attn.add_q_proj.", "attn.add_k_proj.", "attn.add_v_proj."], "context_block.attn.qkv."),
    (["attn2.to_q.", "attn2.to_k.", "attn2.to_v."], "x_block.attn2.qkv."),
];

const OUTSIDE: [(&str, &str); 8] = [
    ("pos_embed.proj.", "x_embedder.proj."),
    ("time_text_embed.timestep_embedder.linear_1.", "t_embedder.mlp.0."),
    ("time_text_embed.timestep_embedder.linear_2.", "t_embedder.mlp.2."),
    ("time_text_embed.text_embedder.linear_1.", "y_embedder.mlp.0."),
    ("time_text_embed.text_embedder.linear_2.", "y_embedder.mlp.2."),
    ("context_embedder.", "context_embedder."),
    ("proj_out.", "final_layer.linear."),
    ("norm_out.linear.", "final_layer.adaLN_modulation.1."),
];

/// The model in `dir` (with the layout of `tests/golden/sd3`) under the original names.
pub fn original(dir: &Path) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    for (name, stored) in transformer(&read(&dir.join("transformer/diffusion_pytorch_model.safetensors"))?)? {
        tensors.insert(format!("model.diffusion_model.{name}"), stored);
    }
    for (name, stored) in vae_tensors(&dir.join("vae/diffusion_pytorch_model.safetensors"))? {
        tensors.insert(format!("first_stage_model.{name}"), stored);
    }
    for (folder, prefix) in [("text_encoder", "clip_l"), ("text_encoder_2", "clip_g"), ("text_encoder_3", "t5xxl")] {
        for (name, stored) in read(&dir.join(folder).join("model.safetensors"))? {
            tensors.insert(format!("text_encoders.{prefix}.transformer.{name}"), stored);
        }
    }
    let scale = Stored { dtype: safetensors::Dtype::F32, shape: vec![], bytes: vec![0; 4] };
    tensors.insert("text_encoders.clip_l.logit_scale".into(), scale);
    Ok(tensors)
}

/// The denoiser, without a prefix.
fn transformer(tensors: &Tensors) -> Result<Tensors> {
    let number = |name: &String| name.strip_prefix("transformer_blocks.")?.split('.').next()?.parse::<usize>().ok();
    let last = tensors.keys().filter_map(number).max().context("no blocks")?;
    let mut renamed = Tensors::new();
    for (name, stored) in tensors {
        let Some(rest) = name.strip_prefix("transformer_blocks.") else {
            let (name, stored) = outside(name, stored)?;
            renamed.insert(name, stored);
            continue;
        };
        let (block, rest) = rest.split_once('.').context("a block without a number")?;
        let in_block = |part: &str| format!("joint_blocks.{block}.{part}");
        let fused = FUSED.iter().find_map(|(parts, whole)| {
            let at = parts.iter().position(|part| rest.starts_with(part))?;
            Some((parts, whole, at, &rest[parts[at].len()..]))
        });
        if let Some((parts, whole, at, end)) = fused {
            if at == 0 {
                let part = |part: &str| {
                    let name = format!("transformer_blocks.{block}.{part}{end}");
                    tensors.get(&name).ok_or_else(|| anyhow!("{name} is missing"))
                };
                let [query, key, value] = parts.map(part);
                renamed.insert(in_block(&format!("{whole}{end}")), below(&[query?, key?, value?]));
            }
            continue;
        }
        let parts = PICTURE.iter().chain(&TEXT).chain(&DUAL);
        let (new, old) = parts.into_iter().find(|(new, _)| rest.starts_with(new)).with_context(|| name.clone())?;
        let is_turned = *new == "norm1_context.linear." && block == last.to_string();
        let stored = if is_turned { turned(stored) } else { stored.clone() };
        renamed.insert(in_block(&format!("{old}{}", &rest[new.len()..])), stored);
    }
    Ok(renamed)
}

fn outside(name: &str, stored: &Stored) -> Result<(String, Stored)> {
    if name == "pos_embed.pos_embed" {
        return Ok(("pos_embed".into(), stored.clone()));
    }
    let Some((new, old)) = OUTSIDE.iter().find(|(new, _)| name.starts_with(new)) else {
        bail!("{name} has no original name");
    };
    let stored = if *new == "norm_out.linear." { turned(stored) } else { stored.clone() };
    Ok((format!("{old}{}", &name[new.len()..]), stored))
}

/// Concatenates tensors along the first axis.
pub(crate) fn below(parts: &[&Stored]) -> Stored {
    let mut fused = parts[0].clone();
    fused.shape[0] = parts.iter().map(|part| part.shape[0]).sum();
    fused.bytes = parts.iter().flat_map(|part| part.bytes.iter().copied()).collect();
    fused
}

/// Swaps the halves of a tensor, the lower one first.
pub(crate) fn turned(stored: &Stored) -> Stored {
    let mut stored = stored.clone();
    let half = stored.bytes.len() / 2;
    stored.bytes.rotate_left(half);
    stored
}
