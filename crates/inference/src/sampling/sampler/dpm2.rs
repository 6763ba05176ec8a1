//! DPM2: the midpoint method, with midpoints in log sigma. Karras et al., <https://arxiv.org/abs/2206.00364>, appendix
//! D, as in k-diffusion.

use super::super::config::Spacing;
use super::super::definition::{BetaFields, Definition, Flows, Name, RESPACINGS, Reads, Setup, Takes};
use super::super::schedule::{ExplodingRules, Schedule};
use super::super::sigmas::timestep_of;
use super::exploding::{Exploding, advance, derivative, unit_scale};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "KDPM2DiscreteScheduler",
    names: &[Name::new("dpm2", "DPM2")],
    calls_per_step: 2,
    flows: Flows::Refuses,
    reads: READS,
    takes: Takes::STEPS,
    check: |_| Ok(()),
    build: |setup| Ok(Box::new(Dpm2::new(setup)?)),
};

pub(super) const READS: Reads = Reads {
    betas: Some(BetaFields::LATENTS),
    spacing: Some(Spacing::Linspace),
    respacings: RESPACINGS,
    ..Reads::NOTHING
};

pub(super) const RULES: ExplodingRules = ExplodingRules {
    whole_karras_timesteps: true,
    karras_keeps_ends: false,
    log_linear: false,
    continuous_timesteps: false,
};

/// The sigmas of a two-stage method: each is the end of one step and the start of the next.
pub(super) fn doubled(sigmas: &[f32]) -> Vec<f32> {
    let inner = sigmas.iter().skip(1).flat_map(|sigma| [*sigma, *sigma]);
    sigmas.iter().take(1).copied().chain(inner).chain(sigmas.last().copied()).collect()
}

/// The timesteps of the steps, with those of the midpoints between them.
pub(super) fn with_middles(timesteps: &[f64], middles: &[f32], log_sigmas: &[f32]) -> Vec<f64> {
    let pairs = timesteps.iter().skip(1).zip(middles);
    let between = pairs.flat_map(|(t, middle)| [timestep_of(f64::from(*middle), log_sigmas), *t]);
    timesteps.iter().take(1).copied().chain(between).collect()
}

/// The sigma halfway between two, in the logarithm; zero if one of them is.
pub(super) fn middle(a: f32, b: f32) -> f32 {
    let a = a.ln();
    let b = b.ln();
    if b.is_finite() { (b - (b - a) * 0.5).exp() } else { 0.0 }
}

struct Dpm2 {
    exploding: Exploding,
    /// The midpoint of every step.
    middles: Vec<f32>,
    /// The sample at the start of a step, between its two calls.
    start: Option<Tensor>,
}

impl Dpm2 {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        let mut exploding = Exploding::new(setup, &RULES)?;
        let Schedule { timesteps, sigmas } = &mut exploding.schedule;
        let middles: Vec<f32> = sigmas.windows(2).map(|pair| middle(pair[1], pair[0])).collect();
        *timesteps = with_middles(timesteps, &middles, &exploding.log_sigmas);
        *sigmas = doubled(sigmas);
        Ok(Self { exploding, middles, start: None })
    }

    fn middle(&self, index: usize) -> f32 {
        self.middles.get(index / 2).copied().unwrap_or(0.0)
    }

    /// The sigma of the sample of call `index`, which may be a midpoint.
    fn sigma(&self, index: usize) -> f32 {
        if self.start.is_some() { self.middle(index - 1) } else { self.exploding.sigma(index) }
    }
}

impl Solver for Dpm2 {
    fn walk(&self) -> &dyn Walk {
        &self.exploding
    }

    fn input_scale(&self, index: usize) -> f32 {
        unit_scale(self.sigma(index))
    }

    fn step(&mut self, Call { index, output, sample, .. }: Call<'_>) -> Result<Tensor> {
        let sigma = self.sigma(index);
        let slope = derivative(sample, &self.exploding.image_at(sigma, output, sample)?, sigma)?;
        match self.start.take() {
            None => {
                self.start = Some(sample.clone());
                advance(sample, &slope, self.middle(index) - sigma)
            }
            Some(start) => advance(&start, &slope, self.exploding.sigma(index) - self.exploding.sigma(index - 1)),
        }
    }
}
