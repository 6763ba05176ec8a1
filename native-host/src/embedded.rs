//! easel-emoji, the default model, compiled into the program so that it works without a download.

use easel_inference::families::SamplingDefaults;

/// The short name of the embedded model.
pub const NAME: &str = "easel-emoji";

/// Its default steps and guidance scale.
pub const SAMPLING: SamplingDefaults = SamplingDefaults { steps: 20, guidance_scale: 4.0 };

macro_rules! file {
    ($path:literal) => {
        ($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/easel-emoji/", $path)) as &[u8])
    };
}

/// All files of the model's diffusers folder: path in the folder and bytes.
pub const FILES: &[(&str, &[u8])] = &[
    file!("model_index.json"),
    file!("scheduler/scheduler_config.json"),
    file!("text_encoder/config.json"),
    file!("text_encoder/model.safetensors"),
    file!("tokenizer/merges.txt"),
    file!("tokenizer/special_tokens_map.json"),
    file!("tokenizer/tokenizer_config.json"),
    file!("tokenizer/vocab.json"),
    file!("unet/config.json"),
    file!("unet/diffusion_pytorch_model.safetensors"),
    file!("vae/config.json"),
    file!("vae/diffusion_pytorch_model.safetensors"),
];
