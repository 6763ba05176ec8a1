//! Euler's method on a flow. Esser et al., <https://arxiv.org/abs/2403.03206>.

use super::super::prediction::{Level, PredictionType, mix};
use super::super::schedule::Schedule;
use super::super::{SchedulerConfig, TimestepOptions, flow};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) struct FlowEuler {
    schedule: Schedule,
    stochastic: bool,
}

impl FlowEuler {
    pub(super) fn new(config: &SchedulerConfig, options: &TimestepOptions) -> Result<Self> {
        Ok(Self { schedule: flow::euler(config, options)?, stochastic: config.flow.stochastic })
    }

    fn sigma(&self, index: usize) -> f32 {
        self.schedule.sigmas.get(index).copied().unwrap_or(0.0)
    }
}

impl Walk for FlowEuler {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn level(&self, index: usize) -> Level {
        let sigma = self.sigma(index);
        Level { alpha: 1.0 - sigma, sigma }
    }

    fn image(&self, index: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        PredictionType::Flow.image(output, sample, self.level(index))
    }
}

impl Solver for FlowEuler {
    fn walk(&self) -> &dyn Walk {
        self
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let [sigma, next] = [index, index + 1].map(|index| self.sigma(index));
        if self.stochastic {
            let image = Walk::image(self, index, output, sample)?;
            return mix(&image, 1.0 - next, &[(next, &noise.draw_like(sample)?)]);
        }
        mix(sample, 1.0, &[(next - sigma, output)])
    }
}
