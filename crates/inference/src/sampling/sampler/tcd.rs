//! TCD: trajectory consistency distillation. Zheng et al., <https://arxiv.org/abs/2402.19159>.

use super::super::definition::{Definition, EPSILON_V_OR_SAMPLE, Flows, Name, Prediction, Reads, Setup, Takes};
use super::super::prediction::mix;
use super::discrete::Discrete;
use super::lcm::{DISTILLED_BETAS, OriginalSteps, distilled_timesteps, original_steps};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "TCDScheduler",
    names: &[Name::new("tcd", "TCD")],
    calls_per_step: 1,
    flows: Flows::Refuses,
    reads: Reads {
        betas: Some(DISTILLED_BETAS),
        prediction: Prediction::Named(EPSILON_V_OR_SAMPLE),
        set_alpha_to_one: Some(true),
        ..Reads::NOTHING
    },
    takes: Takes::DISTILLED,
    check: |config| original_steps(config).map(drop),
    build: |setup| Ok(Box::new(Tcd::new(setup)?)),
};

struct Tcd {
    discrete: Discrete,
    steps: usize,
    eta: f64,
}

impl Tcd {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        Ok(Self {
            discrete: Discrete::new(setup.config, distilled_timesteps(setup, OriginalSteps::MaxSteps)?)?,
            steps: setup.steps,
            eta: setup.step.eta.unwrap_or(0.3),
        })
    }
}

impl Solver for Tcd {
    fn walk(&self) -> &dyn Walk {
        &self.discrete
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let next_timestep = self.discrete.timestep(index + 1).max(0);
        // The step overshoots to timestep s and comes back by adding noise.
        let overshoot = ((1.0 - self.eta) as f32 * next_timestep as f32).floor() as i64;
        let level = self.discrete.level_at(overshoot);
        let image = self.discrete.image(index, output, sample)?;
        let epsilon = self.discrete.noise(index, output, sample)?;
        let noised = mix(&image, level.alpha, &[(level.sigma, &epsilon)])?;
        if self.eta == 0.0 || index + 1 == self.steps {
            return Ok(noised);
        }
        let ratio = self.discrete.alpha_cumprod(next_timestep) / self.discrete.alpha_cumprod(overshoot);
        mix(&noised, ratio.sqrt(), &[((1.0 - ratio).sqrt(), &noise.draw_like(sample)?)])
    }
}
