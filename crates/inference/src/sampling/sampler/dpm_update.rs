//! The updates of DPM-Solver and DPM-Solver++, as equations and as SDEs. Lu et al.,
//! <https://arxiv.org/abs/2211.01095>, with the SDE variants of appendix D.

use super::super::SchedulerConfig;
use super::super::config::{Algorithm, SolverKind};
use super::super::prediction::mix;
use super::log_snr::{Node, check_flow};
use crate::{Result, Tensor};
use serde_json::Value;

/// Refuses values that neither of the two DPM-Solvers supports.
pub(super) fn check(config: &SchedulerConfig) -> Result<()> {
    let fields = config.fields();
    let algorithm = config.solver.algorithm;
    // Fixed variances, carried over from a DDPM file, have no effect here; a learned one would change the model's
    // output.
    let variance = fields.value("variance_type").and_then(Value::as_str);
    if let Some(learned) = variance.filter(|variance| variance.starts_with("learned")) {
        return Err(fields.error("variance_type", format!("expected null or a fixed variance, got {learned:?}")));
    }
    if !algorithm.predicts_image() && !config.sigmas.end_at_min {
        let reason = "\"zero\" needs algorithm_type dpmsolver++ or sde-dpmsolver++";
        return Err(fields.error("final_sigmas_type", reason));
    }
    if algorithm == Algorithm::SdeDpm && config.solver.order == 3 {
        return Err(fields.error("solver_order", "expected 1 or 2, as sde-dpmsolver has no third order"));
    }
    check_flow(config, algorithm.predicts_image())
}

/// The coefficients of a step from one node to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    sample: f32,
    value: f32,
    slope_midpoint: f32,
    slope_heun: f32,
    curvature: f32,
    noise: f32,
}

impl Update {
    pub(super) fn new(algorithm: Algorithm, from: Node, to: Node) -> Self {
        let h = to.lambda - from.lambda;
        let grow = h.exp();
        let shrink = (-h).exp();
        match algorithm {
            Algorithm::DpmPlusPlus => Self {
                sample: to.sigma / from.sigma,
                value: -(to.alpha * (shrink - 1.0)),
                slope_midpoint: -0.5 * (to.alpha * (shrink - 1.0)),
                slope_heun: to.alpha * ((shrink - 1.0) / h + 1.0),
                curvature: -(to.alpha * ((shrink - 1.0 + h) / (h * h) - 0.5)),
                noise: 0.0,
            },
            Algorithm::Dpm => Self {
                sample: to.alpha / from.alpha,
                value: -(to.sigma * (grow - 1.0)),
                slope_midpoint: -0.5 * (to.sigma * (grow - 1.0)),
                slope_heun: -(to.sigma * ((grow - 1.0) / h - 1.0)),
                curvature: -(to.sigma * ((grow - 1.0 - h) / (h * h) - 0.5)),
                noise: 0.0,
            },
            Algorithm::SdeDpmPlusPlus => {
                let lost = 1.0 - (-2.0 * h).exp();
                Self {
                    sample: to.sigma / from.sigma * shrink,
                    value: to.alpha * lost,
                    slope_midpoint: 0.5 * (to.alpha * lost),
                    slope_heun: to.alpha * (lost / (-2.0 * h) + 1.0),
                    curvature: to.alpha * ((lost - 2.0 * h) / (4.0 * h * h) - 0.5),
                    noise: to.sigma * lost.sqrt(),
                }
            }
            Algorithm::SdeDpm => Self {
                sample: to.alpha / from.alpha,
                value: -2.0 * (to.sigma * (grow - 1.0)),
                slope_midpoint: -(to.sigma * (grow - 1.0)),
                slope_heun: -2.0 * (to.sigma * ((grow - 1.0) / h - 1.0)),
                curvature: 0.0,
                noise: to.sigma * ((2.0 * h).exp() - 1.0).sqrt(),
            },
        }
    }

    /// The first-order update, which the higher orders correct.
    pub(super) fn first(&self, sample: &Tensor, value: &Tensor, noise: Option<&Tensor>) -> Result<Tensor> {
        let mut terms = vec![(self.value, value)];
        terms.extend(noise.map(|noise| (self.noise, noise)));
        mix(sample, self.sample, &terms)
    }

    /// The weight of the slope of the model's value.
    pub(super) fn slope(&self, kind: SolverKind) -> f32 {
        if kind == SolverKind::Heun { self.slope_heun } else { self.slope_midpoint }
    }

    /// The weight of the slope in a third-order update.
    pub(super) fn slope_third(&self) -> f32 {
        self.slope_heun
    }

    /// The weight of the second derivative of the model's value.
    pub(super) fn curvature(&self) -> f32 {
        self.curvature
    }
}
