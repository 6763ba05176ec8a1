//! The autoencoder's latents, scaled as in its configuration and not packed.

use crate::families::{Colours, Latents, ModelFiles, VAE};
use crate::models::vae::{Autoencoder, AutoencoderConfig};
use crate::{Result, Tensor};

/// The latents of one autoencoder.
pub(in crate::families) struct ScaledLatents {
    autoencoder: AutoencoderConfig,
    colours: &'static Colours,
}

impl ScaledLatents {
    /// Reads the autoencoder's configuration.
    pub(in crate::families) fn read(files: &ModelFiles, colours: &'static Colours) -> Result<Self> {
        let vae = files.component(VAE)?;
        Ok(Self { autoencoder: AutoencoderConfig::from_json(&vae.config_file, &vae.config)?, colours })
    }

    /// The configuration of the autoencoder.
    pub(in crate::families) fn autoencoder(&self) -> &AutoencoderConfig {
        &self.autoencoder
    }
}

impl Latents for ScaledLatents {
    fn shape(&self, size: [usize; 2]) -> [usize; 3] {
        let [height, width] = size.map(|pixels| pixels / self.autoencoder.factor());
        [height, width, self.autoencoder.latent_channels()]
    }

    fn pack(&self, encoded: &Tensor, autoencoder: &Autoencoder) -> Result<Tensor> {
        autoencoder.config().scale(encoded)
    }

    fn unpack(&self, latents: &Tensor, autoencoder: &Autoencoder) -> Result<Tensor> {
        autoencoder.config().unscale(latents)
    }

    fn colours(&self) -> &'static Colours {
        self.colours
    }
}
