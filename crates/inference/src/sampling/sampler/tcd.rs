//! TCD: trajectory consistency distillation. Zheng et al., <https://arxiv.org/abs/2402.19159>.

use super::super::prediction::mix;
use super::super::{SchedulerConfig, StepOptions, TimestepOptions};
use super::discrete::Discrete;
use super::lcm::distilled_timesteps;
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) struct Tcd {
    discrete: Discrete,
    steps: usize,
    eta: f64,
}

impl Tcd {
    pub(super) fn new(config: &SchedulerConfig, options: &TimestepOptions, step: &StepOptions) -> Result<Self> {
        Ok(Self {
            discrete: Discrete::new(config, distilled_timesteps(config, options)?)?,
            steps: options.count(config)?,
            eta: step.eta.unwrap_or(0.3),
        })
    }
}

impl Solver for Tcd {
    fn walk(&self) -> &dyn Walk {
        &self.discrete
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let next_timestep = self.discrete.timestep(index + 1).max(0);
        // The step overshoots to timestep s and comes back with new noise.
        let overshoot = ((1.0 - self.eta) as f32 * next_timestep as f32).floor() as i64;
        let level = self.discrete.level_at(overshoot);
        let image = self.image(index, output, sample)?;
        let epsilon = self.discrete.noise(index, output, sample)?;
        let noised = mix(&image, level.alpha, &[(level.sigma, &epsilon)])?;
        if self.eta == 0.0 || index + 1 == self.steps {
            return Ok(noised);
        }
        let ratio = self.discrete.alpha_cumprod(next_timestep) / self.discrete.alpha_cumprod(overshoot);
        mix(&noised, ratio.sqrt(), &[((1.0 - ratio).sqrt(), &noise.draw_like(sample)?)])
    }
}
