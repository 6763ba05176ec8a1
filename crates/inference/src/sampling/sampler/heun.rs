//! Heun's method: an Euler step, then again with the mean of the slopes at both its ends. Karras et al.,
//! <https://arxiv.org/abs/2206.00364>, algorithm 1.

use super::super::config::{BetaSchedule, Spacing};
use super::super::definition::{
    BetaFields, Definition, EPSILON_V_OR_SAMPLE, Flows, Name, Prediction, RESPACINGS, Reads, Setup, Takes,
};
use super::super::prediction::mix;
use super::super::schedule::{ExplodingRules, Schedule};
use super::exploding::{Exploding, advance, derivative};
use super::{Call, SchedulerClass, Solver, Walk};
use crate::{Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "HeunDiscreteScheduler",
    names: &[Name::new("heun", "Heun")],
    calls_per_step: 2,
    flows: Flows::As(SchedulerClass::FlowMatchHeun),
    reads: Reads {
        betas: Some(BetaFields { more: &[("exp", BetaSchedule::Exp)], ..BetaFields::LATENTS }),
        prediction: Prediction::Named(EPSILON_V_OR_SAMPLE),
        clip_sample: Some(false),
        spacing: Some(Spacing::Linspace),
        respacings: RESPACINGS,
        ..Reads::NOTHING
    },
    takes: Takes::TIMESTEPS,
    check: |_| Ok(()),
    build: |setup| Ok(Box::new(Heun::new(setup)?)),
};

struct Heun {
    /// Every sigma between the first and the last appears twice: as the end of one step and the start of the next.
    exploding: Exploding,
    /// The sample and slope at the start of a step, between its two calls.
    start: Option<(Tensor, Tensor)>,
}

impl Heun {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        let mut exploding = Exploding::new(setup, &ExplodingRules::default())?;
        let Schedule { timesteps, sigmas } = &mut exploding.schedule;
        let inner = 1..sigmas.len().saturating_sub(1);
        *sigmas = sigmas.iter().enumerate().flat_map(|(i, s)| vec![*s; 1 + usize::from(inner.contains(&i))]).collect();
        *timesteps = timesteps.iter().enumerate().flat_map(|(i, t)| vec![*t; 1 + usize::from(i > 0)]).collect();
        Ok(Self { exploding, start: None })
    }
}

impl Solver for Heun {
    fn walk(&self) -> &dyn Walk {
        &self.exploding
    }

    fn step(&mut self, Call { index, output, sample, .. }: Call<'_>) -> Result<Tensor> {
        let sigma = self.exploding.sigma(index);
        let slope = derivative(sample, &self.exploding.image(index, output, sample)?, sigma)?;
        match self.start.take() {
            None => {
                let next = advance(sample, &slope, self.exploding.sigma(index + 1) - sigma)?;
                self.start = Some((sample.clone(), slope));
                Ok(next)
            }
            Some((start, first)) => {
                let from = self.exploding.sigma(index.saturating_sub(1));
                advance(&start, &mix(&first, 0.5, &[(0.5, &slope)])?, sigma - from)
            }
        }
    }
}
