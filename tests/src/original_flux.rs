//! Writes a FLUX.1 model in the diffusers layout as one file in the layout of its authors and ComfyUI. The inverse of what
//! `easel_inference::families` does, written for itself.

use crate::original::{Stored, Tensors, read, vae_tensors};
use crate::original_sd3::{below, turned};
use anyhow::{Context, Result, anyhow, bail};
use std::path::Path;

const OUTSIDE: [(&str, &str); 10] = [
    ("x_embedder.", "img_in."),
    ("context_embedder.", "txt_in."),
    ("time_text_embed.timestep_embedder.linear_1.", "time_in.in_layer."),
    ("time_text_embed.timestep_embedder.linear_2.", "time_in.out_layer."),
    ("time_text_embed.text_embedder.linear_1.", "vector_in.in_layer."),
    ("time_text_embed.text_embedder.linear_2.", "vector_in.out_layer."),
    ("time_text_embed.guidance_embedder.linear_1.", "guidance_in.in_layer."),
    ("time_text_embed.guidance_embedder.linear_2.", "guidance_in.out_layer."),
    ("proj_out.", "final_layer.linear."),
    ("norm_out.linear.", "final_layer.adaLN_modulation.1."),
];

/// The names of a kind of block: in diffusers, and in the original.
struct Names {
    prefix: &'static str,
    original: &'static str,
    parts: &'static [(&'static str, &'static str)],
    /// Layers in diffusers, and the one that they are in the original.
    fused: &'static [(&'static [&'static str], &'static str)],
}

const DOUBLE: Names = Names {
    prefix: "transformer_blocks.",
    original: "double_blocks.",
    parts: &[
        ("norm1.linear.", "img_mod.lin."),
        ("norm1_context.linear.", "txt_mod.lin."),
        ("attn.norm_q.weight", "img_attn.norm.query_norm.scale"),
        ("attn.norm_k.weight", "img_attn.norm.key_norm.scale"),
        ("attn.norm_added_q.weight", "txt_attn.norm.query_norm.scale"),
        ("attn.norm_added_k.weight", "txt_attn.norm.key_norm.scale"),
        ("attn.to_out.0.", "img_attn.proj."),
        ("attn.to_add_out.", "txt_attn.proj."),
        ("ff.net.0.proj.", "img_mlp.0."),
        ("ff.net.2.", "img_mlp.2."),
        ("ff_context.net.0.proj.", "txt_mlp.0."),
        ("ff_context.net.2.", "txt_mlp.2."),
    ],
    fused: &[
        (&["attn.to_q.", "attn.to_k.", "attn.to_v."], "img_attn.qkv."),
        (&["attn.add_q_proj.", "attn.add_k_proj.", "attn.add_v_proj."], "txt_attn.qkv."),
    ],
};

const SINGLE: Names = Names {
    prefix: "single_transformer_blocks.",
    original: "single_blocks.",
    parts: &[
        ("norm.linear.", "modulation.lin."),
        ("attn.norm_q.weight", "norm.query_norm.scale"),
        ("attn.norm_k.weight", "norm.key_norm.scale"),
        ("proj_out.", "linear2."),
    ],
    fused: &[(&["attn.to_q.", "attn.to_k.", "attn.to_v.", "proj_mlp."], "linear1.")],
};

/// The model in `dir` (laid out as `tests/golden/flux-schnell`) under the names of ComfyUI's files, which have the authors'
/// names behind prefixes.
pub fn original(dir: &Path) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    for (name, stored) in transformer(&read_all(&dir.join("transformer"))?)? {
        tensors.insert(format!("model.diffusion_model.{name}"), stored);
    }
    for (name, stored) in vae_tensors(&dir.join("vae/diffusion_pytorch_model.safetensors"))? {
        tensors.insert(format!("vae.{name}"), stored);
    }
    let mut projection = None;
    for (folder, prefix) in [("text_encoder", "clip_l"), ("text_encoder_2", "t5xxl")] {
        for (name, stored) in read_all(&dir.join(folder))? {
            projection = projection.or_else(|| stored.shape.get(1).filter(|_| folder == "text_encoder").copied());
            tensors.insert(format!("text_encoders.{prefix}.transformer.{name}"), stored);
        }
    }
    // What the family has no use for.
    let width = projection.context("no matrix in the text encoder")?;
    let one = |shape: Vec<usize>| Stored {
        dtype: safetensors::Dtype::F32,
        bytes: vec![0; 4 * shape.iter().product::<usize>()],
        shape,
    };
    tensors.insert("text_encoders.clip_l.transformer.text_projection.weight".into(), one(vec![width, width]));
    tensors.insert("text_encoders.clip_l.logit_scale".into(), one(vec![]));
    tensors.insert("text_encoders.t5xxl.logit_scale".into(), one(vec![]));
    Ok(tensors)
}

/// All tensors of a component, of all its shards.
pub fn read_all(folder: &Path) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "safetensors") {
            tensors.extend(read(&path)?);
        }
    }
    Ok(tensors)
}

/// T5's tensors under the names of llama.cpp, which GGUF files have.
pub fn llama_cpp(tensors: &Tensors) -> Result<Tensors> {
    const PARTS: [(&str, &str); 10] = [
        ("SelfAttention.relative_attention_bias.", "attn_rel_b."),
        ("SelfAttention.q.", "attn_q."),
        ("SelfAttention.k.", "attn_k."),
        ("SelfAttention.v.", "attn_v."),
        ("SelfAttention.o.", "attn_o."),
        ("DenseReluDense.wi_0.", "ffn_gate."),
        ("DenseReluDense.wi_1.", "ffn_up."),
        ("DenseReluDense.wo.", "ffn_down."),
        ("0.layer_norm.", "attn_norm."),
        ("1.layer_norm.", "ffn_norm."),
    ];
    let rename = |name: &str| -> Option<String> {
        match name {
            "shared.weight" => return Some("token_embd.weight".into()),
            "encoder.final_layer_norm.weight" => return Some("enc.output_norm.weight".into()),
            _ => {}
        }
        let (block, rest) = name.strip_prefix("encoder.block.")?.split_once('.')?;
        let (old, new) = PARTS.iter().find(|(old, _)| rest.contains(old))?;
        let (_, end) = rest.split_once(old)?;
        Some(format!("enc.blk.{block}.{new}{end}"))
    };
    let renamed = |(name, stored): (&String, &Stored)| -> Result<(String, Stored)> {
        Ok((rename(name).with_context(|| format!("{name} has no name in llama.cpp"))?, stored.clone()))
    };
    tensors.iter().map(renamed).collect()
}

/// The denoiser without a prefix.
fn transformer(tensors: &Tensors) -> Result<Tensors> {
    let mut renamed = Tensors::new();
    for (name, stored) in tensors {
        let block = [&DOUBLE, &SINGLE].into_iter().find(|names| name.starts_with(names.prefix));
        match block {
            Some(names) => renamed.extend(names.original_of(name, tensors)?),
            None => {
                let (name, stored) = outside(name, stored)?;
                renamed.insert(name, stored);
            }
        }
    }
    Ok(renamed)
}

impl Names {
    /// The original of one tensor of a block; nothing for those that follow the first of a fused layer.
    fn original_of(&self, name: &str, tensors: &Tensors) -> Result<Option<(String, Stored)>> {
        let rest = name.strip_prefix(self.prefix).context("another kind of block")?;
        let (block, rest) = rest.split_once('.').context("a block without a number")?;
        let in_block = |part: &str| format!("{}{block}.{part}", self.original);
        for (parts, whole) in self.fused {
            let Some(at) = parts.iter().position(|part| rest.starts_with(part)) else { continue };
            let end = &rest[parts[at].len()..];
            let part = |part: &&str| {
                let name = format!("{}{block}.{part}{end}", self.prefix);
                tensors.get(&name).ok_or_else(|| anyhow!("{name} is missing"))
            };
            let all = parts.iter().map(part).collect::<Result<Vec<_>>>()?;
            return Ok((at == 0).then(|| (in_block(&format!("{whole}{end}")), below(&all))));
        }
        let found = self.parts.iter().find(|(new, _)| rest.starts_with(new));
        let (new, old) = found.with_context(|| format!("{name} has no original name"))?;
        Ok(Some((in_block(&format!("{old}{}", &rest[new.len()..])), tensors[name].clone())))
    }
}

fn outside(name: &str, stored: &Stored) -> Result<(String, Stored)> {
    let Some((new, old)) = OUTSIDE.iter().find(|(new, _)| name.starts_with(new)) else {
        bail!("{name} has no original name");
    };
    let stored = if *new == "norm_out.linear." { turned(stored) } else { stored.clone() };
    Ok((format!("{old}{}", &name[new.len()..]), stored))
}
