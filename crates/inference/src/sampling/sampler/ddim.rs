//! DDIM. Song et al., <https://arxiv.org/abs/2010.02502>.

use super::super::prediction::{Level, mix};
use super::super::spacing::timesteps;
use super::super::{SchedulerConfig, StepOptions, TimestepOptions};
use super::discrete::Discrete;
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) struct Ddim {
    discrete: Discrete,
    /// Training timesteps per step.
    stride: i64,
    eta: f32,
    noise_from_image: bool,
}

impl Ddim {
    pub(super) fn new(config: &SchedulerConfig, options: &TimestepOptions, step: &StepOptions) -> Result<Self> {
        let steps = options.count(config)?;
        Ok(Self {
            discrete: Discrete::new(config, timesteps(config, steps, true))?,
            stride: (config.train_timesteps / steps) as i64,
            eta: step.eta.unwrap_or(0.0) as f32,
            noise_from_image: step.use_clipped_model_output,
        })
    }
}

impl Solver for Ddim {
    fn walk(&self) -> &dyn Walk {
        &self.discrete
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let timestep = self.discrete.timestep(index);
        let [now, next] = [timestep, timestep - self.stride].map(|t| self.discrete.alpha_cumprod(t));
        let image = self.image(index, output, sample)?;
        let epsilon = if self.noise_from_image {
            let Level { alpha, sigma } = self.discrete.level(index);
            mix(sample, 1.0 / sigma, &[(-alpha / sigma, &image)])?
        } else {
            self.discrete.noise(index, output, sample)?
        };
        let variance = (1.0 - next) / (1.0 - now) * (1.0 - now / next);
        let deviation = self.eta * variance.sqrt();
        let direction = (1.0 - next - deviation * deviation).max(0.0).sqrt();
        let mean = mix(&image, next.sqrt(), &[(direction, &epsilon)])?;
        if self.eta == 0.0 {
            return Ok(mean);
        }
        mix(&mean, 1.0, &[(deviation, &noise.draw_like(sample)?)])
    }
}
