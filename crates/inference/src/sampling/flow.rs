//! Flow-matching schedules and their time shift. Esser et al., <https://arxiv.org/abs/2403.03206>, section 5.3.2.

use super::config::SchedulerConfig;
use super::definition::{Setup, TakesSigmas};
use super::spacing::linspace;

/// Moves a sigma towards the noisy end; a shift of 1 leaves it unchanged.
pub(super) fn shift(sigma: f64, shift: f64) -> f64 {
    shift * sigma / (1.0 + (shift - 1.0) * sigma)
}

impl SchedulerConfig {
    /// Sigmas from 1 down to `1 / steps` in even steps, for samplers of flows that take a list without the final one; `None` for
    /// the others, which make their own.
    pub fn even_sigmas(&self, steps: usize) -> Option<Vec<f64>> {
        let takes_list = self.class().definition().takes.sigmas == TakesSigmas::WithoutFinal;
        takes_list.then(|| {
            linspace(1.0, 1.0 / steps as f64, steps).into_iter().map(|sigma| f64::from(sigma as f32)).collect()
        })
    }

    /// Applies the static shift, or the dynamic one for `mu`.
    pub(super) fn shift_sigmas(&self, sigmas: &mut [f64], mu: Option<f64>) {
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

/// The sigmas of the DPM solvers on a flow, one per step, without the final one.
pub(super) fn solver_sigmas(setup: &Setup<'_>) -> Vec<f64> {
    let Setup { config, timesteps, steps, .. } = *setup;
    let strength = timesteps.mu.map_or(config.flow.shift, f64::exp);
    let alphas = linspace(1.0, 1.0 / config.train_timesteps as f64, steps + 1);
    alphas.iter().rev().take(steps).map(|alpha| shift(1.0 - alpha, strength)).collect()
}
