//! Sigmas that do not follow from the timesteps, and the timesteps that follow from them.
//!
//! Karras et al., <https://arxiv.org/abs/2206.00364>; Lu et al., <https://arxiv.org/abs/2211.01095>; Lee et al.,
//! <https://arxiv.org/abs/2407.12173> (beta).

use super::beta_distribution;
use super::config::{Respacing, SchedulerConfig};
use super::spacing::linspace;

impl SchedulerConfig {
    /// `steps` sigmas from `first` down to `last` (unless the configuration sets its own ends), or `None` if the sigmas
    /// follow from the timesteps.
    pub(super) fn respaced(&self, first: f64, last: f64, steps: usize) -> Option<Vec<f64>> {
        let max = self.sigmas.max.unwrap_or(first);
        let min = self.sigmas.min.unwrap_or(last);
        match self.sigmas.respacing {
            Respacing::None => None,
            Respacing::Karras => Some(karras(max, min, steps)),
            Respacing::Lu => Some(exponential(first, last, steps)),
            Respacing::Exponential => Some(exponential(max, min, steps)),
            Respacing::Beta => Some(beta(max, min, steps)),
        }
    }
}

/// Evenly spaced seventh roots.
pub(super) fn karras(max: f64, min: f64, steps: usize) -> Vec<f64> {
    const RHO: f64 = 7.0;
    let max = max.powf(1.0 / RHO);
    let min = min.powf(1.0 / RHO);
    linspace(0.0, 1.0, steps).iter().map(|ramp| (max + ramp * (min - max)).powf(RHO)).collect()
}

/// Evenly spaced logarithms.
fn exponential(max: f64, min: f64, steps: usize) -> Vec<f64> {
    linspace(max.ln(), min.ln(), steps).into_iter().map(f64::exp).collect()
}

/// Evenly spaced quantiles of a beta distribution.
fn beta(max: f64, min: f64, steps: usize) -> Vec<f64> {
    const SHAPE: f64 = 0.6;
    let quantiles = linspace(0.0, 1.0, steps).into_iter().map(|p| beta_distribution::quantile(1.0 - p, SHAPE, SHAPE));
    quantiles.map(|quantile| min + quantile * (max - min)).collect()
}

/// The logarithms of the training sigmas, for finding timesteps in them.
pub(super) fn logarithms(sigmas: &[f32]) -> Vec<f32> {
    sigmas.iter().map(|sigma| sigma.ln()).collect()
}

/// The training timestep whose sigma is `sigma`, interpolated in the logarithms of the training sigmas.
pub(super) fn timestep_of(sigma: f64, log_sigmas: &[f32]) -> f64 {
    let log_sigma = sigma.max(1e-10).ln();
    let below = log_sigmas.iter().rposition(|entry| log_sigma - f64::from(*entry) >= 0.0).unwrap_or(0);
    let below = below.min(log_sigmas.len().saturating_sub(2));
    let Some([low, high]) = log_sigmas.get(below..below + 2) else { return 0.0 };
    // diffusers computes the difference of table entries in f32.
    let weight = ((f64::from(*low) - log_sigma) / f64::from(low - high)).clamp(0.0, 1.0);
    (1.0 - weight) * below as f64 + weight * (below + 1) as f64
}
