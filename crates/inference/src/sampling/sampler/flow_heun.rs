//! Heun's method on a flow: an Euler step, then again with the mean of the slopes at both its ends. Karras et al.,
//! <https://arxiv.org/abs/2206.00364>, algorithm 1, on the path of Esser et al., <https://arxiv.org/abs/2403.03206>.

use super::super::definition::{Definition, FlowFields, Flows, Name, Prediction, Reads, Setup, Takes};
use super::super::flow::shift;
use super::super::prediction::{Level, PredictionType, mix};
use super::super::schedule::Schedule;
use super::super::spacing::linspace;
use super::flow_euler::shifted_end;
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "FlowMatchHeunDiscreteScheduler",
    names: &[Name::new("flow-match-heun", "FlowMatchHeunDiscreteScheduler")],
    calls_per_step: 2,
    flows: Flows::Only,
    reads: Reads {
        prediction: Prediction::Always(PredictionType::Flow),
        flow: Some(FlowFields { switch: None, shift: "shift", linear: true, terminal: false, line: false }),
        ..Reads::NOTHING
    },
    takes: Takes::STEPS,
    check: |_| Ok(()),
    build: |setup| Ok(Box::new(FlowHeun { schedule: schedule(setup), start: None })),
};

struct FlowHeun {
    /// Every sigma but the first and the last appears twice: as the end of one step and the start of the next.
    schedule: Schedule,
    /// The sample and slope at the start of a step, between its two calls.
    start: Option<(Tensor, Tensor)>,
}

/// The schedule with the static shift, regardless of the rest of the configuration.
fn schedule(setup: &Setup<'_>) -> Schedule {
    let train = setup.config.train_timesteps as f64;
    let by = setup.config.flow.shift;
    let times = linspace(shifted_end(train, train, by), shifted_end(1.0, train, by), setup.steps);
    let sigmas: Vec<f32> = times.iter().map(|t| shift(t / train, by) as f32).collect();
    let twice = |(i, sigma): (usize, f32)| std::iter::repeat_n(sigma, if i == 0 { 1 } else { 2 });
    let mut sigmas: Vec<f32> = sigmas.into_iter().enumerate().flat_map(twice).collect();
    let timesteps = sigmas.iter().map(|sigma| f64::from(sigma * train as f32)).collect();
    sigmas.push(0.0);
    Schedule { timesteps, sigmas }
}

impl FlowHeun {
    fn sigma(&self, index: usize) -> f32 {
        self.schedule.sigmas.get(index).copied().unwrap_or(0.0)
    }
}

impl Walk for FlowHeun {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn level(&self, index: usize) -> Level {
        let sigma = self.sigma(index);
        Level { alpha: 1.0 - sigma, sigma }
    }
}

impl Solver for FlowHeun {
    fn walk(&self) -> &dyn Walk {
        self
    }

    fn step(&mut self, Call { index, output, sample, .. }: Call<'_>) -> Result<Tensor> {
        let sigma = self.sigma(index);
        match self.start.take() {
            None => {
                self.start = Some((sample.clone(), output.clone()));
                mix(sample, 1.0, &[(self.sigma(index + 1) - sigma, output)])
            }
            Some((start, first)) => {
                let half = 0.5 * (sigma - self.sigma(index.saturating_sub(1)));
                mix(&start, 1.0, &[(half, &first), (half, output)])
            }
        }
    }
}
