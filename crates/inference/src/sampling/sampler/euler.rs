//! Euler's method, with optional churn. Karras et al., <https://arxiv.org/abs/2206.00364>, algorithm 2.

use super::super::prediction::{PredictionType, mix};
use super::super::{SchedulerConfig, StepOptions, TimestepOptions};
use super::exploding::{Exploding, advance, derivative};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) struct Euler {
    exploding: Exploding,
    options: StepOptions,
    velocity: bool,
}

impl Euler {
    pub(super) fn new(config: &SchedulerConfig, options: &TimestepOptions, step: &StepOptions) -> Result<Self> {
        let velocity = config.prediction == PredictionType::V;
        Ok(Self { exploding: Exploding::new(config, options)?, options: step.clone(), velocity })
    }

    /// How much sigma grows before the step, as a share.
    fn churn(&self, sigma: f32) -> f64 {
        const MOST: f64 = std::f64::consts::SQRT_2 - 1.0;
        let nodes = self.exploding.schedule.sigmas.len().saturating_sub(1).max(1) as f64;
        let within = (self.options.s_tmin..=self.options.s_tmax).contains(&f64::from(sigma));
        if within { (self.options.s_churn / nodes).min(MOST) } else { 0.0 }
    }
}

impl Solver for Euler {
    fn walk(&self) -> &dyn Walk {
        &self.exploding
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let [sigma, next] = [index, index + 1].map(|index| self.exploding.sigma(index));
        let churn = self.churn(sigma);
        let churned = sigma * (churn + 1.0) as f32;
        let mut sample = sample.clone();
        if churn > 0.0 {
            let deviation = self.options.s_noise as f32 * (churned * churned - sigma * sigma).sqrt();
            sample = mix(&sample, 1.0, &[(deviation, &noise.draw_like(&sample)?)])?;
        }
        // diffusers reads a velocity at the sigma before the churn.
        let image = self.exploding.image_at(if self.velocity { sigma } else { churned }, output, &sample)?;
        advance(&sample, &derivative(&sample, &image, churned)?, next - churned)
    }
}
