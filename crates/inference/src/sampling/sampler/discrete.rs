//! Shared by DDIM, DDPM, PNDM, LCM and TCD: noise levels looked up by training timestep.

use super::super::SchedulerConfig;
use super::super::betas::Training;
use super::super::prediction::{Clipping, Level, PredictionType};
use super::super::schedule::Schedule;
use super::Walk;
use crate::{Error, Result, Tensor};

/// A walk over training timesteps.
pub(super) struct Discrete {
    pub(super) schedule: Schedule,
    pub(super) prediction: PredictionType,
    alphas_cumprod: Vec<f32>,
    /// Where a step below timestep 0 ends.
    final_alpha: f32,
    clipping: Clipping,
}

impl Discrete {
    /// Errors: [`Error::Invalid`] if a timestep is not a training timestep.
    pub(super) fn new(config: &SchedulerConfig, timesteps: Vec<f64>) -> Result<Self> {
        let train = config.train_timesteps as f64;
        if let Some(outside) = timesteps.iter().find(|t| !(0.0..train).contains(*t)) {
            return Err(Error::invalid("timesteps", format!("must be between 0 and {}, got {outside}", train - 1.0)));
        }
        let Training { alphas_cumprod } = Training::new(config);
        let first = alphas_cumprod.first().copied().unwrap_or(1.0);
        Ok(Self {
            schedule: Schedule { timesteps, sigmas: Vec::new() },
            prediction: config.prediction,
            final_alpha: if config.final_alpha_one { 1.0 } else { first },
            alphas_cumprod,
            clipping: config.clipping,
        })
    }

    /// The timestep of call `index`, which is negative past the last call.
    pub(super) fn timestep(&self, index: usize) -> i64 {
        self.schedule.timesteps.get(index).map_or(-1, |t| *t as i64)
    }

    /// `alphas_cumprod` at a timestep, or at the end of the schedule if the timestep is negative.
    pub(super) fn alpha_cumprod(&self, timestep: i64) -> f32 {
        let last = self.alphas_cumprod.len().saturating_sub(1);
        let entry = usize::try_from(timestep).ok().and_then(|t| self.alphas_cumprod.get(t.min(last)));
        entry.copied().unwrap_or(self.final_alpha)
    }

    pub(super) fn level_at(&self, timestep: i64) -> Level {
        let alpha = self.alpha_cumprod(timestep);
        Level { alpha: alpha.sqrt(), sigma: (1.0 - alpha).sqrt() }
    }

    /// The predicted, clipped image in the sample of call `index`.
    pub(super) fn image(&self, index: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        self.clipping.apply(self.prediction.image(output, sample, self.level(index))?)
    }

    /// The predicted noise, without clipping.
    pub(super) fn noise(&self, index: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        self.prediction.noise(output, sample, self.level(index))
    }
}

impl Walk for Discrete {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn level(&self, index: usize) -> Level {
        self.level_at(self.timestep(index))
    }
}
