//! LCM: latent consistency models. Luo et al., <https://arxiv.org/abs/2310.04378>.

use super::super::prediction::{Level, mix};
use super::super::{SchedulerClass, SchedulerConfig, TimestepOptions};
use super::ddpm::descending;
use super::discrete::Discrete;
use super::{Call, Solver, Walk};
use crate::{Error, Result, Tensor};

pub(super) struct Lcm {
    discrete: Discrete,
    steps: usize,
    timestep_scaling: f64,
}

impl Lcm {
    pub(super) fn new(config: &SchedulerConfig, options: &TimestepOptions) -> Result<Self> {
        Ok(Self {
            discrete: Discrete::new(config, distilled_timesteps(config, options)?)?,
            steps: options.count(config)?,
            timestep_scaling: config.solver.timestep_scaling,
        })
    }
}

/// Timesteps chosen evenly from the schedule that a model was distilled on: LCM's and TCD's.
pub(super) fn distilled_timesteps(config: &SchedulerConfig, options: &TimestepOptions) -> Result<Vec<f64>> {
    let (steps, train) = (options.count(config)?, config.train_timesteps);
    let strength = options.strength.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&strength) {
        return Err(Error::invalid("strength", format!("{strength} is not within 0 to 1")));
    }
    if let Some(given) = &options.timesteps {
        let kept = (steps as f64 * strength) as usize;
        return Ok(descending(given)?.split_off(steps - kept.min(steps)));
    }
    let original = options.original_inference_steps.unwrap_or(config.solver.original_steps);
    if !(1..=train).contains(&original) {
        return Err(Error::invalid("original_inference_steps", format!("{original} is not within 1 to {train}")));
    }
    // TCD, told a length, walks the whole training schedule.
    let whole = config.class() == SchedulerClass::Tcd && options.original_inference_steps.is_some();
    let (length, stride) = if whole { (train, 1) } else { (original, train / original) };
    let length = (length as f64 * strength) as usize;
    if steps > length.min(original) {
        return Err(Error::invalid("steps", format!("{steps} is more than the {length} of the distilled schedule")));
    }
    let chosen = (0..steps).map(|i| length - 1 - (i as f64 * (length as f64 / steps as f64)).floor() as usize);
    Ok(chosen.map(|i| ((i + 1) * stride - 1) as f64).collect())
}

impl Solver for Lcm {
    fn walk(&self) -> &dyn Walk {
        &self.discrete
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        const SIGMA_DATA: f64 = 0.5;
        let timestep = self.discrete.timestep(index);
        // The boundary condition: at timestep 0 the model's answer is the sample itself.
        let scaled = timestep as f64 * self.timestep_scaling;
        let norm = scaled * scaled + SIGMA_DATA * SIGMA_DATA;
        let (skip, out) = (SIGMA_DATA * SIGMA_DATA / norm, scaled / norm.sqrt());
        let image = self.image(index, output, sample)?;
        let denoised = mix(&image, out as f32, &[(skip as f32, sample)])?;
        if index + 1 == self.steps {
            return Ok(denoised);
        }
        let last = index + 1 == self.discrete.schedule.timesteps.len();
        let next = if last { timestep } else { self.discrete.timestep(index + 1) };
        let Level { alpha, sigma } = self.discrete.level_at(next);
        mix(&denoised, alpha, &[(sigma, &noise.draw_like(sample)?)])
    }
}
