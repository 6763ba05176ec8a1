//! Writes a model in the diffusers layout as one file in the layout of the original repositories, so that both can be
//! loaded and compared: the inverse of `easel_inference::families`, written independently.

use crate::files::read_json;
use crate::torch;
use anyhow::{Context, Result, anyhow, bail};
use easel_inference::tensor::BlockFormat;
use easel_inference::weights::gguf::Conversion;
use easel_inference::weights::{FileSource, TensorIndex};
use pollster::block_on;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A tensor with its bytes.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The type of its elements.
    pub dtype: Dtype,
    /// The sizes of its axes.
    pub shape: Vec<usize>,
    /// Its elements, little-endian.
    pub bytes: Vec<u8>,
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Stored>;

/// All tensors of a component's safetensors file.
pub fn read(path: &Path) -> Result<Tensors> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let file = SafeTensors::deserialize(&bytes).with_context(|| path.display().to_string())?;
    let stored = |view: TensorView<'_>| Stored {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    Ok(file.tensors().into_iter().map(|(name, view)| (name, stored(view))).collect())
}

/// The model in `dir` (with the layout of `tests/golden/sd15`, `sd21` or `sdxl`) under the original names.
pub fn original(dir: &Path) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    let unet = read(&dir.join("unet/diffusion_pytorch_model.safetensors"))?;
    let map = UNetNames::new(&read_json(&dir.join("unet/config.json"))?, &unet)?;
    for (name, stored) in unet {
        let original = map.original(&name).ok_or_else(|| anyhow!("{name} has no original name"))?;
        tensors.insert(format!("model.diffusion_model.{original}"), stored);
    }
    for (name, stored) in vae_tensors(&dir.join("vae/diffusion_pytorch_model.safetensors"))? {
        tensors.insert(format!("first_stage_model.{name}"), stored);
    }
    let encoder = read(&dir.join("text_encoder/model.safetensors"))?;
    let clip = |prefix: &str| {
        encoder.iter().map(|(name, stored)| (format!("{prefix}{name}"), stored.clone())).collect::<Vec<_>>()
    };
    if dir.join("text_encoder_2").is_dir() {
        tensors.extend(clip("conditioner.embedders.0.transformer."));
        let second = read(&dir.join("text_encoder_2/model.safetensors"))?;
        tensors.extend(open_clip("conditioner.embedders.1.model.", &second)?);
    } else if read_json(&dir.join("text_encoder/config.json"))?["hidden_act"] == "gelu" {
        tensors.extend(open_clip("cond_stage_model.model.", &encoder)?);
        tensors.extend(unused_layer("cond_stage_model.model.", &tensors)?);
    } else {
        tensors.extend(clip("cond_stage_model.transformer."));
    }
    // Left over from training.
    let left_over = Stored { dtype: Dtype::F32, shape: vec![2], bytes: vec![0; 8] };
    for name in ["alphas_cumprod", "betas", "model_ema.diffusion_modelinput_blocks00weight", "model_ema.decay"] {
        tensors.insert(name.into(), left_over.clone());
    }
    Ok(tensors)
}

/// Writes tensors as safetensors.
pub fn write_safetensors(tensors: &Tensors, path: &Path) -> Result<()> {
    let views = tensors
        .iter()
        .map(|(name, stored)| Ok((name, TensorView::new(stored.dtype, stored.shape.clone(), &stored.bytes)?)));
    let views = views.collect::<Result<Vec<_>>>()?;
    safetensors::serialize_to_file(views, None, path).with_context(|| path.display().to_string())
}

/// Writes tensors as a PyTorch checkpoint, `{"global_step": ..., "state_dict": {...}}`.
pub fn write_checkpoint(tensors: &Tensors, path: &Path) -> Result<()> {
    std::fs::write(path, torch::archive(tensors)?).with_context(|| path.display().to_string())
}

/// Writes the tensors of another file as GGUF, matrices in this format.
pub fn write_gguf(from: &Path, format: Option<BlockFormat>, path: &Path) -> Result<()> {
    let index = block_on(TensorIndex::open(Arc::new(FileSource::open(from)?)))?;
    let conversion = Conversion::new(&index, format, "sd1")?;
    let mut bytes = Vec::new();
    block_on(conversion.write(&mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    }))?;
    anyhow::ensure!(bytes.len() as u64 == conversion.bytes(), "the file has another length than announced");
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

/// The names of one UNet.
struct UNetNames {
    /// Blocks per level on the way down: the layers and the downsampler.
    per_level: usize,
    /// Whether the levels on the way up have attention.
    up_attention: Vec<bool>,
}

impl UNetNames {
    fn new(config: &Value, tensors: &Tensors) -> Result<Self> {
        let layers = config["layers_per_block"].as_u64().context("layers_per_block")? as usize;
        let levels = config["block_out_channels"].as_array().context("block_out_channels")?.len();
        let attention = |i: usize| tensors.contains_key(&format!("up_blocks.{i}.attentions.0.norm.weight"));
        Ok(Self { per_level: layers + 1, up_attention: (0..levels).map(attention).collect() })
    }

    fn original(&self, name: &str) -> Option<String> {
        let parts: Vec<&str> = name.split('.').collect();
        let number = |at: usize| parts.get(at).and_then(|part| part.parse::<usize>().ok());
        let rest = |from: usize| parts.get(from..).map(|rest| rest.join("."));
        match parts[..] {
            ["conv_in", end] => Some(format!("input_blocks.0.0.{end}")),
            ["conv_norm_out", end] => Some(format!("out.0.{end}")),
            ["conv_out", end] => Some(format!("out.2.{end}")),
            ["time_embedding", layer, end] => {
                Some(format!("time_embed.{}.{end}", if layer == "linear_1" { 0 } else { 2 }))
            }
            ["add_embedding", layer, end] => {
                Some(format!("label_emb.0.{}.{end}", if layer == "linear_1" { 0 } else { 2 }))
            }
            ["mid_block", "attentions", "0", ..] => Some(format!("middle_block.1.{}", rest(3)?)),
            ["mid_block", "resnets", ..] => Some(format!("middle_block.{}.{}", 2 * number(2)?, resnet(&rest(3)?)?)),
            ["down_blocks", _, "downsamplers", ..] => {
                Some(format!("input_blocks.{}.0.op.{}", (number(1)? + 1) * self.per_level, rest(5)?))
            }
            ["down_blocks", _, kind, ..] => {
                let block = number(1)? * self.per_level + number(3)? + 1;
                Some(format!("input_blocks.{block}.{}", layer(kind, &rest(4)?)?))
            }
            ["up_blocks", _, "upsamplers", ..] => {
                let block = number(1)? * self.per_level + self.per_level - 1;
                let place = 1 + usize::from(*self.up_attention.get(number(1)?)?);
                Some(format!("output_blocks.{block}.{place}.{}", rest(4)?))
            }
            ["up_blocks", _, kind, ..] => {
                let block = number(1)? * self.per_level + number(3)?;
                Some(format!("output_blocks.{block}.{}", layer(kind, &rest(4)?)?))
            }
            _ => None,
        }
    }
}

fn layer(kind: &str, rest: &str) -> Option<String> {
    if kind == "attentions" { Some(format!("1.{rest}")) } else { Some(format!("0.{}", resnet(rest)?)) }
}

fn resnet(rest: &str) -> Option<String> {
    let (part, end) = rest.split_once('.')?;
    let part = match part {
        "norm1" => "in_layers.0",
        "conv1" => "in_layers.2",
        "time_emb_proj" => "emb_layers.1",
        "norm2" => "out_layers.0",
        "conv2" => "out_layers.3",
        "conv_shortcut" => "skip_connection",
        _ => return None,
    };
    Some(format!("{part}.{end}"))
}

/// The autoencoder in a file under the original names, without a prefix.
pub(crate) fn vae_tensors(path: &Path) -> Result<Tensors> {
    let vae = read(path)?;
    let levels =
        vae.keys().filter(|name| name.starts_with("decoder.up_blocks.") && name.ends_with(".0.conv1.weight")).count();
    let original = |(name, stored): (String, Stored)| {
        vae_tensor(&name, stored, levels).ok_or_else(|| anyhow!("{name} has no original name"))
    };
    vae.into_iter().map(original).collect()
}

fn vae_tensor(name: &str, mut stored: Stored, levels: usize) -> Option<(String, Stored)> {
    let parts: Vec<&str> = name.split('.').collect();
    let shortcut = |rest: &[&str]| rest.join(".").replace("conv_shortcut", "nin_shortcut");
    let original = match &parts[..] {
        [coder, "conv_norm_out", end] => format!("{coder}.norm_out.{end}"),
        [coder, "mid_block", "resnets", number, rest @ ..] => {
            format!("{coder}.mid.block_{}.{}", number.parse::<usize>().ok()? + 1, shortcut(rest))
        }
        [coder, "mid_block", "attentions", "0", middle @ .., end] => {
            let part = match middle.join(".").as_str() {
                "group_norm" => "norm",
                "query" | "to_q" => "q",
                "key" | "to_k" => "k",
                "value" | "to_v" => "v",
                "proj_attn" | "to_out.0" => "proj_out",
                _ => return None,
            };
            if part != "norm" && *end == "weight" {
                stored.shape.extend([1, 1]);
            }
            format!("{coder}.mid.attn_1.{part}.{end}")
        }
        ["encoder", "down_blocks", level, "resnets", rest @ ..] => {
            format!("encoder.down.{level}.block.{}", shortcut(rest))
        }
        ["encoder", "down_blocks", level, "downsamplers", "0", rest @ ..] => {
            format!("encoder.down.{level}.downsample.{}", rest.join("."))
        }
        ["decoder", "up_blocks", level, kind, rest @ ..] => {
            let level = levels.checked_sub(level.parse::<usize>().ok()? + 1)?;
            match *kind {
                "resnets" => format!("decoder.up.{level}.block.{}", shortcut(rest)),
                _ => format!("decoder.up.{level}.upsample.{}", rest.get(1..)?.join(".")),
            }
        }
        _ => name.to_owned(),
    };
    Some((original, stored))
}

/// A text encoder of transformers in OpenCLIP's layout.
fn open_clip(prefix: &str, encoder: &Tensors) -> Result<Tensors> {
    const PARTS: [(&str, &str); 5] = [
        ("layer_norm1", "ln_1"),
        ("layer_norm2", "ln_2"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
        ("self_attn.out_proj", "attn.out_proj"),
    ];
    let mut tensors = Tensors::new();
    for (name, stored) in encoder {
        let name = name.strip_prefix("text_model.").unwrap_or(name);
        let original = match name {
            "embeddings.position_ids" => continue,
            "embeddings.position_embedding.weight" => "positional_embedding".into(),
            "embeddings.token_embedding.weight" => "token_embedding.weight".into(),
            "text_projection.weight" => {
                tensors.insert(format!("{prefix}text_projection"), transpose(stored)?);
                continue;
            }
            _ if name.starts_with("final_layer_norm.") => name.replace("final_layer_norm", "ln_final"),
            _ => match name.split_once(".self_attn.q_proj.") {
                Some((layer, end)) => {
                    let number = layer.rsplit('.').next().unwrap_or_default();
                    let fused = fuse(encoder, layer, end)?;
                    tensors.insert(format!("{prefix}transformer.resblocks.{number}.attn.in_proj_{end}"), fused);
                    continue;
                }
                None if name.contains(".k_proj.") || name.contains(".v_proj.") => continue,
                None => {
                    let name = name.replace("encoder.layers.", "transformer.resblocks.");
                    PARTS.iter().fold(name, |name, (new, old)| name.replace(&format!(".{new}."), &format!(".{old}.")))
                }
            },
        };
        tensors.insert(format!("{prefix}{original}"), stored.clone());
    }
    tensors.insert(format!("{prefix}logit_scale"), Stored { dtype: Dtype::F32, shape: vec![], bytes: vec![0; 4] });
    Ok(tensors)
}

fn fuse(encoder: &Tensors, layer: &str, end: &str) -> Result<Stored> {
    let part = |name: &str| {
        let name = format!("text_model.{layer}.self_attn.{name}_proj.{end}");
        encoder.get(&name).ok_or_else(|| anyhow!("{name} is missing"))
    };
    let mut fused = part("q")?.clone();
    let key = part("k")?;
    let value = part("v")?;
    fused.shape[0] *= 3;
    fused.bytes.extend(key.bytes.iter().chain(&value.bytes));
    Ok(fused)
}

fn transpose(stored: &Stored) -> Result<Stored> {
    let [rows, columns] = stored.shape[..] else { bail!("expected a matrix, got {:?}", stored.shape) };
    let size = stored.bytes.len() / (rows * columns);
    let element = |at: usize| &stored.bytes[at * size..(at + 1) * size];
    let bytes = (0..columns).flat_map(|column| (0..rows).flat_map(move |row| element(row * columns + column))).copied();
    Ok(Stored { dtype: stored.dtype, shape: vec![columns, rows], bytes: bytes.collect() })
}

/// Stable Diffusion 2's files have the whole tower, with an unused last layer and projection.
fn unused_layer(prefix: &str, tensors: &Tensors) -> Result<Tensors> {
    let layers = format!("{prefix}transformer.resblocks.");
    let count = tensors.keys().filter(|name| name.starts_with(&layers) && name.ends_with(".ln_1.bias")).count();
    let first = format!("{layers}0.");
    let copy = |(name, stored): (&String, &Stored)| {
        Some((format!("{layers}{count}.{}", name.strip_prefix(&first)?), stored.clone()))
    };
    let mut unused: Tensors = tensors.iter().filter_map(copy).collect();
    let position = tensors.get(&format!("{prefix}positional_embedding")).context("positional_embedding")?;
    unused.insert(format!("{prefix}text_projection"), position.clone());
    Ok(unused)
}
