//! Sinusoidal embeddings of timesteps, sizes and guidance scales (section 3.5 of <https://arxiv.org/abs/1706.03762>,
//! `get_timestep_embedding` of diffusers) and the two layers that follow them.

use super::layers::Linear;
use crate::tensor::{Activation, Epilogue};
use crate::weights::Weights;
use crate::{Device, Result, Tensor};

/// How numbers become sines and cosines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sinusoid {
    /// Length of the embedding of one number.
    pub width: usize,
    /// Cosines before sines.
    pub flip_sin_to_cos: bool,
    /// Subtracted from the divisor of the exponent, the number of frequencies.
    pub freq_shift: f64,
}

impl Sinusoid {
    /// The embeddings of `values`, one after the other: `[values, width]`.
    pub fn embed(&self, values: &[f64], device: &Device) -> Result<Tensor> {
        let half = self.width / 2;
        let divisor = (half as f64 - self.freq_shift) as f32;
        let frequencies = (0..half).map(|i| exp(-LN_10000 * i as f32 / divisor)).collect::<Vec<_>>();
        waves(values.iter().map(|value| *value as f32), &frequencies, self.width, self.flip_sin_to_cos, device)
    }
}

/// The embeddings of guidance scales minus 1 for distilled models (`get_guidance_scale_embedding` of diffusers):
/// `[guidance, width]`. They are sinusoids too, but PyTorch rounds at other places when it computes the frequencies,
/// which is visible with angles in the thousands.
pub fn guidance_embedding(guidance: &[f64], width: usize, device: &Device) -> Result<Tensor> {
    let half = width / 2;
    let step = -(LN_10000 / (half as f32 - 1.0));
    let frequencies = (0..half).map(|i| exp(i as f32 * step)).collect::<Vec<_>>();
    waves(guidance.iter().map(|value| *value as f32 * 1000.0), &frequencies, width, false, device)
}

const LN_10000: f32 = 9.210_340_4;

/// The exponential of an `f32`, computed in `f64`, so that it is correctly rounded.
fn exp(x: f32) -> f32 {
    f64::from(x).exp() as f32
}

/// Sines and cosines of every value times every frequency, and zeros up to `width`.
fn waves(
    values: impl ExactSizeIterator<Item = f32>,
    frequencies: &[f32],
    width: usize,
    cosines_first: bool,
    device: &Device,
) -> Result<Tensor> {
    let count = values.len();
    let mut data = Vec::with_capacity(count * width);
    for (i, value) in values.enumerate() {
        // The angle is an f32 product as in PyTorch. Its sine is computed in f64, so that it is correctly rounded.
        let angles = || frequencies.iter().map(|frequency| f64::from(value * frequency));
        let sines = angles().map(|angle| angle.sin() as f32);
        let cosines = angles().map(|angle| angle.cos() as f32);
        if cosines_first {
            data.extend(cosines.chain(sines))
        } else {
            data.extend(sines.chain(cosines))
        }
        data.resize((i + 1) * width, 0.0);
    }
    Tensor::from_vec(data, &[count, width], device)
}

/// Two linear layers with an activation between (`TimestepEmbedding`), and an optional condition added before them.
pub struct TimestepEmbedding {
    condition: Option<Linear>,
    linear1: Linear,
    linear2: Linear,
    activation: Activation,
}

impl TimestepEmbedding {
    /// From `inputs` to `outputs`.
    pub fn new(weights: &Weights, inputs: usize, outputs: usize, activation: Activation) -> Result<Self> {
        Ok(Self {
            condition: None,
            linear1: Linear::new(&weights.pp("linear_1"), inputs, outputs)?,
            linear2: Linear::new(&weights.pp("linear_2"), outputs, outputs)?,
            activation,
        })
    }

    /// Adds a projection of a condition of `width` (`cond_proj`).
    pub fn with_condition(self, weights: &Weights, width: usize, inputs: usize) -> Result<Self> {
        Ok(Self { condition: Some(Linear::without_bias(&weights.pp("cond_proj"), width, inputs)?), ..self })
    }

    /// `[n, inputs]` to `[n, outputs]`; `condition` is `[n, width]`; models without a projection for it ignore it.
    pub fn forward(&self, x: &Tensor, condition: Option<&Tensor>) -> Result<Tensor> {
        let conditioned = match (&self.condition, condition) {
            (Some(layer), Some(condition)) => Some(layer.forward_with(condition, Epilogue::residual(x))?),
            _ => None,
        };
        let hidden = conditioned.as_ref().unwrap_or(x);
        self.linear2.forward(&self.linear1.forward_with(hidden, Epilogue::activation(self.activation))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embed(sinusoid: Sinusoid, value: f64) -> Vec<f32> {
        pollster::block_on(sinusoid.embed(&[value], &Device::Cpu).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn odd_widths_end_with_zero_and_flip_swaps_the_halves() {
        let plain = Sinusoid { width: 5, flip_sin_to_cos: false, freq_shift: 1.0 };
        let got = embed(plain, 2.0);
        // Frequencies 1 and 1/10000.
        let sine = 2.0_f32.sin();
        let cosine = 2.0_f32.cos();
        assert_eq!((got[0], got[2], got[4]), (sine, cosine, 0.0));
        assert!((got[1] - 2e-4).abs() < 1e-9 && got[3] > 0.999_999);
        let flipped = embed(Sinusoid { flip_sin_to_cos: true, ..plain }, 2.0);
        assert_eq!((flipped[0], flipped[2]), (cosine, sine));
    }

    #[test]
    fn matches_torch_at_a_fractional_timestep() {
        // torch: get_timestep_embedding(tensor([421.6]), 8, flip_sin_to_cos=True, downscale_freq_shift=0)
        let got = embed(Sinusoid { width: 8, flip_sin_to_cos: true, freq_shift: 0.0 }, 421.6);
        let expected =
            [0.810_031_5, -0.248_858, -0.476_253_4, 0.912_435_35, 0.586_386_4, -0.968_54, -0.879_308_1, 0.409_220_87];
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
        }
    }
}
