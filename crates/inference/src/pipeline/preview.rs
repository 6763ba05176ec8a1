//! What latents look like, cheaply: the tiny autoencoder where there is one, else a linear map to colours.

use super::load::Pipeline;
use super::run::Run;
use crate::models::vae::AutoencoderConfig;
use crate::{Result, Tensor};
use easel_picture::Image;

/// The longer side of a preview is at most this many pixels when an autoencoder decodes it.
const LONGEST_SIDE: usize = 256;

/// A small picture of the first of `latents` `[n, h, w, c]`, which are as the denoiser sees them.
pub(super) async fn preview(latents: &Tensor, pipeline: &Pipeline, run: &mut Run<'_>) -> Result<Image> {
    let first = latents.narrow(0, 0, 1)?;
    let [_, h, w, channels] = first.dims("preview")?;
    let space = pipeline.model.latents();
    if let AutoencoderConfig::Tiny(_) = pipeline.model.autoencoder() {
        let autoencoder = pipeline.autoencoder(run).await?;
        let decoded = pipeline.decoded(&autoencoder, &space.unpack(&first, &autoencoder)?, None, run).await?;
        let [_, height, width, _] = decoded.picture.dims("preview")?;
        return shrink(&Image::from_unit(width, height, &decoded.values)?);
    }
    let colours = space.colours();
    let values = first.to_vec().await?;
    let pixels: Vec<f32> = values.chunks_exact(channels).flat_map(|latent| colours.of(latent)).collect();
    Ok(Image::from_unit(w, h, &pixels)?)
}

/// The picture with sides of at most [`LONGEST_SIDE`].
fn shrink(image: &Image) -> Result<Image> {
    let longest = image.width.max(image.height);
    if longest <= LONGEST_SIDE {
        return Ok(image.clone());
    }
    let scaled = |side: usize| (side * LONGEST_SIDE / longest).max(1);
    Ok(image.resized(scaled(image.width), scaled(image.height))?)
}
