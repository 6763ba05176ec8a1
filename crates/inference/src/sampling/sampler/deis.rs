//! DEIS: exponential integration with polynomials in log rho. Zhang & Chen, <https://arxiv.org/abs/2204.13902>.

use super::super::config::{Algorithm, SolverConfig, Spacing};
use super::super::definition::{
    BetaFields, Definition, Flows, Name, RESPACINGS, Reads, Setup, SolverFields, Takes, TakesMu,
};
use super::super::flow;
use super::super::prediction::{Level, mix};
use super::super::rounding::numpy_ln as ln;
use super::super::schedule::{End, LogSnrRules};
use super::dpm_multistep::SHORT_RUN;
use super::dpm_update::Update;
use super::log_snr::{FLOW, KINDS, LogSnr, PREDICTION, check_flow};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};
use std::collections::VecDeque;

pub(super) static DEFINITION: Definition = Definition {
    class_name: "DEISMultistepScheduler",
    names: &[Name::with_algorithm("deis", "DEIS", "deis")],
    calls_per_step: 1,
    flows: Flows::Solves,
    reads: Reads {
        betas: Some(BetaFields::PIXELS),
        prediction: PREDICTION,
        thresholding: true,
        spacing: Some(Spacing::Linspace),
        respacings: RESPACINGS,
        flow: Some(FLOW),
        solver: Some(SolverFields { max_order: 3, kinds: KINDS, lower_order_final: true }),
        // There is only one; the names of other solvers, carried over from their files, mean it too.
        algorithms: &[("deis", Algorithm::Dpm), ("dpmsolver", Algorithm::Dpm), ("dpmsolver++", Algorithm::Dpm)],
        ..Reads::NOTHING
    },
    takes: Takes { mu: TakesMu::IfDynamic, ..Takes::STEPS },
    check: |config| check_flow(config, true),
    build: |setup| Ok(Box::new(Deis::new(setup)?)),
};

const RULES: LogSnrRules = LogSnrRules {
    flow_sigmas: flow::solver_sigmas,
    karras_on_flows: false,
    cuts_cosine_timesteps: false,
    // Noise has no scale at sigma zero, so the last step leads to the smallest sigma, or nowhere.
    end: |end: &End| if end.from_timesteps { end.smallest } else { end.last },
};

struct Deis {
    log_snr: LogSnr,
    solver: SolverConfig,
    /// The predicted noise of the last few calls, the newest first.
    values: VecDeque<Tensor>,
}

impl Deis {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        Ok(Self { log_snr: LogSnr::new(setup, &RULES)?, solver: setup.config.solver, values: VecDeque::new() })
    }

    /// The order of a call, counting its own value.
    fn order(&self, index: usize) -> usize {
        let short = self.solver.lower_order_final && self.log_snr.schedule.timesteps.len() < SHORT_RUN;
        let most = if short { self.log_snr.remaining(index) } else { self.solver.order };
        most.min(self.solver.order).min(self.values.len())
    }

    /// Noise per unit of image.
    fn rho(&self, index: usize) -> f32 {
        let Level { alpha, sigma } = self.log_snr.level(index);
        sigma / alpha
    }

    /// The weights of the last `order` values: integrals of the Lagrange polynomials over the step.
    fn weights(&self, index: usize, order: usize) -> Vec<f32> {
        let to = self.rho(index + 1);
        let from = self.rho(index);
        if order == 2 {
            let older = self.rho(index - 1);
            let pairs = [(from, older), (older, from)];
            return pairs.map(|(b, c)| linear(to, b, c) - linear(from, b, c)).to_vec();
        }
        let older = self.rho(index - 1);
        let oldest = self.rho(index - 2);
        let triples = [(from, older, oldest), (older, oldest, from), (oldest, from, older)];
        triples.map(|(b, c, d)| quadratic(to, b, c, d) - quadratic(from, b, c, d)).to_vec()
    }
}

/// The antiderivative at `t` of the line in log rho that is 1 at `b` and 0 at `c`.
fn linear(t: f32, b: f32, c: f32) -> f32 {
    t * (-ln(c) + ln(t) - 1.0) / (ln(b) - ln(c))
}

/// The antiderivative at `t` of the parabola in log rho that is 1 at `b` and 0 at `c` and `d`.
fn quadratic(t: f32, b: f32, c: f32, d: f32) -> f32 {
    let [lt, lb, lc, ld] = [t, b, c, d].map(ln);
    let numerator = t * (lc * (ld - lt + 1.0) - ld * lt + ld + lt * lt - 2.0 * lt + 2.0);
    numerator / ((lb - lc) * (lb - ld))
}

impl Solver for Deis {
    fn walk(&self) -> &dyn Walk {
        &self.log_snr
    }

    fn step(&mut self, Call { index, output, sample, .. }: Call<'_>) -> Result<Tensor> {
        let image = self.log_snr.image(index, output, sample)?;
        let value = self.log_snr.noise_beside(index, &image, sample)?;
        self.values.truncate(self.solver.order - 1);
        self.values.push_front(value.clone());
        let order = self.order(index);
        let from = self.log_snr.node(index);
        let to = self.log_snr.node(index + 1);
        if order == 1 {
            return Update::new(Algorithm::Dpm, from, to).first(sample, &value, None);
        }
        let weights = self.weights(index, order);
        let terms: Vec<_> = weights.iter().map(|weight| to.alpha * weight).zip(&self.values).collect();
        mix(sample, to.alpha / from.alpha, &terms)
    }
}
