//! NaN and infinity in what a network computed, noticed where the result is read back anyway. A network that computes in half
//! precision overflows above 65504; its result is then computed again in `f32`, with a warning, instead of a black picture.
//!
//! Each picture begins in the device's type again, so that it has the same bytes alone and in a batch.

use super::load::Pipeline;
use super::run::Run;
use crate::models::vae::{Autoencoder, Encoded, Tiling};
use crate::{DType, Device, Error, Result, Tensor};

/// A network and its result, as messages call them.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    network: &'static str,
    result: &'static str,
}

pub(super) const DENOISER: Stage = Stage { network: "the denoiser", result: "the denoiser's prediction" };
const ENCODER: Stage = Stage { network: "the autoencoder", result: "the encoded picture" };
const DECODER: Stage = Stage { network: "the autoencoder", result: "the decoded picture" };

impl Stage {
    /// The device on which a result that was not finite is computed again: the same in `f32`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if it was computed in `f32` already.
    pub(super) fn wider(self, device: &Device, run: &mut Run<'_>) -> Result<Device> {
        let Self { network, result } = self;
        if device.float() == DType::F32 {
            let hint = ", although it was computed in f32: the weights may be damaged";
            return Err(Error::NotFinite { what: result.into(), hint });
        }
        run.warn(format!("{network} overflowed in half precision and computes again in f32 (always: --dtype f32)"));
        Ok(device.in_f32())
    }
}

/// A decoded picture on its device, and its numbers.
pub(super) struct Decoded {
    /// `[1, h, w, 3]`, 0..1 where it is not to be clamped.
    pub(super) picture: Tensor,
    pub(super) values: Vec<f32>,
}

impl Pipeline {
    /// The device as the autoencoder computes on it first.
    fn autoencoder_device(&self) -> Device {
        let device = &self.options.device;
        if self.model.autoencoder().needs_f32() { device.in_f32() } else { device.clone() }
    }

    /// Decodes one picture of latents `[1, h, w, c]`.
    pub(super) async fn decoded(
        &self,
        autoencoder: &Autoencoder,
        latents: &Tensor,
        tiling: Option<Tiling>,
        run: &mut Run<'_>,
    ) -> Result<Decoded> {
        let mut device = self.autoencoder_device();
        loop {
            let latents = latents.cast(device.float())?.to_device(&device)?;
            let decoded = device.enter(|| autoencoder.decode(&latents, tiling))?;
            let picture = decoded.affine(0.5, 0.5)?;
            let values = picture.to_vec().await?;
            if values.iter().all(|x| x.is_finite()) {
                return Ok(Decoded { picture, values });
            }
            device = DECODER.wider(&device, run)?;
        }
    }

    /// Encodes a picture `[1, h, w, 3]` in -1..1, into host memory.
    pub(super) async fn encoded(
        &self,
        autoencoder: &Autoencoder,
        picture: &Tensor,
        tiling: Option<Tiling>,
        run: &mut Run<'_>,
    ) -> Result<Encoded> {
        let mut device = self.autoencoder_device();
        loop {
            let picture = picture.cast(device.float())?.to_device(&device)?;
            let encoded = autoencoder.encode(&picture, tiling)?.to_host().await?;
            let spread = encoded.log_variance.as_ref().map_or(Ok(true), Tensor::is_finite)?;
            if spread && encoded.mean.is_finite()? {
                return Ok(encoded);
            }
            device = ENCODER.wider(&device, run)?;
        }
    }
}
