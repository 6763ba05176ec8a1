//! Code that several families share: the layout of CompVis' and Stability AI's checkpoints, CLIP and T5 text encoders,
//! guidance, a UNet as the denoiser, and plain scaled latents.

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
/// The denoiser of families with a diffusion transformer.
pub(super) const TRANSFORMER: &str = "transformer";
/// The denoiser of families with a UNet.
pub(super) const UNET: &str = "unet";
