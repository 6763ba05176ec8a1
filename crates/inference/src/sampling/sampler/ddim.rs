//! DDIM. Song et al., <https://arxiv.org/abs/2010.02502>.

use super::super::config::Spacing;
use super::super::definition::{
    BetaFields, Definition, EPSILON_V_OR_SAMPLE, Flows, Name, Prediction, Reads, Setup, Takes, ZeroSnr,
};
use super::super::prediction::{Level, mix};
use super::super::spacing::timesteps;
use super::discrete::Discrete;
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "DDIMScheduler",
    names: &[Name::new("ddim", "DDIM")],
    calls_per_step: 1,
    flows: Flows::Refuses,
    reads: Reads {
        betas: Some(BetaFields::PIXELS.with_zero_snr(ZeroSnr::Exact)),
        prediction: Prediction::Named(EPSILON_V_OR_SAMPLE),
        clip_sample: Some(true),
        thresholding: true,
        spacing: Some(Spacing::Leading),
        set_alpha_to_one: Some(true),
        ..Reads::NOTHING
    },
    takes: Takes::STEPS,
    check: |_| Ok(()),
    build: |setup| Ok(Box::new(Ddim::new(setup)?)),
};

struct Ddim {
    discrete: Discrete,
    /// Training timesteps per step.
    stride: i64,
    eta: f32,
    noise_from_image: bool,
}

impl Ddim {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        let Setup { config, step, steps, .. } = *setup;
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
        let image = self.discrete.image(index, output, sample)?;
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
