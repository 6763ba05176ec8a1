//! DPM-Solver++ as a singlestep method: DPM++ 2S. Calls come in groups of one, two or three, and the last call of a
//! group steps from the group's start. Lu et al., <https://arxiv.org/abs/2211.01095>, algorithm 1.

use super::super::config::{Algorithm, SolverConfig, SolverKind};
use super::super::definition::{
    BetaFields, Definition, Flows, Name, RESPACINGS, Reads, Setup, SolverFields, Takes, TakesMu,
};
use super::super::flow;
use super::super::prediction::mix;
use super::super::schedule::{End, LogSnrRules};
use super::dpm_update::{self, Update};
use super::log_snr::{FLOW, KINDS, LogSnr, PREDICTION};
use super::{Call, Solver, Walk};
use crate::{Result, Tensor};
use std::collections::VecDeque;

pub(super) static DEFINITION: Definition = Definition {
    class_name: "DPMSolverSinglestepScheduler",
    names: &[
        Name::with_algorithm("dpm++2s", "DPM++ 2S", "dpmsolver++"),
        Name::with_algorithm("dpm++sde", "DPM++ SDE", "sde-dpmsolver++"),
    ],
    calls_per_step: 1,
    flows: Flows::Solves,
    reads: Reads {
        betas: Some(BetaFields::PIXELS),
        prediction: PREDICTION,
        thresholding: true,
        respacings: RESPACINGS,
        final_sigmas: true,
        lambda_min_clipped: true,
        flow: Some(FLOW),
        solver: Some(SolverFields { max_order: 3, kinds: KINDS, lower_order_final: false }),
        algorithms: &[
            ("dpmsolver++", Algorithm::DpmPlusPlus),
            ("dpmsolver", Algorithm::Dpm),
            // DEIS' value, carried over from its file.
            ("deis", Algorithm::DpmPlusPlus),
            ("sde-dpmsolver++", Algorithm::SdeDpmPlusPlus),
        ],
        ..Reads::NOTHING
    },
    takes: Takes { mu: TakesMu::IfDynamic, ..Takes::TIMESTEPS },
    check: dpm_update::check,
    build: |setup| Ok(Box::new(DpmSinglestep::new(setup)?)),
};

const RULES: LogSnrRules = LogSnrRules {
    flow_sigmas: flow::solver_sigmas,
    karras_on_flows: false,
    cuts_cosine_timesteps: false,
    end: End::configured,
};

struct DpmSinglestep {
    log_snr: LogSnr,
    solver: SolverConfig,
    /// The order of every call: its position in its group.
    orders: Vec<usize>,
    /// The integrated prediction (image or noise) of the last few calls, the newest first.
    values: VecDeque<Tensor>,
    /// The sample at the start of the group.
    start: Option<Tensor>,
}

impl DpmSinglestep {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        let log_snr = LogSnr::new(setup, &RULES)?;
        let solver = setup.config.solver;
        let orders = orders(log_snr.schedule.timesteps.len(), &solver, !setup.config.sigmas.end_at_min);
        Ok(Self { log_snr, solver, orders, values: VecDeque::new(), start: None })
    }

    /// The terms of second and third order, added to the first, for a group that started at call `from`.
    fn correct(&self, index: usize, order: usize, update: &Update, first: Tensor) -> Result<Tensor> {
        let from = index + 1 - order;
        let nodes = &self.log_snr;
        let start = nodes.lambda(from);
        let h = nodes.lambda(index + 1) - start;
        match (order, self.values.front(), self.values.get(1), self.values.get(2)) {
            (2, Some(v0), Some(v1), _) => {
                let slope = slope(v0, v1, (nodes.lambda(index) - start) / h)?;
                mix(&first, 1.0, &[(update.slope(self.solver.kind), &slope)])
            }
            (3, Some(v0), Some(v1), Some(v2)) => {
                let r0 = (nodes.lambda(index) - start) / h;
                let r1 = (nodes.lambda(index - 1) - start) / h;
                let near = slope(v1, v2, r1)?;
                let far = slope(v0, v2, r0)?;
                if self.solver.kind == SolverKind::Midpoint {
                    return mix(&first, 1.0, &[(update.slope_third(), &far)]);
                }
                let slope = mix(&near, r0 / (r0 - r1), &[(-r1 / (r0 - r1), &far)])?;
                let bend = far.sub(&near)?;
                let curvature = update.curvature() * (2.0 / (r0 - r1));
                mix(&first, 1.0, &[(update.slope_third(), &slope), (curvature, &bend)])
            }
            _ => Ok(first),
        }
    }
}

/// The change from an older value to a newer one, in units of the group's step; `share` is their distance.
fn slope(newer: &Tensor, older: &Tensor, share: f32) -> Result<Tensor> {
    newer.sub(older)?.scale(f64::from(1.0 / share))
}

/// The orders of all calls, in groups; an incomplete group and the step to sigma zero get lower orders.
fn orders(steps: usize, solver: &SolverConfig, ends_at_zero: bool) -> Vec<usize> {
    let order = solver.order;
    let lower_order_final = solver.lower_order_final || !steps.is_multiple_of(order) || ends_at_zero;
    let mut orders: Vec<usize> = (0..steps).map(|call| call % order + 1).collect();
    if lower_order_final && order > 1 && steps.is_multiple_of(order) {
        // The last group of three becomes one of two and one of one, a last pair becomes two of one.
        let tail: &[usize] = if order == 3 { &[1, 2, 1] } else { &[1, 1] };
        orders.splice(steps - order.., tail.iter().copied());
    }
    if let (true, Some(last)) = (ends_at_zero, orders.last_mut()) {
        *last = 1;
    }
    orders
}

impl Solver for DpmSinglestep {
    fn walk(&self) -> &dyn Walk {
        &self.log_snr
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let value = match self.solver.algorithm.predicts_image() {
            true => self.log_snr.image(index, output, sample)?,
            false => self.log_snr.noise(index, output, sample)?,
        };
        self.values.truncate(self.solver.order - 1);
        self.values.push_front(value);
        let drawn = self.solver.algorithm.is_stochastic().then(|| noise.draw_like(sample)).transpose()?;
        let order = self.orders.get(index).copied().unwrap_or(1).min(self.values.len());
        if order == 1 {
            self.start = Some(sample.clone());
        }
        let start = self.start.as_ref().unwrap_or(sample);
        // The group's first value; the others enter as differences from it.
        let value = self.values.get(order - 1).unwrap_or(output);
        let from = self.log_snr.node(index + 1 - order);
        let update = Update::new(self.solver.algorithm, from, self.log_snr.node(index + 1));
        let first = update.first(start, value, drawn.as_ref())?;
        self.correct(index, order, &update, first)
    }
}
