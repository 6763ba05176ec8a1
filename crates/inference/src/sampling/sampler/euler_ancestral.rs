//! Euler's method with ancestral noise: every step goes further down and comes back up with new noise.
//!
//! From k-diffusion, <https://github.com/crowsonkb/k-diffusion>.

use super::super::config::Spacing;
use super::super::definition::{BetaFields, Definition, Flows, Name, Reads, Setup, Takes, ZeroSnr};
use super::super::prediction::mix;
use super::super::schedule::ExplodingRules;
use super::exploding::{Exploding, advance, ancestral, derivative};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};

pub(super) static DEFINITION: Definition = Definition {
    class_name: "EulerAncestralDiscreteScheduler",
    names: &[Name::new("euler-a", "Euler a")],
    calls_per_step: 1,
    flows: Flows::Refuses,
    reads: Reads {
        betas: Some(BetaFields::PIXELS.with_zero_snr(ZeroSnr::Divisible)),
        spacing: Some(Spacing::Linspace),
        ..Reads::NOTHING
    },
    takes: Takes::STEPS,
    check: |_| Ok(()),
    build: |setup| Ok(Box::new(EulerAncestral::new(setup)?)),
};

struct EulerAncestral {
    exploding: Exploding,
}

impl EulerAncestral {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        Ok(Self { exploding: Exploding::new(setup, &ExplodingRules::default())? })
    }
}

impl Solver for EulerAncestral {
    fn walk(&self) -> &dyn Walk {
        &self.exploding
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let [sigma, next] = [index, index + 1].map(|index| self.exploding.sigma(index));
        let (up, down) = ancestral(sigma, next);
        let image = self.exploding.image(index, output, sample)?;
        let mean = advance(sample, &derivative(sample, &image, sigma)?, down - sigma)?;
        // The last step draws too, with weight zero, so that the generator advances as in diffusers.
        mix(&mean, 1.0, &[(up, &noise.draw_like(sample)?)])
    }
}
