//! DPM-Solver++ as a multistep method: DPM++ 2M, 3M and their SDE variants. Lu et al.,
//! <https://arxiv.org/abs/2211.01095>, algorithm 2.

use super::super::SchedulerConfig;
use super::super::config::{Algorithm, Respacing, SolverConfig, Spacing};
use super::super::definition::{
    BetaFields, Definition, Flows, Name, Reads, Setup, SolverFields, Takes, TakesMu, ZeroSnr,
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
    class_name: "DPMSolverMultistepScheduler",
    names: &[
        Name::with_algorithm("dpm++2m", "DPM++ 2M", "dpmsolver++"),
        Name::with_algorithm("dpm++2m-sde", "DPM++ 2M SDE", "sde-dpmsolver++"),
    ],
    calls_per_step: 1,
    flows: Flows::Solves,
    reads: Reads {
        betas: Some(BetaFields::PIXELS.with_zero_snr(ZeroSnr::Divisible)),
        prediction: PREDICTION,
        thresholding: true,
        spacing: Some(Spacing::Linspace),
        respacings: &[
            ("use_karras_sigmas", Respacing::Karras),
            ("use_exponential_sigmas", Respacing::Exponential),
            ("use_beta_sigmas", Respacing::Beta),
            ("use_lu_lambdas", Respacing::Lu),
        ],
        final_sigmas: true,
        lambda_min_clipped: true,
        flow: Some(FLOW),
        solver: Some(SolverFields { max_order: 3, kinds: KINDS, lower_order_final: true }),
        algorithms: &[
            ("dpmsolver++", Algorithm::DpmPlusPlus),
            ("dpmsolver", Algorithm::Dpm),
            // DEIS' value, carried over from its file.
            ("deis", Algorithm::DpmPlusPlus),
            ("sde-dpmsolver", Algorithm::SdeDpm),
            ("sde-dpmsolver++", Algorithm::SdeDpmPlusPlus),
        ],
        ..Reads::NOTHING
    },
    takes: Takes { mu: TakesMu::IfDynamic, ..Takes::TIMESTEPS },
    check: |config| {
        euler_at_final(config)?;
        dpm_update::check(config)
    },
    build: |setup| Ok(Box::new(DpmMultistep::new(setup)?)),
};

const RULES: LogSnrRules = LogSnrRules {
    flow_sigmas: flow::solver_sigmas,
    karras_on_flows: false,
    cuts_cosine_timesteps: true,
    end: End::configured,
};

/// Whether the last step is always of first order.
fn euler_at_final(config: &SchedulerConfig) -> Result<bool> {
    config.fields().flag("euler_at_final", false)
}

/// Shorter runs end with lower orders.
pub(super) const SHORT_RUN: usize = 15;

struct DpmMultistep {
    log_snr: LogSnr,
    solver: SolverConfig,
    euler_at_final: bool,
    ends_at_zero: bool,
    /// The integrated prediction (image or noise) of the last few calls, the newest first.
    values: VecDeque<Tensor>,
}

impl DpmMultistep {
    fn new(setup: &Setup<'_>) -> Result<Self> {
        Ok(Self {
            log_snr: LogSnr::new(setup, &RULES)?,
            solver: setup.config.solver,
            euler_at_final: euler_at_final(setup.config)?,
            ends_at_zero: !setup.config.sigmas.end_at_min,
            values: VecDeque::new(),
        })
    }

    /// The order of a call, counting its own value.
    fn order(&self, index: usize) -> usize {
        let short = self.solver.lower_order_final && self.log_snr.schedule.timesteps.len() < SHORT_RUN;
        let most = match self.log_snr.remaining(index) {
            1 if self.euler_at_final || short || self.ends_at_zero => 1,
            2 if short => 2,
            _ => self.solver.order,
        };
        most.min(self.solver.order).min(self.values.len())
    }

    /// The terms of second and third order, added to the first.
    fn correct(&self, index: usize, order: usize, update: &Update, first: Tensor) -> Result<Tensor> {
        let (Some(v0), Some(v1)) = (self.values.front(), self.values.get(1).filter(|_| order > 1)) else {
            return Ok(first);
        };
        let nodes = &self.log_snr;
        let h = nodes.lambda(index + 1) - nodes.lambda(index);
        let r0 = (nodes.lambda(index) - nodes.lambda(index - 1)) / h;
        let d0 = v0.sub(v1)?.scale(f64::from(1.0 / r0))?;
        let Some(v2) = self.values.get(2).filter(|_| order > 2) else {
            return mix(&first, 1.0, &[(update.slope(self.solver.kind), &d0)]);
        };
        let r1 = (nodes.lambda(index - 1) - nodes.lambda(index - 2)) / h;
        let d1 = v1.sub(v2)?.scale(f64::from(1.0 / r1))?;
        let bend = d0.sub(&d1)?;
        let slope = mix(&d0, 1.0, &[(r0 / (r0 + r1), &bend)])?;
        let curvature = update.curvature() * (1.0 / (r0 + r1));
        mix(&first, 1.0, &[(update.slope_third(), &slope), (curvature, &bend)])
    }
}

impl Solver for DpmMultistep {
    fn walk(&self) -> &dyn Walk {
        &self.log_snr
    }

    fn step(&mut self, Call { index, output, sample, noise }: Call<'_>) -> Result<Tensor> {
        let value = match self.solver.algorithm.predicts_image() {
            true => self.log_snr.image(index, output, sample)?,
            false => self.log_snr.noise(index, output, sample)?,
        };
        self.values.truncate(self.solver.order - 1);
        self.values.push_front(value.clone());
        let drawn = self.solver.algorithm.is_stochastic().then(|| noise.draw_like(sample)).transpose()?;
        let update = Update::new(self.solver.algorithm, self.log_snr.node(index), self.log_snr.node(index + 1));
        let first = update.first(sample, &value, drawn.as_ref())?;
        self.correct(index, self.order(index), &update, first)
    }
}
