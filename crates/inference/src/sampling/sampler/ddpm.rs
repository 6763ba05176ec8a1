//! DDPM, the ancestral sampler. Ho et al., <https://arxiv.org/abs/2006.11239>, equation 7.

use super::super::config::Variance;
use super::super::prediction::mix;
use super::super::spacing::timesteps;
use super::super::{SchedulerConfig, TimestepOptions};
use super::discrete::Discrete;
use super::{Call, Solver, Walk};
use crate::{Error, Result, Tensor};

pub(super) struct Ddpm {
    discrete: Discrete,
    variance: Variance,
}

impl Ddpm {
    pub(super) fn new(config: &SchedulerConfig, options: &TimestepOptions) -> Result<Self> {
        let steps = options.count(config)?;
        let visited = match &options.timesteps {
            Some(given) => descending(given)?,
            None => timesteps(config, steps, true),
        };
        Ok(Self { discrete: Discrete::new(config, visited)?, variance: config.solver.variance })
    }
}

/// Whole timesteps that go down, or an error.
pub(super) fn descending(timesteps: &[f64]) -> Result<Vec<f64>> {
    let whole: Vec<f64> = timesteps.iter().map(|t| t.trunc()).collect();
    if whole.windows(2).all(|pair| pair[1] < pair[0]) {
        return Ok(whole);
    }
    Err(Error::invalid("timesteps", "expected descending numbers"))
}

impl Solver for Ddpm {
    fn walk(&self) -> &dyn Walk {
        &self.discrete
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let [timestep, next_timestep] = [index, index + 1].map(|index| self.discrete.timestep(index));
        let [now, next] = [timestep, next_timestep].map(|t| self.discrete.alpha_cumprod(t));
        let alpha = now / next;
        let beta = 1.0 - alpha;
        let image = self.image(index, output, sample)?;
        let to_image = next.sqrt() * beta / (1.0 - now);
        let to_sample = alpha.sqrt() * (1.0 - next) / (1.0 - now);
        let mean = mix(&image, to_image, &[(to_sample, sample)])?;
        if timestep == 0 {
            return Ok(mean);
        }
        let small = ((1.0 - next) / (1.0 - now) * beta).max(1e-20);
        let deviation = match self.variance {
            Variance::Small => small.sqrt(),
            Variance::SmallLog => (0.5 * small.ln()).exp(),
            Variance::Large => beta.sqrt(),
        };
        mix(&mean, 1.0, &[(deviation, &noise.draw_like(sample)?)])
    }
}
