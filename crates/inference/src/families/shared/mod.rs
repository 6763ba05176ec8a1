//! What several families have in common, for those that ask for it: the layout of CompVis' and Stability AI's checkpoints,
//! prompts through CLIP and T5 text encoders, guidance, a UNet as the denoiser, and latents that are scaled by one number.

pub(super) mod checkpoint;
pub(super) mod clip;
pub(super) mod configs;
pub(super) mod guidance;
pub(super) mod latents;
pub(super) mod names;
pub(super) mod shapes;
pub(super) mod t5;
pub(super) mod unet;

/// The first text encoder.
pub(super) const TEXT_ENCODER: &str = "text_encoder";
/// The second text encoder.
pub(super) const TEXT_ENCODER_2: &str = "text_encoder_2";
/// The third text encoder.
pub(super) const TEXT_ENCODER_3: &str = "text_encoder_3";
/// The denoiser of the families that have a diffusion transformer.
pub(super) const TRANSFORMER: &str = "transformer";
/// The denoiser of the families that have a UNet.
pub(super) const UNET: &str = "unet";
