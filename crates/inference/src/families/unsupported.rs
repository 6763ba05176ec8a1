//! Families that are known but not yet supported, so that the error for their files names the family instead of a list
//! of tensors.

use crate::weights::TensorIndex;
use crate::{Error, Result};
use serde_json::Value;

/// An unsupported family.
struct Unsupported {
    name: &'static str,
    /// The prefix of the class in `model_index.json`.
    class: &'static str,
    /// A tensor of every denoiser of the family, with or without a prefix, under its original name. Empty if unknown.
    tensor: &'static str,
}

/// Of two classes with a common prefix, the longer one comes first.
const UNSUPPORTED: &[Unsupported] = &[
    Unsupported { name: "FLUX.2", class: "Flux2", tensor: "double_stream_modulation_img.lin.weight" },
    Unsupported { name: "FLUX.1 Fill", class: "FluxFill", tensor: "" },
    Unsupported { name: "FLUX.1 Kontext", class: "FluxKontext", tensor: "" },
    Unsupported { name: "FLUX.1 Redux", class: "FluxPriorRedux", tensor: "" },
    Unsupported { name: "FLUX.1 Control", class: "FluxControl", tensor: "" },
    Unsupported { name: "Chroma", class: "Chroma", tensor: "distilled_guidance_layer.in_proj.weight" },
    Unsupported { name: "Z-Image", class: "ZImage", tensor: "x_pad_token" },
    Unsupported { name: "Stable Cascade", class: "StableCascade", tensor: "" },
    Unsupported { name: "Würstchen", class: "Wuerstchen", tensor: "" },
    Unsupported { name: "PixArt", class: "PixArt", tensor: "" },
    Unsupported { name: "Kandinsky", class: "Kandinsky", tensor: "" },
    Unsupported { name: "Kolors", class: "Kolors", tensor: "" },
    Unsupported { name: "Hunyuan-DiT", class: "HunyuanDiT", tensor: "" },
    Unsupported { name: "AuraFlow", class: "AuraFlow", tensor: "" },
    Unsupported { name: "Lumina", class: "Lumina", tensor: "" },
    Unsupported { name: "Sana", class: "Sana", tensor: "" },
    Unsupported { name: "Qwen-Image", class: "QwenImage", tensor: "" },
    Unsupported { name: "Stable Video Diffusion", class: "StableVideoDiffusion", tensor: "" },
    Unsupported { name: "Stable unCLIP", class: "StableUnCLIP", tensor: "" },
    Unsupported { name: "InstructPix2Pix", class: "StableDiffusionInstructPix2Pix", tensor: "" },
    Unsupported { name: "Stable Diffusion upscaler", class: "StableDiffusionUpscale", tensor: "" },
    Unsupported { name: "DeepFloyd IF", class: "IF", tensor: "" },
];

/// Returns an error if a folder with this `model_index.json` belongs to such a family.
pub(super) fn reject_folder(name: &str, model_index: &Value) -> Result<()> {
    let class = model_index["_class_name"].as_str().unwrap_or_default();
    reject(name, UNSUPPORTED.iter().find(|family| class.starts_with(family.class)))
}

/// Returns an error if a file belongs to such a family.
pub(super) fn reject_file(index: &TensorIndex) -> Result<()> {
    let has = |family: &&Unsupported| {
        !family.tensor.is_empty() && index.iter().any(|(name, _)| name.ends_with(family.tensor))
    };
    reject(index.file(), UNSUPPORTED.iter().find(has))
}

fn reject(name: &str, family: Option<&Unsupported>) -> Result<()> {
    match family {
        Some(family) => Err(Error::format(name, format!("{} models are not supported yet", family.name))),
        None => Ok(()),
    }
}
