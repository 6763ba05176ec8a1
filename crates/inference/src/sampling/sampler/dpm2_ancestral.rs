//! DPM2 with ancestral noise. From k-diffusion, <https://github.com/crowsonkb/k-diffusion>.
//!
//! If a step goes far down, its lower end is the root of a small difference of squares (`ancestral`), and the timestep
//! of its midpoint follows from that end. torch's square root (MKL's) is one bit low for one number in 250. With three
//! evenly spaced steps that bit moves the midpoint's timestep by up to 1.4e-3. Here the root is correctly rounded.

use super::super::definition::{Definition, Flows, Name, Setup, Takes};
use super::super::prediction::mix;
use super::super::schedule::Schedule;
use super::dpm2::{self, doubled, middle, with_middles};
use super::exploding::{Exploding, advance, ancestral, derivative, unit_scale};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "KDPM2AncestralDiscreteScheduler",
    names: &[Name::new("dpm2-a", "DPM2 a")],
    calls_per_step: 2,
    flows: Flows::Refuses,
    reads: dpm2::READS,
    takes: Takes::STEPS,
    check: |_| Ok(()),
    build: |setup| Ok(Box::new(Dpm2Ancestral::new(setup)?)),
};

/// The nodes of a step besides its start.
#[derive(Clone, Copy, Default)]
struct Nodes {
    middle: f32,
    down: f32,
    up: f32,
}

struct Dpm2Ancestral {
    exploding: Exploding,
    nodes: Vec<Nodes>,
    /// The sample at the start of a step, between its two calls.
    start: Option<Tensor>,
}

impl Dpm2Ancestral {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        let mut exploding = Exploding::new(setup, &dpm2::RULES)?;
        let Schedule { timesteps, sigmas } = &mut exploding.schedule;
        let nodes: Vec<Nodes> = sigmas.windows(2).map(|pair| nodes(pair[0], pair[1])).collect();
        let middles: Vec<f32> = nodes.iter().map(|nodes| nodes.middle).collect();
        *timesteps = with_middles(timesteps, &middles, &exploding.log_sigmas);
        *sigmas = doubled(sigmas);
        Ok(Self { exploding, nodes, start: None })
    }

    fn nodes(&self, index: usize) -> Nodes {
        self.nodes.get(index / 2).copied().unwrap_or_default()
    }

    /// The sigma of the sample of call `index`, which may be a midpoint.
    fn sigma(&self, index: usize) -> f32 {
        if self.start.is_some() { self.nodes(index - 1).middle } else { self.exploding.sigma(index) }
    }
}

fn nodes(from: f32, to: f32) -> Nodes {
    let (up, down) = ancestral(from, to);
    // The midpoint needs a logarithm, so a lower end that was rounded to zero is replaced.
    let down = if down == 0.0 { to * to / from } else { down };
    Nodes { middle: middle(from, down), down, up }
}

impl Solver for Dpm2Ancestral {
    fn walk(&self) -> &dyn Walk {
        &self.exploding
    }

    fn input_scale(&self, index: usize) -> f32 {
        unit_scale(self.sigma(index))
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let sigma = self.sigma(index);
        let slope = derivative(sample, &self.exploding.image_at(sigma, output, sample)?, sigma)?;
        match self.start.take() {
            None => {
                self.start = Some(sample.clone());
                advance(sample, &slope, self.nodes(index).middle - sigma)
            }
            Some(start) => {
                let Nodes { down, up, .. } = self.nodes(index - 1);
                let mean = advance(&start, &slope, down - self.exploding.sigma(index - 1))?;
                mix(&mean, 1.0, &[(up, &noise.draw_like(sample)?)])
            }
        }
    }
}
