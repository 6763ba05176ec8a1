//! Flow-matching schedules and their time shift. Esser et al., <https://arxiv.org/abs/2403.03206>, section 5.3.2.

use super::config::SchedulerConfig;
use super::schedule::Schedule;
use super::spacing::linspace;
use super::{SchedulerClass, TimestepOptions};
use crate::Result;

/// Moves a sigma towards the noisy end; 1 leaves it where it is.
fn shift(sigma: f64, shift: f64) -> f64 {
    shift * sigma / (1.0 + (shift - 1.0) * sigma)
}

impl SchedulerConfig {
    /// The static shift, or the dynamic one for `mu`.
    fn shift_sigmas(&self, sigmas: &mut [f64], mu: Option<f64>) {
        let dynamic = mu.filter(|_| self.flow.dynamic);
        let strength = dynamic.map(|mu| if self.flow.linear_time_shift { mu } else { mu.exp() });
        for sigma in &mut *sigmas {
            *sigma = match strength {
                Some(strength) => strength / (strength + (1.0 / *sigma - 1.0)),
                None => shift(*sigma, self.flow.shift),
            };
        }
        if let (Some(terminal), Some(last)) = (self.flow.terminal, sigmas.last().copied()) {
            let scale = (1.0 - last) / (1.0 - terminal);
            sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - (1.0 - *sigma) / scale);
        }
    }
}

/// The sigmas of the DPM solvers on a flow, without the final one.
pub(super) fn log_snr(config: &SchedulerConfig, options: &TimestepOptions, steps: usize) -> Vec<f64> {
    let strength = options.mu.map_or(config.flow.shift, f64::exp);
    let alphas = linspace(1.0, 1.0 / config.train_timesteps as f64, steps + 1);
    alphas.iter().rev().take(steps).map(|alpha| shift(1.0 - alpha, strength)).collect()
}

/// The sigmas of UniPC on a flow, without the final one.
pub(super) fn uni_pc(config: &SchedulerConfig, options: &TimestepOptions, steps: usize) -> Vec<f64> {
    const EPSILON: f64 = 1e-6;
    let mut sigmas = options.sigmas.clone().unwrap_or_else(|| {
        let mut spaced = linspace(1.0, 1.0 / config.train_timesteps as f64, steps + 1);
        spaced.truncate(steps);
        spaced
    });
    config.shift_sigmas(&mut sigmas, options.mu);
    // At pure noise the solver would divide by the image's share, zero.
    if let Some(first) = sigmas.first_mut().filter(|first| (**first - 1.0).abs() < EPSILON) {
        *first -= EPSILON;
    }
    sigmas
}

/// The schedule of `FlowMatchEulerDiscreteScheduler`.
pub(super) fn euler(config: &SchedulerConfig, options: &TimestepOptions) -> Result<Schedule> {
    debug_assert_eq!(config.class(), SchedulerClass::FlowMatchEuler);
    let steps = options.count(config)?;
    let train = config.train_timesteps as f64;
    // The ends of the training sigmas carry the static shift already; it then applies once more.
    let end =
        |t: f64| if config.flow.dynamic { t } else { f64::from(shift(t / train, config.flow.shift) as f32) * train };
    let mut sigmas = options.sigmas.clone().unwrap_or_else(|| {
        let timesteps = options.timesteps.clone().unwrap_or_else(|| linspace(end(train), end(1.0), steps));
        timesteps.iter().map(|t| t / train).collect()
    });
    config.shift_sigmas(&mut sigmas, options.mu);
    let [first, last] = [sigmas.first(), sigmas.last()].map(|sigma| sigma.copied().unwrap_or(1.0));
    let sigmas = config.respaced(first, last, steps).unwrap_or(sigmas);
    let mut sigmas: Vec<f32> = sigmas.into_iter().map(|sigma| sigma as f32).collect();
    let invert = config.flow.invert;
    if invert {
        sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - *sigma);
    }
    let follow = || sigmas.iter().map(|sigma| f64::from(sigma * train as f32)).collect();
    let timesteps = options.timesteps.clone().filter(|_| !invert).unwrap_or_else(follow);
    sigmas.push(if invert { 1.0 } else { 0.0 });
    Ok(Schedule { timesteps, sigmas })
}
