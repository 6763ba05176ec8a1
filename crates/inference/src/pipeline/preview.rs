//! What latents look like, cheaply: the tiny autoencoder where there is one, else a linear map to colours.

use super::load::Pipeline;
use super::run::Run;
use crate::models::vae::AutoencoderConfig;
use crate::{Result, Tensor};
use easel_picture::Image;

/// The longer side of a preview is at most this many pixels when an autoencoder decodes it.
const LONGEST_SIDE: usize = 256;

/// Red, green and blue per latent channel, and what is added: a least-squares fit of decoded pictures to their latents.
/// Figures of ComfyUI's `latent_formats.py`.
struct Colours {
    factors: [[f32; 3]; 4],
    bias: [f32; 3],
}

const STABLE_DIFFUSION: Colours = Colours {
    factors: [
        [0.3512, 0.2297, 0.3227],
        [0.3250, 0.4974, 0.2350],
        [-0.2829, 0.1762, 0.2721],
        [-0.2120, -0.2616, -0.7177],
    ],
    bias: [0.0; 3],
};

const STABLE_DIFFUSION_XL: Colours = Colours {
    factors: [
        [0.3651, 0.4232, 0.4341],
        [-0.2533, -0.0042, 0.1068],
        [0.1076, 0.1111, -0.0362],
        [-0.3165, -0.2492, -0.2188],
    ],
    bias: [0.1084, -0.0175, -0.0011],
};

/// A small picture of the first of `latents` `[n, h, w, c]`, which are as the denoiser sees them.
pub(super) async fn preview(latents: &Tensor, pipeline: &Pipeline, run: &mut Run<'_>) -> Result<Image> {
    let first = latents.narrow(0, 0, 1)?;
    let [_, h, w, channels] = first.dims("preview")?;
    if let AutoencoderConfig::Tiny(config) = &pipeline.vae {
        let first = pipeline.to_autoencoder(&pipeline.vae.unscale(&first)?)?;
        let autoencoder = pipeline.autoencoder(run).await?;
        let decoded = pipeline.options.device.enter(|| autoencoder.decode(&first, None))?.affine(0.5, 0.5)?;
        let factor = config.factor();
        let image = Image::from_unit(w * factor, h * factor, &decoded.to_vec().await?)?;
        return shrink(&image);
    }
    let colours = if pipeline.is_xl() { STABLE_DIFFUSION_XL } else { STABLE_DIFFUSION };
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

impl Colours {
    /// The colour of one latent, 0 to 1.
    fn of(&self, latent: &[f32]) -> [f32; 3] {
        let mut colour = self.bias;
        for (value, factors) in latent.iter().zip(&self.factors) {
            for (sum, factor) in colour.iter_mut().zip(factors) {
                *sum += value * factor;
            }
        }
        colour.map(|x| (x + 1.0) / 2.0)
    }
}
