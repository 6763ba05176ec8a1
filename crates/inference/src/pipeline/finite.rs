//! Detects NaN and infinity in a network's result when it is read back. Half precision overflows above 65504. The
//! result is then computed again in `f32`, with a warning, instead of giving a black picture.
//!
//! Each picture starts in the device's type again, so that it has the same bytes alone and in a batch.

use super::load::Pipeline;
use super::run::Run;
use crate::models::vae::{Autoencoder, Encoded, Tiling};
use crate::{DType, Device, Error, Result, Tensor};

/// The names of a network and its result in messages.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    network: &'static str,
    result: &'static str,
}

pub(super) const DENOISER: Stage = Stage { network: "the denoiser", result: "the denoiser's prediction" };
const ENCODER: Stage = Stage { network: "the autoencoder", result: "the encoded picture" };
const DECODER: Stage = Stage { network: "the autoencoder", result: "the decoded picture" };

impl Stage {
    /// The device for computing a non-finite result again: the same one in `f32`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if the result was computed in `f32` already.
    pub(super) fn wider(self, device: &Device, run: &mut Run<'_>) -> Result<Device> {
        let Self { network, result } = self;
        if device.float() == DType::F32 {
            let hint = ", although it was computed in f32: the weights may be damaged";
            return Err(Error::NotFinite { what: result.into(), hint });
        }
        run.warn(format!(
            "{network} overflowed in half precision and is computed again in f32 (--dtype f32 always uses it)"
        ));
        Ok(device.in_f32())
    }
}

/// A decoded picture, on its device and in host memory.
pub(super) struct Decoded {
    /// `[1, h, w, 3]`, from 0 to 1 before clamping.
    pub(super) picture: Tensor,
    pub(super) values: Vec<f32>,
}

impl Pipeline {
    /// The device with the type in which the autoencoder starts.
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

    /// Encodes a picture `[1, h, w, 3]`, with values from -1 to 1, into host memory.
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
