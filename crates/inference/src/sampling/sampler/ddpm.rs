//! DDPM, the ancestral sampler. Ho et al., <https://arxiv.org/abs/2006.11239>, equation 7.

use super::super::SchedulerConfig;
use super::super::config::{BetaSchedule, Spacing};
use super::super::definition::{
    BetaFields, Definition, EPSILON_V_OR_SAMPLE, Flows, Name, Prediction, Reads, Setup, Takes, ZeroSnr,
};
use super::super::prediction::mix;
use super::super::spacing::timesteps;
use super::discrete::Discrete;
use super::{Call, Solver, Walk};
use crate::{Error, Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "DDPMScheduler",
    names: &[Name::new("ddpm", "DDPM")],
    calls_per_step: 1,
    flows: Flows::Refuses,
    reads: Reads {
        betas: Some(BetaFields {
            more: &[("sigmoid", BetaSchedule::Sigmoid), ("laplace", BetaSchedule::Laplace)],
            ..BetaFields::PIXELS.with_zero_snr(ZeroSnr::Exact)
        }),
        prediction: Prediction::Named(EPSILON_V_OR_SAMPLE),
        clip_sample: Some(true),
        thresholding: true,
        spacing: Some(Spacing::Leading),
        ..Reads::NOTHING
    },
    takes: Takes::TIMESTEPS,
    check: |config| Variance::read(config).map(drop),
    build: |setup| Ok(Box::new(Ddpm::new(setup)?)),
};

/// The variance of the noise: the field `variance_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variance {
    Small,
    SmallLog,
    Large,
}

impl Variance {
    fn read(config: &SchedulerConfig) -> Result<Self> {
        let accepted =
            [("fixed_small", Self::Small), ("fixed_small_log", Self::SmallLog), ("fixed_large", Self::Large)];
        config.fields().word("variance_type", Self::Small, &accepted)
    }
}

struct Ddpm {
    discrete: Discrete,
    variance: Variance,
}

impl Ddpm {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        let visited = match &setup.timesteps.timesteps {
            Some(list) => descending(list)?,
            None => timesteps(setup.config, setup.steps, true),
        };
        Ok(Self { discrete: Discrete::new(setup.config, visited)?, variance: Variance::read(setup.config)? })
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
        let image = self.discrete.image(index, output, sample)?;
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
