//! LCM: latent consistency models. Luo et al., <https://arxiv.org/abs/2310.04378>.

use super::super::SchedulerConfig;
use super::super::config::BetaSchedule;
use super::super::definition::{
    BetaFields, Definition, EPSILON_V_OR_SAMPLE, Flows, Name, Prediction, Reads, Setup, Takes, ZeroSnr,
};
use super::super::prediction::{Level, mix};
use super::ddpm::descending;
use super::discrete::Discrete;
use super::{Call, SchedulerClass, Solver, Walk};
use crate::{Error, Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "LCMScheduler",
    names: &[Name::new("lcm", "LCM")],
    calls_per_step: 1,
    flows: Flows::As(SchedulerClass::FlowMatchLcm),
    reads: Reads {
        betas: Some(DISTILLED_BETAS),
        prediction: Prediction::Named(EPSILON_V_OR_SAMPLE),
        clip_sample: Some(false),
        thresholding: true,
        set_alpha_to_one: Some(true),
        ..Reads::NOTHING
    },
    takes: Takes::DISTILLED,
    check: |config| {
        timestep_scaling(config)?;
        original_steps(config).map(drop)
    },
    build: |setup| Ok(Box::new(Lcm::new(setup)?)),
};

/// The training schedule of LCM and TCD.
pub(super) const DISTILLED_BETAS: BetaFields =
    BetaFields { schedule: BetaSchedule::ScaledLinear, ..BetaFields::LATENTS.with_zero_snr(ZeroSnr::Exact) };

/// The factor on timesteps in the boundary condition.
fn timestep_scaling(config: &SchedulerConfig) -> Result<f64> {
    config.fields().number("timestep_scaling", 10.0)
}

/// The length of the schedule that a model was distilled on.
pub(super) fn original_steps(config: &SchedulerConfig) -> Result<usize> {
    config.fields().count("original_inference_steps", 50, 1..=1_000_000)
}

struct Lcm {
    discrete: Discrete,
    steps: usize,
    timestep_scaling: f64,
}

impl Lcm {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        Ok(Self {
            discrete: Discrete::new(setup.config, distilled_timesteps(setup, OriginalSteps::ScheduleLength)?)?,
            steps: setup.steps,
            timestep_scaling: timestep_scaling(setup.config)?,
        })
    }
}

/// The meaning of a run's `original_inference_steps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OriginalSteps {
    /// The length of the distilled schedule.
    ScheduleLength,
    /// The most steps, chosen from the whole training schedule.
    MaxSteps,
}

/// Evenly chosen timesteps of the schedule that a model was distilled on, for LCM and TCD.
pub(super) fn distilled_timesteps(setup: &Setup<'_>, meaning: OriginalSteps) -> Result<Vec<f64>> {
    let Setup { config, timesteps: options, steps, .. } = *setup;
    let train = config.train_timesteps;
    let strength = options.strength.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&strength) {
        return Err(Error::invalid("strength", format!("must be between 0 and 1, got {strength}")));
    }
    if let Some(list) = &options.timesteps {
        let kept = (steps as f64 * strength) as usize;
        return Ok(descending(list)?.split_off(steps - kept.min(steps)));
    }
    let original = options.original_inference_steps.map_or_else(|| original_steps(config), Ok)?;
    if !(1..=train).contains(&original) {
        let reason = format!("must be between 1 and {train}, got {original}");
        return Err(Error::invalid("original_inference_steps", reason));
    }
    let whole = meaning == OriginalSteps::MaxSteps && options.original_inference_steps.is_some();
    let (length, stride) = if whole { (train, 1) } else { (original, train / original) };
    let length = (length as f64 * strength) as usize;
    if steps > length.min(original) {
        let most = length.min(original);
        return Err(Error::invalid(
            "steps",
            format!("must be at most {most}, the length of the distilled schedule, got {steps}"),
        ));
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
        // The boundary condition: at timestep 0 the prediction is the sample itself.
        let scaled = timestep as f64 * self.timestep_scaling;
        let norm = scaled * scaled + SIGMA_DATA * SIGMA_DATA;
        let skip = SIGMA_DATA * SIGMA_DATA / norm;
        let out = scaled / norm.sqrt();
        let image = self.discrete.image(index, output, sample)?;
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
