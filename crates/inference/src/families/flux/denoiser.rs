//! A FLUX.1 transformer as a denoiser of latents, and its conditioning.

use crate::families::{Conditioning, Denoiser, TextStates};
use crate::models::flux::{Flux, FluxConditioning, FluxConfig};
use crate::weights::Weights;
use crate::{Device, Error, Result, Tensor};

/// The states of the text: `[n, t, d]`.
const TEXT: &str = "text";
/// The pooled embedding of the text: `[n, p]`.
const POOLED: &str = "pooled";
/// The guidance scale.
const GUIDANCE: &str = "guidance";

/// A token is a square of latents with this side.
pub(super) const PATCH: usize = 2;

/// The conditioning: T5's states and CLIP's pooled state.
pub(super) fn condition(clip: &TextStates, t5: &TextStates, guidance_scale: f64) -> Result<Conditioning> {
    let Some(pooled) = &clip.pooled else {
        return Err(Error::invalid("prompt", "the first text encoder of this model has no pooled embedding"));
    };
    let conditioning = Conditioning::default().with(TEXT, t5.hidden.clone()).with(POOLED, pooled.clone());
    Ok(conditioning.with_numbers(GUIDANCE, vec![guidance_scale]))
}

/// A FLUX.1 transformer with its weights.
pub(super) struct FluxDenoiser(Flux);

impl FluxDenoiser {
    /// Builds the network.
    pub(super) fn new(weights: &Weights, config: FluxConfig) -> Result<Self> {
        Ok(Self(Flux::new(weights, config)?))
    }
}

impl Denoiser for FluxDenoiser {
    /// The network's times are from 0 to 1. Dividing rounds as in diffusers.
    fn time(&self, timestep: f64, device: &Device) -> Result<Tensor> {
        Flux::timestep_features(f64::from(timestep as f32 / 1000.0), device)
    }

    fn predict(&self, latents: &Tensor, time: &Tensor, conditioning: &Conditioning) -> Result<Tensor> {
        let guidance = conditioning.numbers(GUIDANCE).and_then(|numbers| numbers.first()).copied().unwrap_or(0.0);
        let text = conditioning.tensor(TEXT)?;
        let pooled = conditioning.tensor(POOLED)?;
        let [_, h, w, _] = latents.dims("flux")?;
        let size = [h / PATCH, w / PATCH];
        let tokens = self.0.forward(&to_tokens(latents)?, size, time, FluxConditioning { text, pooled, guidance })?;
        from_tokens(&tokens, size)
    }
}

/// Reshapes squares of latents `[n, h, w, c]` into tokens `[n, h / 2 * w / 2, c * 4]`. The values of a token are in the
/// order channel, row, column.
fn to_tokens(latents: &Tensor) -> Result<Tensor> {
    let [n, height, width, c] = latents.dims("flux")?;
    if height % PATCH != 0 || width % PATCH != 0 {
        let expected = format!("[n, h, w, c] with height and width divisible by {PATCH}");
        return Err(Error::Shape { op: "flux", expected, got: latents.shape().to_vec() });
    }
    let h = height / PATCH;
    let w = width / PATCH;
    let squares = latents.reshape(&[n, h, PATCH, w, PATCH, c])?.permute(&[0, 1, 3, 5, 2, 4])?;
    squares.reshape(&[n, h * w, c * PATCH * PATCH])
}

/// The inverse, for `size` `[h, w]` in tokens.
fn from_tokens(tokens: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
    let [n, _, wide] = tokens.dims("flux")?;
    let c = wide / (PATCH * PATCH);
    let squares = tokens.reshape(&[n, h, w, c, PATCH, PATCH])?.permute(&[0, 1, 4, 2, 5, 3])?;
    squares.reshape(&[n, h * PATCH, w * PATCH, c])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_become_tokens_and_come_back() {
        let numbers: Vec<f32> = (0..2 * 4 * 6 * 3).map(|i| i as f32).collect();
        let latents = Tensor::from_vec(numbers.clone(), &[2, 4, 6, 3], &Device::Cpu).unwrap();
        let tokens = to_tokens(&latents).unwrap();
        assert_eq!(tokens.shape(), [2, 6, 12]);
        let values = pollster::block_on(tokens.to_vec()).unwrap();
        // The second token: columns 2 and 3 of the first two rows, one channel after the other.
        let at = |row: usize, column: usize, channel: usize| numbers[(row * 6 + column) * 3 + channel];
        assert_eq!(values[12..16], [at(0, 2, 0), at(0, 3, 0), at(1, 2, 0), at(1, 3, 0)]);
        assert_eq!(values[16], at(0, 2, 1));
        let back = from_tokens(&tokens, [2, 3]).unwrap();
        assert_eq!((back.shape(), pollster::block_on(back.to_vec()).unwrap()), (latents.shape(), numbers));
        assert!(to_tokens(&Tensor::zeros(&[1, 3, 2, 4], &Device::Cpu).unwrap()).is_err());
    }
}
