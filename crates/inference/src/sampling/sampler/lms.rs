//! Linear multistep: integrates the polynomial through the last few derivatives. From k-diffusion,
//! <https://github.com/crowsonkb/k-diffusion>.

use super::super::config::Spacing;
use super::super::definition::{
    BetaFields, Definition, EPSILON_V_OR_SAMPLE, Flows, Name, Prediction, RESPACINGS, Reads, Setup, Takes,
};
use super::super::prediction::mix;
use super::super::schedule::ExplodingRules;
use super::exploding::{Exploding, derivative};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};
use std::collections::VecDeque;

pub(super) static DEFINITION: Definition = Definition {
    class_name: "LMSDiscreteScheduler",
    names: &[Name::new("lms", "LMS")],
    calls_per_step: 1,
    flows: Flows::Refuses,
    reads: Reads {
        betas: Some(BetaFields::PIXELS),
        prediction: Prediction::Named(EPSILON_V_OR_SAMPLE),
        spacing: Some(Spacing::Linspace),
        respacings: RESPACINGS,
        ..Reads::NOTHING
    },
    takes: Takes::STEPS,
    check: |_| Ok(()),
    build: |setup| Ok(Box::new(Lms::new(setup)?)),
};

struct Lms {
    exploding: Exploding,
    order: usize,
    /// The newest first.
    slopes: VecDeque<Tensor>,
}

impl Lms {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        let rules = ExplodingRules { karras_keeps_ends: true, ..ExplodingRules::default() };
        let exploding = Exploding::new(setup, &rules)?;
        Ok(Self { exploding, order: setup.step.lms_order, slopes: VecDeque::new() })
    }

    /// The weight of the slope `age` calls ago: the integral over the step of its Lagrange polynomial.
    fn weight(&self, index: usize, order: usize, age: usize) -> f32 {
        let sigma = |back: usize| f64::from(self.exploding.sigma(index - back));
        let others = || (0..order).filter(|other| *other != age);
        let basis = |tau: f64| -> f64 { others().map(|k| (tau - sigma(k)) / (sigma(age) - sigma(k))).product() };
        let from = sigma(0);
        let to = f64::from(self.exploding.sigma(index + 1));
        let middle = (from + to) / 2.0;
        let half = (to - from) / 2.0;
        // Gauss-Legendre with two points is exact for the polynomials here, of degree 3 at most.
        let point = half / 3.0_f64.sqrt();
        (half * (basis(middle - point) + basis(middle + point))) as f32
    }
}

impl Solver for Lms {
    fn walk(&self) -> &dyn Walk {
        &self.exploding
    }

    fn step(&mut self, Call { index, output, sample, .. }: Call<'_>) -> Result<Tensor> {
        let image = self.exploding.image(index, output, sample)?;
        self.slopes.truncate(self.order - 1);
        self.slopes.push_front(derivative(sample, &image, self.exploding.sigma(index))?);
        // A run that starts late has fewer slopes than its index implies; diffusers still takes the weights of the full
        // order, and so drops the older terms.
        let order = self.order.min(index + 1);
        let terms: Vec<_> =
            self.slopes.iter().enumerate().map(|(age, slope)| (self.weight(index, order, age), slope)).collect();
        mix(sample, 1.0, &terms)
    }
}
