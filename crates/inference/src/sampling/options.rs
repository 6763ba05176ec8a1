//! What a run asks of its sampler: how many steps and which, and the options of single samplers.

use super::{SchedulerClass, SchedulerConfig};
use crate::{Error, Result};

/// The timesteps of a run: diffusers' `set_timesteps` arguments. Usually just a number of steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimestepOptions {
    /// The number of steps.
    pub steps: Option<usize>,
    /// The timesteps themselves, descending, instead of a number (DDPM, Euler, Heun, DPM++, LCM, TCD, flow matching).
    pub timesteps: Option<Vec<f64>>,
    /// The sigmas themselves, descending: for Euler including the final one, for flow matching without it.
    pub sigmas: Option<Vec<f64>>,
    /// The dynamic shift of flow matching, see [`SchedulerConfig::dynamic_shift`].
    pub mu: Option<f64>,
    /// The part of the distilled schedule that LCM and TCD walk, 0 to 1.
    pub strength: Option<f64>,
    /// The length of the distilled schedule, instead of the configured one (LCM, TCD).
    pub original_inference_steps: Option<usize>,
}

impl From<usize> for TimestepOptions {
    fn from(steps: usize) -> Self {
        Self { steps: Some(steps), ..Self::default() }
    }
}

/// Options of single samplers: diffusers' `step` arguments. The default of each is that of diffusers.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOptions {
    /// How much new noise DDIM (0 to 1, default 0) and TCD (default 0.3) bring in.
    pub eta: Option<f64>,
    /// DDIM: derive the noise from the clipped image again.
    pub use_clipped_model_output: bool,
    /// LMS: how many derivatives are remembered, 1 to 4.
    pub lms_order: usize,
    /// Euler: how much extra noise is added within `s_tmin..=s_tmax` (Karras et al., algorithm 2).
    pub s_churn: f64,
    /// Euler: the smallest sigma at which noise is added.
    pub s_tmin: f64,
    /// Euler: the largest sigma at which noise is added.
    pub s_tmax: f64,
    /// Euler: the standard deviation of the added noise.
    pub s_noise: f64,
}

impl Default for StepOptions {
    fn default() -> Self {
        Self {
            eta: None,
            use_clipped_model_output: false,
            lms_order: 4,
            s_churn: 0.0,
            s_tmin: 0.0,
            s_tmax: f64::INFINITY,
            s_noise: 1.0,
        }
    }
}

impl StepOptions {
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.eta.unwrap_or(0.0)) {
            return Err(Error::invalid("eta", "expected a number from 0 to 1"));
        }
        if !(1..=4).contains(&self.lms_order) {
            return Err(Error::invalid("lms_order", format!("{} is not within 1 to 4", self.lms_order)));
        }
        if !(self.s_churn.is_finite() && self.s_noise.is_finite()) {
            return Err(Error::invalid("s_churn", "s_churn and s_noise must be finite numbers"));
        }
        Ok(())
    }
}

impl TimestepOptions {
    /// The number of steps, after checking that the scheduler takes what was given.
    pub(super) fn count(&self, config: &SchedulerConfig) -> Result<usize> {
        self.check_accepted(config)?;
        let lists = [("timesteps", &self.timesteps), ("sigmas", &self.sigmas)];
        for (field, list) in lists {
            let Some(list) = list else { continue };
            if list.is_empty() || !list.iter().all(|value| value.is_finite() && *value >= 0.0) {
                return Err(Error::invalid(field, "expected at least one number, all finite and not negative"));
            }
        }
        let listed = match (&self.timesteps, &self.sigmas) {
            (Some(list), _) => Some(list.len()),
            // Euler's list ends with the sigma after the last step.
            (None, Some(list)) if config.class() == SchedulerClass::Euler => Some(list.len() - 1),
            (None, list) => list.as_ref().map(Vec::len),
        };
        let steps = self.steps.or(listed).ok_or_else(|| Error::invalid("steps", "missing"))?;
        if listed.is_some_and(|listed| listed != steps) {
            return Err(Error::invalid("steps", format!("{steps} is not the number of given timesteps or sigmas")));
        }
        if !(1..=config.train_timesteps).contains(&steps) {
            return Err(Error::invalid("steps", format!("{steps} is not within 1 to {}", config.train_timesteps)));
        }
        Ok(steps)
    }

    fn check_accepted(&self, config: &SchedulerConfig) -> Result<()> {
        use SchedulerClass::{Ddpm, DpmMultistep, DpmSinglestep, Euler, FlowMatchEuler, Heun, Lcm, Tcd, UniPc};
        let class = config.class();
        let distilled = matches!(class, Lcm | Tcd);
        let flow = matches!(class, FlowMatchEuler | UniPc);
        let lists_timesteps =
            distilled || matches!(class, Ddpm | Euler | Heun | DpmMultistep | DpmSinglestep | FlowMatchEuler);
        let lists_sigmas = class == Euler || class == FlowMatchEuler || (class == UniPc && config.flow.enabled);
        let shifts = flow || (class.is_log_snr() && config.flow.dynamic && !config.flow.linear_time_shift);
        let given = [
            ("timesteps", self.timesteps.is_some(), lists_timesteps),
            ("sigmas", self.sigmas.is_some(), lists_sigmas),
            ("mu", self.mu.is_some(), shifts),
            ("strength", self.strength.is_some(), distilled),
            ("original_inference_steps", self.original_inference_steps.is_some(), distilled),
        ];
        if let Some((field, ..)) = given.into_iter().find(|(_, given, accepted)| *given && !accepted) {
            return Err(Error::invalid(field, format!("{} does not take it", class.name())));
        }
        if config.flow.dynamic && flow && self.mu.is_none() {
            return Err(Error::invalid("mu", "missing; this scheduler shifts dynamically"));
        }
        if self.timesteps.is_some() && self.sigmas.is_some() && class == Euler {
            return Err(Error::invalid("sigmas", "only one of timesteps and sigmas may be given"));
        }
        Ok(())
    }
}
