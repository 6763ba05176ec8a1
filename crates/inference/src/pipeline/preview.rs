//! Cheap previews of latents: decoded by a tiny autoencoder if the model has one, otherwise by a linear map to colours.

use super::load::Pipeline;
use super::run::Run;
use crate::models::vae::AutoencoderConfig;
use crate::{Result, Tensor};
use easel_picture::Image;

/// The most pixels on the longer side of a preview that an autoencoder decoded.
const LONGEST_SIDE: usize = 256;

/// A small picture of the first of `latents` `[n, h, w, c]`, in the denoiser's scale.
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

/// Shrinks the picture to sides of at most [`LONGEST_SIDE`].
fn shrink(image: &Image) -> Result<Image> {
    let longest = image.width.max(image.height);
    if longest <= LONGEST_SIDE {
        return Ok(image.clone());
    }
    let scaled = |side: usize| (side * LONGEST_SIDE / longest).max(1);
    Ok(image.resized(scaled(image.width), scaled(image.height))?)
}
