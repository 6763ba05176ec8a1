//! easel-emoji, the default model, compiled into the program so that it works without a download.

use easel_inference::families::SamplingDefaults;

/// The name that stands for the embedded model.
pub const NAME: &str = "easel-emoji";

/// Steps and guidance scale that suit it.
pub const SAMPLING: SamplingDefaults = SamplingDefaults { steps: 20, guidance_scale: 4.0 };

macro_rules! file {
    ($path:literal) => {
        ($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/easel-emoji/", $path)) as &[u8])
    };
}

/// Every file of the model's diffusers folder: its path inside the folder, and its bytes.
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
