//! Heun's method: an Euler step, then again with the mean of the slopes at both its ends. Karras et al.,
//! <https://arxiv.org/abs/2206.00364>, algorithm 1.

use super::super::prediction::mix;
use super::super::schedule::Schedule;
use super::super::{SchedulerConfig, TimestepOptions};
use super::exploding::{Exploding, advance, derivative};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) struct Heun {
    /// With every sigma between the first and the last twice: as the end of one step and the start of the next.
    exploding: Exploding,
    /// The sample and slope at the start of a step, between its two calls.
    start: Option<(Tensor, Tensor)>,
}

impl Heun {
    pub(super) fn new(config: &SchedulerConfig, options: &TimestepOptions) -> Result<Self> {
        let mut exploding = Exploding::new(config, options)?;
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
