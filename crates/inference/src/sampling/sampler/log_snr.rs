//! Shared by the DPM-Solver family: nodes in log-SNR. Lu et al., <https://arxiv.org/abs/2206.00927>.

use super::super::SchedulerConfig;
use super::super::betas::Training;
use super::super::config::SolverKind;
use super::super::definition::{FlowFields, Prediction, Setup};
use super::super::prediction::{Clipping, Level, PredictionType, mix};
use super::super::rounding::ln;
use super::super::schedule::{self, LogSnrRules, Schedule};
use super::Walk;
use crate::{Result, Tensor};

/// A point of the schedule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) alpha: f32,
    pub(super) sigma: f32,
    /// Half the logarithm of the signal-to-noise ratio.
    pub(super) lambda: f32,
}

/// A walk in log-SNR.
pub(super) struct LogSnr {
    pub(super) schedule: Schedule,
    prediction: PredictionType,
    pub(super) clipping: Clipping,
    /// Whether sigma is the share of noise in a flow instead of noise per unit of image.
    flow: bool,
}

impl LogSnr {
    pub(super) fn new(setup: &Setup<'_>, rules: &LogSnrRules) -> Result<Self> {
        let config = setup.config;
        Ok(Self {
            schedule: schedule::log_snr(setup, rules, &Training::new(config))?,
            prediction: config.prediction,
            clipping: config.clipping,
            flow: config.flow.enabled,
        })
    }

    /// How many calls are left, including this one.
    pub(super) fn remaining(&self, index: usize) -> usize {
        self.schedule.timesteps.len() - index
    }

    pub(super) fn node(&self, index: usize) -> Node {
        let Level { alpha, sigma } = self.level(index);
        Node { alpha, sigma, lambda: ln(alpha) - ln(sigma) }
    }

    /// Half the logarithm of the signal-to-noise ratio at a node.
    pub(super) fn lambda(&self, index: usize) -> f32 {
        self.node(index).lambda
    }

    /// The predicted, clipped image in the sample of call `index`.
    pub(super) fn image(&self, index: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        self.clipping.apply(self.prediction.image(output, sample, self.level(index))?)
    }

    /// The predicted noise; if the image is clipped, the noise that leads to the clipped image.
    pub(super) fn noise(&self, index: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        match self.clipping {
            Clipping::None => self.prediction.noise(output, sample, self.level(index)),
            _ => self.noise_beside(index, &self.image(index, output, sample)?, sample),
        }
    }

    /// The noise in a sample, given its image.
    pub(super) fn noise_beside(&self, index: usize, image: &Tensor, sample: &Tensor) -> Result<Tensor> {
        let Level { alpha, sigma } = self.level(index);
        mix(sample, 1.0 / sigma, &[(-alpha / sigma, image)])
    }
}

impl Walk for LogSnr {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn level(&self, index: usize) -> Level {
        let sigma = self.schedule.sigmas.get(index).copied().unwrap_or(0.0);
        if self.flow {
            return Level { alpha: 1.0 - sigma, sigma };
        }
        let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
        Level { alpha, sigma: sigma * alpha }
    }
}

/// Noise, velocity, the image or the flow.
pub(super) const PREDICTION: Prediction = Prediction::Named(&[
    ("epsilon", PredictionType::Epsilon),
    ("v_prediction", PredictionType::V),
    ("sample", PredictionType::Sample),
    ("flow_prediction", PredictionType::Flow),
]);

/// Flow matching is an option of these solvers, with an exponential shift.
pub(super) const FLOW: FlowFields =
    FlowFields { switch: Some("use_flow_sigmas"), shift: "flow_shift", linear: false, terminal: false, line: false };

/// The variants of an update. Values of another solver of the family, carried over from its file, mean the default.
pub(super) const KINDS: &[(&str, SolverKind)] = &[
    ("midpoint", SolverKind::Midpoint),
    ("heun", SolverKind::Heun),
    ("logrho", SolverKind::Midpoint),
    ("bh1", SolverKind::Midpoint),
    ("bh2", SolverKind::Midpoint),
];

/// Refuses flow models unless the solver uses flow sigmas and integrates the predicted image.
pub(super) fn check_flow(config: &SchedulerConfig, integrates_image: bool) -> Result<()> {
    if config.prediction == PredictionType::Flow && !(integrates_image && config.flow.enabled) {
        let reason = "flow_prediction needs use_flow_sigmas and a solver that integrates the image";
        return Err(config.fields().error("prediction_type", reason));
    }
    Ok(())
}
