//! The options of a run: how many steps and which, and options of particular samplers.

use super::SchedulerConfig;
use super::definition::{TakesMu, TakesSigmas};
use crate::{Error, Result};

/// The timesteps of a run: diffusers' `set_timesteps` arguments. Usually just a number of steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimestepOptions {
    /// The number of steps.
    pub steps: Option<usize>,
    /// A list of timesteps, descending, instead of a number (DDPM, Euler, Heun, DPM++, LCM, TCD, flow matching).
    pub timesteps: Option<Vec<f64>>,
    /// A list of sigmas, descending: for Euler including the final one, for flow matching without it.
    pub sigmas: Option<Vec<f64>>,
    /// The dynamic shift of flow matching, see [`SchedulerConfig::dynamic_shift`].
    pub mu: Option<f64>,
    /// The part of the distilled schedule that LCM and TCD use, 0 to 1.
    pub strength: Option<f64>,
    /// The length of the distilled schedule, instead of the configured one (LCM, TCD).
    pub original_inference_steps: Option<usize>,
}

impl From<usize> for TimestepOptions {
    fn from(steps: usize) -> Self {
        Self { steps: Some(steps), ..Self::default() }
    }
}

/// Options of particular samplers: diffusers' `step` arguments, with diffusers' defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOptions {
    /// How much new noise DDIM (0 to 1, default 0) and TCD (default 0.3) add.
    pub eta: Option<f64>,
    /// DDIM: derive the noise again from the clipped image.
    pub use_clipped_model_output: bool,
    /// LMS: how many derivatives are kept, 1 to 4.
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
            let eta = self.eta.unwrap_or_default();
            return Err(Error::invalid("eta", format!("must be between 0 and 1, got {eta}")));
        }
        if !(1..=4).contains(&self.lms_order) {
            return Err(Error::invalid("lms_order", format!("must be between 1 and 4, got {}", self.lms_order)));
        }
        if !(self.s_churn.is_finite() && self.s_noise.is_finite()) {
            return Err(Error::invalid("s_churn", "s_churn and s_noise must be finite"));
        }
        Ok(())
    }
}

impl TimestepOptions {
    /// The number of steps, after checking that the sampler accepts the options.
    pub(super) fn count(&self, config: &SchedulerConfig) -> Result<usize> {
        self.check_accepted(config)?;
        let lists = [("timesteps", &self.timesteps), ("sigmas", &self.sigmas)];
        for (field, list) in lists {
            let Some(list) = list else { continue };
            if list.is_empty() || !list.iter().all(|value| value.is_finite() && *value >= 0.0) {
                return Err(Error::invalid(field, "expected at least one number, all finite and not negative"));
            }
        }
        let has_final = config.class().definition().takes.sigmas == TakesSigmas::WithFinal;
        let listed = match (&self.timesteps, &self.sigmas) {
            (Some(list), _) => Some(list.len()),
            (None, Some(list)) => Some(list.len() - usize::from(has_final)),
            (None, None) => None,
        };
        let missing = || Error::invalid("steps", "missing; give a number of steps, or a list of timesteps or sigmas");
        let steps = self.steps.or(listed).ok_or_else(missing)?;
        if let Some(listed) = listed.filter(|listed| *listed != steps) {
            return Err(Error::invalid("steps", format!("must be {listed}, the length of the list, got {steps}")));
        }
        if !(1..=config.train_timesteps).contains(&steps) {
            let reason = format!("must be between 1 and {}, got {steps}", config.train_timesteps);
            return Err(Error::invalid("steps", reason));
        }
        Ok(steps)
    }

    fn check_accepted(&self, config: &SchedulerConfig) -> Result<()> {
        let class = config.class();
        let takes = &class.definition().takes;
        let takes_sigmas = match takes.sigmas {
            TakesSigmas::No => false,
            TakesSigmas::WithFinal | TakesSigmas::WithoutFinal => true,
            TakesSigmas::OnFlows => config.flow.enabled,
        };
        let takes_mu = match takes.mu {
            TakesMu::No => false,
            TakesMu::IfDynamic => config.flow.dynamic,
            TakesMu::Needed => true,
        };
        let options = [
            ("timesteps", self.timesteps.is_some(), takes.timesteps),
            ("sigmas", self.sigmas.is_some(), takes_sigmas),
            ("mu", self.mu.is_some(), takes_mu),
            ("strength", self.strength.is_some(), takes.distilled),
            ("original_inference_steps", self.original_inference_steps.is_some(), takes.distilled),
        ];
        if let Some((field, ..)) = options.into_iter().find(|(_, is_set, accepted)| *is_set && !accepted) {
            return Err(Error::invalid(field, format!("{} does not take it", class.name())));
        }
        if config.flow.dynamic && takes.mu == TakesMu::Needed && self.mu.is_none() {
            return Err(Error::invalid("mu", "missing; this scheduler shifts dynamically"));
        }
        if self.timesteps.is_some() && self.sigmas.is_some() && takes.sigmas == TakesSigmas::WithFinal {
            return Err(Error::invalid("sigmas", "only one of timesteps and sigmas may be given"));
        }
        Ok(())
    }
}
