//! Euler's method with ancestral noise: every step goes further down and comes back up with new noise.
//!
//! From k-diffusion, <https://github.com/crowsonkb/k-diffusion>.

use super::super::prediction::{Level, mix};
use super::super::schedule::Schedule;
use super::super::{SchedulerConfig, TimestepOptions};
use super::exploding::{Exploding, advance, ancestral, derivative, unit_scale};
use super::{Call, Solver};
use crate::{Result, Tensor};

pub(super) struct EulerAncestral {
    exploding: Exploding,
}

impl EulerAncestral {
    pub(super) fn new(config: &SchedulerConfig, options: &TimestepOptions) -> Result<Self> {
        Ok(Self { exploding: Exploding::new(config, options)? })
    }
}

impl Solver for EulerAncestral {
    fn schedule(&self) -> &Schedule {
        &self.exploding.schedule
    }

    fn level(&self, index: usize) -> Level {
        self.exploding.level(index)
    }

    fn init_noise_sigma(&self) -> f32 {
        self.exploding.init_noise_sigma()
    }

    fn input_scale(&self, index: usize) -> f32 {
        unit_scale(self.exploding.sigma(index))
    }

    fn image(&self, index: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        self.exploding.image(output, sample, self.exploding.sigma(index))
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let [sigma, next] = [index, index + 1].map(|index| self.exploding.sigma(index));
        let (up, down) = ancestral(sigma, next);
        let image = self.image(index, output, sample)?;
        let mean = advance(sample, &derivative(sample, &image, sigma)?, down - sigma)?;
        // The last step draws too, for a weight of zero: the generator goes on as diffusers' does.
        mix(&mean, 1.0, &[(up, &noise.draw_like(sample)?)])
    }
}
