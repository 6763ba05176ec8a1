//! Shared by the k-diffusion solvers: samples that are an image plus `sigma` times noise, unscaled.

use super::super::betas::Training;
use super::super::config::Spacing;
use super::super::definition::Setup;
use super::super::prediction::{Clipping, Level, PredictionType, mix};
use super::super::schedule::{self, ExplodingRules, Schedule};
use super::Walk;
use crate::{Result, Tensor};

/// A walk over sigmas.
pub(super) struct Exploding {
    pub(super) schedule: Schedule,
    pub(super) log_sigmas: Vec<f32>,
    prediction: PredictionType,
    clipping: Clipping,
    /// Whether the run starts with a share of the image instead of noise alone.
    starts_below_max: bool,
}

impl Exploding {
    pub(super) fn new(setup: &Setup<'_>, rules: &ExplodingRules) -> Result<Self> {
        let config = setup.config;
        let training = Training::new(config);
        Ok(Self {
            schedule: schedule::exploding(setup, rules, &training)?,
            log_sigmas: super::super::sigmas::logarithms(&training.sigmas()),
            prediction: config.prediction,
            clipping: config.clipping,
            starts_below_max: config.spacing == Spacing::Leading,
        })
    }

    pub(super) fn sigma(&self, index: usize) -> f32 {
        self.schedule.sigmas.get(index).copied().unwrap_or(0.0)
    }

    /// The predicted, clipped image in the sample of call `index`.
    pub(super) fn image(&self, index: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        self.image_at(self.sigma(index), output, sample)
    }

    /// The predicted, clipped image in a sample with this sigma.
    pub(super) fn image_at(&self, sigma: f32, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        self.clipping.apply(self.prediction.image_exploding(output, sample, sigma)?)
    }
}

impl Walk for Exploding {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn level(&self, index: usize) -> Level {
        Level { alpha: 1.0, sigma: self.sigma(index) }
    }

    fn init_noise_sigma(&self) -> f32 {
        let max = self.schedule.sigmas.iter().copied().fold(0.0, f32::max);
        if self.starts_below_max { (max * max + 1.0).sqrt() } else { max }
    }

    fn input_scale(&self, index: usize) -> f32 {
        unit_scale(self.sigma(index))
    }
}

/// The factor that scales a sample of this sigma to unit variance.
pub(super) fn unit_scale(sigma: f32) -> f32 {
    1.0 / (sigma * sigma + 1.0).sqrt()
}

/// The direction from the image to the sample, per unit of sigma.
pub(super) fn derivative(sample: &Tensor, image: &Tensor, sigma: f32) -> Result<Tensor> {
    sample.sub(image)?.scale(f64::from(1.0 / sigma))
}

/// One step along a derivative.
pub(super) fn advance(sample: &Tensor, derivative: &Tensor, by: f32) -> Result<Tensor> {
    mix(sample, 1.0, &[(by, derivative)])
}

/// An ancestral step to `to` as `(up, down)`: the standard deviation of the new noise, and the sigma before it is
/// added.
///
/// From very large sigmas the difference under the second root cancels; where rounding makes it negative (and
/// diffusers' result NaN), the same is computed without it.
pub(super) fn ancestral(from: f32, to: f32) -> (f32, f32) {
    let from2 = from * from;
    let to2 = to * to;
    let up = (to2 * (from2 - to2) / from2).sqrt();
    let rest = to2 - up * up;
    (up, if rest < 0.0 { to2 / from } else { rest.sqrt() })
}
