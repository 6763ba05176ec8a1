//! Autoencoders between pictures and latents, with one type for all kinds.

mod kl;
mod tiling;
mod tiny;

pub use kl::{AutoencoderKl, AutoencoderKlConfig};
pub use tiling::Tiling;
pub use tiny::{AutoencoderTiny, AutoencoderTinyConfig};

use crate::fields::Fields;
use crate::weights::Weights;
use crate::{Result, Tensor};
use serde_json::Value;

/// The configuration of any autoencoder, from its `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub enum AutoencoderConfig {
    /// The full autoencoder.
    Kl(AutoencoderKlConfig),
    /// The distilled autoencoder (TAESD).
    Tiny(AutoencoderTinyConfig),
}

/// Any autoencoder. Pictures are `[n, h, w, 3]` in -1..1, latents `[n, h / f, w / f, c]` for a factor `f`, usually 8.
pub struct Autoencoder {
    config: AutoencoderConfig,
    network: Network,
}

enum Network {
    Kl(Box<AutoencoderKl>),
    Tiny(Box<AutoencoderTiny>),
}

/// The output of an encoder: a Gaussian or a point in latent space.
pub struct Encoded {
    /// The mean of the Gaussian, or the point: `[n, h, w, c]`.
    pub mean: Tensor,
    /// The logarithm of the variance, limited to -30..20. `None` means a point.
    pub log_variance: Option<Tensor>,
}

impl Encoded {
    /// Copies it to host memory.
    pub async fn to_host(&self) -> Result<Self> {
        let log_variance = match &self.log_variance {
            Some(log_variance) => Some(log_variance.to_host().await?),
            None => None,
        };
        Ok(Self { mean: self.mean.to_host().await?, log_variance })
    }

    /// Repeats it for `n` pictures.
    pub fn repeat(&self, n: usize) -> Result<Self> {
        let log_variance = self.log_variance.as_ref().map(|log_variance| log_variance.repeat(n)).transpose()?;
        Ok(Self { mean: self.mean.repeat(n)?, log_variance })
    }

    /// A sample with `noise` `[n, h, w, c]`. A point is its own sample.
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        match &self.log_variance {
            Some(log_variance) => self.mean.add(&log_variance.scale(0.5)?.exp()?.mul(noise)?),
            None => Ok(self.mean.clone()),
        }
    }
}

impl AutoencoderConfig {
    /// Reads a `config.json` according to its `_class_name`, by default as an `AutoencoderKL`.
    pub fn from_json(file: &str, json: &Value) -> Result<Self> {
        let fields = Fields::new(file, json)?;
        match fields.text("_class_name")? {
            None | Some("AutoencoderKL") => Ok(Self::Kl(AutoencoderKlConfig::from_json(file, json)?)),
            Some("AutoencoderTiny") => Ok(Self::Tiny(AutoencoderTinyConfig::from_json(file, json)?)),
            Some(other) => {
                let reason = format!("{other:?} is not supported, only AutoencoderKL and AutoencoderTiny");
                Err(fields.error("_class_name", reason))
            }
        }
    }

    /// Whether half precision overflows in it according to its configuration, as in SDXL's.
    pub fn needs_f32(&self) -> bool {
        match self {
            Self::Kl(config) => config.force_upcast,
            Self::Tiny(_) => false,
        }
    }

    /// Channels of the latents.
    pub fn latent_channels(&self) -> usize {
        match self {
            Self::Kl(config) => config.latent_channels,
            Self::Tiny(config) => config.latent_channels,
        }
    }

    /// Pixels per latent, in each direction.
    pub fn factor(&self) -> usize {
        match self {
            Self::Kl(config) => config.factor(),
            Self::Tiny(config) => config.factor(),
        }
    }

    /// The tiling that diffusers uses for this autoencoder.
    pub fn tiling(&self) -> Tiling {
        match self {
            Self::Kl(config) => Tiling::new(config.sample_size / config.factor()),
            Self::Tiny(_) => Tiling::new(64),
        }
    }

    /// Scales the encoder's output for the denoiser: `(latents - shift) * scale`.
    pub fn scale(&self, latents: &Tensor) -> Result<Tensor> {
        let (scale, shift) = self.scale_and_shift();
        latents.affine(scale, -shift * scale)
    }

    /// Scales the denoiser's latents for the decoder: `latents / scale + shift`.
    pub fn unscale(&self, latents: &Tensor) -> Result<Tensor> {
        let (scale, shift) = self.scale_and_shift();
        latents.affine(1.0 / scale, shift)
    }

    fn scale_and_shift(&self) -> (f64, f64) {
        match self {
            Self::Kl(config) => (config.scaling_factor, config.shift_factor),
            Self::Tiny(config) => (config.scaling_factor, config.shift_factor),
        }
    }
}

impl Autoencoder {
    /// Builds the network that the `config.json` describes.
    pub fn new(weights: &Weights, file: &str, json: &Value) -> Result<Self> {
        let config = AutoencoderConfig::from_json(file, json)?;
        let network = match config.clone() {
            AutoencoderConfig::Kl(config) => Network::Kl(Box::new(AutoencoderKl::new(weights, config)?)),
            AutoencoderConfig::Tiny(config) => Network::Tiny(Box::new(AutoencoderTiny::new(weights, config)?)),
        };
        Ok(Self { config, network })
    }

    /// The configuration that the autoencoder was built from.
    pub fn config(&self) -> &AutoencoderConfig {
        &self.config
    }

    /// Encodes a picture. With `tiling`, it is encoded in tiles if it is larger than one.
    pub fn encode(&self, image: &Tensor, tiling: Option<Tiling>) -> Result<Encoded> {
        let encode = |image: &Tensor| match &self.network {
            Network::Kl(vae) => vae.encode_moments(image),
            Network::Tiny(vae) => vae.encode(image),
        };
        let encoded = match tiling {
            Some(tiling) => tiling.encode(image, self.config.factor(), encode)?,
            None => encode(image)?,
        };
        match &self.network {
            Network::Kl(vae) => vae.posterior(&encoded),
            Network::Tiny(_) => Ok(Encoded { mean: encoded, log_variance: None }),
        }
    }

    /// Decodes latents that were [unscaled](AutoencoderConfig::unscale); with `tiling`, in tiles if they are larger
    /// than one.
    pub fn decode(&self, latents: &Tensor, tiling: Option<Tiling>) -> Result<Tensor> {
        let decode = |latents: &Tensor| match &self.network {
            Network::Kl(vae) => vae.decode(latents),
            Network::Tiny(vae) => vae.decode(latents),
        };
        match tiling {
            Some(tiling) => tiling.decode(latents, self.config.factor(), decode),
            None => decode(latents),
        }
    }
}

/// Reads `scaling_factor` and `shift_factor`.
fn scale_and_shift(fields: &Fields<'_>, default_scale: f64) -> Result<(f64, f64)> {
    let scale = fields.number("scaling_factor", default_scale)?;
    if scale == 0.0 {
        return Err(fields.error("scaling_factor", "must not be 0"));
    }
    Ok((scale, fields.number("shift_factor", 0.0)?))
}
