//! Euler's method on a flow. Esser et al., <https://arxiv.org/abs/2403.03206>.

use super::super::SchedulerConfig;
use super::super::definition::{
    Definition, FlowFields, Flows, Name, Prediction, RESPACINGS, Reads, Setup, Takes, TakesMu, TakesSigmas,
};
use super::super::flow::shift;
use super::super::prediction::{Level, PredictionType, mix};
use super::super::schedule::Schedule;
use super::super::spacing::linspace;
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "FlowMatchEulerDiscreteScheduler",
    names: &[Name::new("flow-match-euler", "FlowMatchEulerDiscreteScheduler")],
    calls_per_step: 1,
    flows: Flows::Only,
    reads: READS,
    takes: TAKES,
    check: |config| {
        inverts(config)?;
        is_stochastic(config).map(drop)
    },
    build: |setup| Ok(Box::new(FlowEuler::new(setup)?)),
};

/// The fields of the samplers with this schedule.
pub(super) const READS: Reads = Reads {
    prediction: Prediction::Always(PredictionType::Flow),
    respacings: RESPACINGS,
    flow: Some(FlowFields { switch: None, shift: "shift", linear: true, terminal: true, line: true }),
    ..Reads::NOTHING
};

/// Their options.
pub(super) const TAKES: Takes = Takes { sigmas: TakesSigmas::WithoutFinal, mu: TakesMu::Needed, ..Takes::TIMESTEPS };

/// Whether sigma is the share of the image instead of the noise.
pub(super) fn inverts(config: &SchedulerConfig) -> Result<bool> {
    config.fields().flag("invert_sigmas", false)
}

/// Whether every step goes to the image and adds new noise.
fn is_stochastic(config: &SchedulerConfig) -> Result<bool> {
    config.fields().flag("stochastic_sampling", false)
}

pub(super) struct FlowEuler {
    schedule: Schedule,
    stochastic: bool,
}

impl FlowEuler {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        Ok(Self { schedule: schedule(setup)?, stochastic: is_stochastic(setup.config)? })
    }

    /// The same, but always stochastic, regardless of the configuration.
    pub(super) fn stochastic(setup: &Setup<'_>) -> Result<Self> {
        Ok(Self { schedule: schedule(setup)?, stochastic: true })
    }

    fn sigma(&self, index: usize) -> f32 {
        self.schedule.sigmas.get(index).copied().unwrap_or(0.0)
    }
}

/// Training timestep `t` of `train` on the shifted schedule, rounded as in PyTorch.
pub(super) fn shifted_end(t: f64, train: f64, by: f64) -> f64 {
    f64::from(shift(t / train, by) as f32) * train
}

fn schedule(setup: &Setup<'_>) -> Result<Schedule> {
    let Setup { config, timesteps: options, steps, .. } = *setup;
    let train = config.train_timesteps as f64;
    // The ends of the training sigmas are already shifted; the static shift is then applied a second time.
    let end = |t: f64| match config.flow.dynamic {
        true => t,
        false => shifted_end(t, train, config.flow.shift),
    };
    let mut sigmas = options.sigmas.clone().unwrap_or_else(|| {
        let timesteps = options.timesteps.clone().unwrap_or_else(|| linspace(end(train), end(1.0), steps));
        timesteps.iter().map(|t| t / train).collect()
    });
    config.shift_sigmas(&mut sigmas, options.mu);
    let [first, last] = [sigmas.first(), sigmas.last()].map(|sigma| sigma.copied().unwrap_or(1.0));
    let sigmas = config.respaced(first, last, steps).unwrap_or(sigmas);
    let mut sigmas: Vec<f32> = sigmas.into_iter().map(|sigma| sigma as f32).collect();
    let invert = inverts(config)?;
    if invert {
        sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - *sigma);
    }
    let follow = || sigmas.iter().map(|sigma| f64::from(sigma * train as f32)).collect();
    let timesteps = options.timesteps.clone().filter(|_| !invert).unwrap_or_else(follow);
    sigmas.push(if invert { 1.0 } else { 0.0 });
    Ok(Schedule { timesteps, sigmas })
}

impl Walk for FlowEuler {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn level(&self, index: usize) -> Level {
        let sigma = self.sigma(index);
        Level { alpha: 1.0 - sigma, sigma }
    }
}

impl Solver for FlowEuler {
    fn walk(&self) -> &dyn Walk {
        self
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let [sigma, next] = [index, index + 1].map(|index| self.sigma(index));
        if self.stochastic {
            let image = PredictionType::Flow.image(output, sample, self.level(index))?;
            return mix(&image, 1.0 - next, &[(next, &noise.draw_like(sample)?)]);
        }
        mix(sample, 1.0, &[(next - sigma, output)])
    }
}
