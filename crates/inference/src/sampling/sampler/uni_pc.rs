//! UniPC: a predictor of any order, and a corrector that reuses the next model call. Zhao et al.,
//! <https://arxiv.org/abs/2302.04867>.
//!
//! The order conditions of high orders are small differences of large terms: with `hh`, the step in log-SNR, the k-th
//! one loses a factor of `hh` to the k-th power. From order 4 and about 40 steps on, the last digits of diffusers' own
//! coefficients are noise, and one bit in a node changes them. Logarithm, `expm1` and elimination are rounded as in
//! diffusers. torch's square root, which is off by one bit for one number in a hundred, is not reproduced, so order 4
//! agrees up to 50 steps, and order 5 up to 20.

use super::super::SchedulerConfig;
use super::super::config::{SolverConfig, SolverKind, Spacing};
use super::super::definition::{
    BetaFields, Definition, FlowFields, Flows, Name, RESPACINGS, Reads, Setup, SolverFields, Takes, TakesMu,
    TakesSigmas, ZeroSnr,
};
use super::super::prediction::{Clipping, mix};
use super::super::rounding::exp_m1;
use super::super::schedule::{End, LogSnrRules};
use super::super::spacing::linspace;
use super::log_snr::{FLOW, LogSnr, PREDICTION, check_flow};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};
use std::collections::VecDeque;

pub(super) static DEFINITION: Definition = Definition {
    class_name: "UniPCMultistepScheduler",
    names: &[Name::new("unipc", "UniPC")],
    calls_per_step: 1,
    flows: Flows::Solves,
    reads: Reads {
        betas: Some(BetaFields::PIXELS.with_zero_snr(ZeroSnr::Divisible)),
        prediction: PREDICTION,
        thresholding: true,
        spacing: Some(Spacing::Linspace),
        respacings: RESPACINGS,
        final_sigmas: true,
        flow: Some(FlowFields { linear: true, terminal: true, ..FLOW }),
        solver: Some(SolverFields { max_order: 5, kinds: KINDS, lower_order_final: true }),
        ..Reads::NOTHING
    },
    takes: Takes { sigmas: TakesSigmas::OnFlows, mu: TakesMu::Needed, ..Takes::STEPS },
    check,
    build: |setup| Ok(Box::new(UniPc::new(setup)?)),
};

/// The variants of B(h). Values of another solver, carried over from its file, mean the default.
const KINDS: &[(&str, SolverKind)] = &[
    ("bh2", SolverKind::Bh2),
    ("bh1", SolverKind::Bh1),
    ("midpoint", SolverKind::Bh2),
    ("heun", SolverKind::Bh2),
    ("logrho", SolverKind::Bh2),
];

const RULES: LogSnrRules = LogSnrRules {
    flow_sigmas,
    karras_on_flows: true,
    cuts_cosine_timesteps: false,
    end: |end: &End| if end.at_min && !end.from_timesteps { end.last } else { end.configured() },
};

/// The fields that only UniPC reads.
struct OwnFields {
    /// Integrates the predicted image instead of the predicted noise.
    predict_x0: bool,
    /// The calls that are not corrected.
    disable_corrector: Vec<f64>,
}

impl OwnFields {
    fn read(config: &SchedulerConfig) -> Result<Self> {
        let fields = config.fields();
        if fields.value("solver_p").is_some() {
            return Err(fields.error("solver_p", "expected null, as a separate predictor is not supported"));
        }
        Ok(Self {
            predict_x0: fields.flag("predict_x0", true)?,
            disable_corrector: fields.numbers("disable_corrector")?.unwrap_or_default(),
        })
    }
}

fn check(config: &SchedulerConfig) -> Result<()> {
    let own = OwnFields::read(config)?;
    let fields = config.fields();
    if !own.predict_x0 && !config.sigmas.end_at_min {
        return Err(fields.error("final_sigmas_type", "\"zero\" needs predict_x0, as noise has no scale there"));
    }
    if config.flow.terminal.is_some() && !config.flow.enabled {
        return Err(fields.error("shift_terminal", "needs use_flow_sigmas"));
    }
    check_flow(config, own.predict_x0)
}

/// The sigmas on a flow, without the final one.
fn flow_sigmas(setup: &Setup<'_>) -> Vec<f64> {
    const EPSILON: f64 = 1e-6;
    let Setup { config, timesteps, steps, .. } = *setup;
    let mut sigmas = timesteps.sigmas.clone().unwrap_or_else(|| {
        let mut spaced = linspace(1.0, 1.0 / config.train_timesteps as f64, steps + 1);
        spaced.truncate(steps);
        spaced
    });
    config.shift_sigmas(&mut sigmas, timesteps.mu);
    // At pure noise the solver would divide by the image's share, zero.
    if let Some(first) = sigmas.first_mut().filter(|first| (**first - 1.0).abs() < EPSILON) {
        *first -= EPSILON;
    }
    sigmas
}

struct UniPc {
    log_snr: LogSnr,
    solver: SolverConfig,
    own: OwnFields,
    /// The integrated prediction (image or noise) of the last few calls, the newest first.
    values: VecDeque<Tensor>,
    /// The sample and the order of the last step.
    last: Option<(Tensor, usize)>,
}

/// The coefficients of an update from node `from` to the next, for predictor and corrector.
struct Update {
    sample: f32,
    value: f32,
    /// The weight of the differences from the newest value.
    differences: f32,
    /// The positions of the older values, in units of the step from `from`.
    ratios: Vec<f32>,
    /// The right-hand side of the order conditions.
    conditions: Vec<f32>,
}

impl UniPc {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        let mut log_snr = LogSnr::new(setup, &RULES)?;
        let own = OwnFields::read(setup.config)?;
        if !own.predict_x0 {
            // diffusers clips the predicted image only if the solver integrates it.
            log_snr.clipping = Clipping::None;
        }
        Ok(Self { log_snr, solver: setup.config.solver, own, values: VecDeque::new(), last: None })
    }

    fn update(&self, from: usize, order: usize) -> Update {
        let s = self.log_snr.node(from);
        let t = self.log_snr.node(from + 1);
        let h = t.lambda - s.lambda;
        let x0 = self.own.predict_x0;
        let hh = if x0 { -h } else { h };
        let growth = exp_m1(hh);
        let weight = if self.solver.kind == SolverKind::Bh1 { hh } else { growth };
        let mut phi = growth / hh - 1.0;
        let mut factorial = 1.0;
        let mut conditions = Vec::with_capacity(order);
        for i in 1..=order {
            conditions.push(phi * factorial / weight);
            factorial *= (i + 1) as f32;
            phi = phi / hh - 1.0 / factorial;
        }
        let (scale, target) = if x0 { (t.sigma / s.sigma, t.alpha) } else { (t.alpha / s.alpha, t.sigma) };
        Update {
            sample: scale,
            value: -(target * growth),
            differences: -(target * weight),
            ratios: (1..order).map(|i| (self.log_snr.node(from - i).lambda - s.lambda) / h).collect(),
            conditions,
        }
    }

    /// Steps from the newest value's node to the next.
    fn predict(&self, index: usize, order: usize, sample: &Tensor) -> Result<Tensor> {
        let update = self.update(index, order);
        let rhos = match order {
            1 => Vec::new(),
            2 => vec![0.5],
            _ => solve(&update.ratios, &update.conditions[..order - 1]),
        };
        self.apply(&update, &rhos, sample, None)
    }

    /// Recomputes the sample of call `index`, now that the model's value there is known.
    fn correct(&self, index: usize, order: usize, last: &Tensor, value: &Tensor) -> Result<Tensor> {
        let update = self.update(index - 1, order);
        let mut ratios = update.ratios.clone();
        ratios.push(1.0);
        let rhos = if order == 1 { vec![0.5] } else { solve(&ratios, &update.conditions) };
        self.apply(&update, &rhos, last, Some(value))
    }

    fn apply(&self, update: &Update, rhos: &[f32], sample: &Tensor, here: Option<&Tensor>) -> Result<Tensor> {
        let Some(newest) = self.values.front() else { return Ok(sample.clone()) };
        let mut result = mix(sample, update.sample, &[(update.value, newest)])?;
        let older = self.values.iter().skip(1).zip(&update.ratios).map(|(value, ratio)| (value, 1.0 / ratio));
        for ((value, factor), rho) in older.chain(here.map(|value| (value, 1.0))).zip(rhos) {
            let weight = update.differences * rho * factor;
            result = mix(&result, 1.0, &[(weight, &value.sub(newest)?)])?;
        }
        Ok(result)
    }

    fn order(&self, index: usize) -> usize {
        let last_step_to_zero = self.log_snr.level(index + 1).sigma == 0.0;
        let most = match self.solver.lower_order_final {
            true => self.log_snr.remaining(index),
            // The step to sigma zero is infinitely long in log-SNR; only the first order can take it.
            false if last_step_to_zero => 1,
            false => self.solver.order,
        };
        most.min(self.solver.order).min(self.values.len())
    }
}

/// Solves `sum_j ratios[j]^i * x[j] = right[i]` by elimination with pivoting.
///
/// The matrix is nearly singular for orders above three, so rounding matters. It follows LAPACK's `sgesv` as computed
/// by MKL for torch: `f32`, fused multiply-adds, and products with the reciprocal of a pivot.
fn solve(ratios: &[f32], right: &[f32]) -> Vec<f32> {
    let n = right.len();
    let row = |i: usize| ratios.iter().take(n).map(move |ratio| ratio.powi(i as i32));
    let mut rows: Vec<Vec<f32>> = right.iter().enumerate().map(|(i, right)| row(i).chain([*right]).collect()).collect();
    for column in 0..n {
        let by_size = |a: &usize, b: &usize| rows[*a][column].abs().total_cmp(&rows[*b][column].abs());
        // The first of equal ones.
        let largest = (column..n).rev().max_by(by_size).unwrap_or(column);
        rows.swap(column, largest);
        let pivot = rows[column].clone();
        let reciprocal = 1.0 / pivot[column];
        for row in &mut rows[column + 1..] {
            let factor = row[column] * reciprocal;
            row.iter_mut().zip(&pivot).skip(column + 1).for_each(|(entry, pivot)| {
                *entry = libm::fmaf(-factor, *pivot, *entry);
            });
        }
    }
    let mut solution = vec![0.0; n];
    for i in (0..n).rev() {
        let known = (i + 1..n).rev().fold(0.0, |sum, j| libm::fmaf(rows[i][j], solution[j], sum));
        solution[i] = (rows[i][n] - known) * (1.0 / rows[i][i]);
    }
    solution
}

impl Solver for UniPc {
    fn walk(&self) -> &dyn Walk {
        &self.log_snr
    }

    fn step(&mut self, Call { index, output, sample, .. }: Call<'_>) -> Result<Tensor> {
        let value = match self.own.predict_x0 {
            true => self.log_snr.image(index, output, sample)?,
            false => self.log_snr.noise(index, output, sample)?,
        };
        let disabled = self.own.disable_corrector.iter().any(|call| *call + 1.0 == index as f64);
        let sample = match self.last.take() {
            Some((last, order)) if !disabled => self.correct(index, order, &last, &value)?,
            _ => sample.clone(),
        };
        self.values.truncate(self.solver.order - 1);
        self.values.push_front(value);
        let order = self.order(index);
        let next = self.predict(index, order, &sample)?;
        self.last = Some((sample, order));
        Ok(next)
    }
}
