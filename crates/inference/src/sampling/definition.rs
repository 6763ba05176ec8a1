//! The definition of a sampler, found in the sampler's file. Every list of samplers is generated from the table
//! of definitions in `sampler/mod.rs`: names, labels, classes, the fields of a configuration, the options of a run.

use super::config::{Algorithm, BetaSchedule, Respacing, SchedulerConfig, SolverKind, Spacing};
use super::prediction::PredictionType;
use super::sampler::Solver;
use super::{SchedulerClass, StepOptions, TimestepOptions};
use crate::Result;

/// The definition of a sampler.
pub(super) struct Definition {
    /// The class in diffusers: `_class_name` in `scheduler_config.json`.
    pub(super) class_name: &'static str,
    /// The names that users choose it by, the usual one first.
    pub(super) names: &'static [Name],
    /// Model calls per step: 1, or 2 for two-stage methods.
    pub(super) calls_per_step: usize,
    /// How it handles models that were trained by flow matching.
    pub(super) flows: Flows,
    /// The shared fields of the configuration that it reads. Its own fields are read in its file.
    pub(super) reads: Reads,
    /// The options of a run that it accepts.
    pub(super) takes: Takes,
    /// Refuses unsupported values of its own fields and unsupported combinations of fields.
    pub(super) check: fn(&SchedulerConfig) -> Result<()>,
    /// Sets up a run.
    pub(super) build: fn(&Setup<'_>) -> Result<Box<dyn Solver>>,
}

/// A name of a sampler.
pub(super) struct Name {
    /// The name on the command line, in the HTTP interface and on the page: `dpm++2m`.
    pub(super) name: &'static str,
    /// AUTOMATIC1111's name in picture metadata: `DPM++ 2M`.
    pub(super) label: &'static str,
    /// The value of the field `algorithm_type` that the name implies.
    pub(super) algorithm: Option<&'static str>,
}

impl Name {
    /// A name that implies no algorithm.
    pub(super) const fn new(name: &'static str, label: &'static str) -> Self {
        Self { name, label, algorithm: None }
    }

    /// A name that implies a value of `algorithm_type`.
    pub(super) const fn with_algorithm(name: &'static str, label: &'static str, algorithm: &'static str) -> Self {
        Self { name, label, algorithm: Some(algorithm) }
    }
}

/// How a sampler handles models that were trained by flow matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flows {
    /// It has no form for flows.
    Refuses,
    /// It also solves flows, if its fields (`use_flow_sigmas`, `flow_shift`) say so.
    Solves,
    /// It solves only flows.
    Only,
    /// Its form for flows is a separate class.
    As(SchedulerClass),
}

/// Fields that several samplers share, with this sampler's defaults. Other fields of a configuration belong to other
/// samplers and are ignored.
pub(super) struct Reads {
    /// The training schedule: `beta_start`, `beta_end`, `beta_schedule`, `trained_betas`.
    pub(super) betas: Option<BetaFields>,
    /// `prediction_type`.
    pub(super) prediction: Prediction,
    /// `clip_sample` with this default, `clip_sample_range`.
    pub(super) clip_sample: Option<bool>,
    /// `thresholding`, `dynamic_thresholding_ratio`, `sample_max_value`.
    pub(super) thresholding: bool,
    /// `timestep_spacing` with this default, `steps_offset`.
    pub(super) spacing: Option<Spacing>,
    /// `set_alpha_to_one` with this default.
    pub(super) set_alpha_to_one: Option<bool>,
    /// Switches that replace the sigmas of the timesteps. If there are any, `sigma_min` and `sigma_max` are read too.
    pub(super) respacings: &'static [(&'static str, Respacing)],
    /// `final_sigmas_type`.
    pub(super) final_sigmas: bool,
    /// `lambda_min_clipped`.
    pub(super) lambda_min_clipped: bool,
    /// Flow matching.
    pub(super) flow: Option<FlowFields>,
    /// `solver_order`, `solver_type`, `lower_order_final`.
    pub(super) solver: Option<SolverFields>,
    /// The accepted values of `algorithm_type`, the default first.
    pub(super) algorithms: &'static [(&'static str, Algorithm)],
}

impl Reads {
    /// The base for `..`: reads only `prediction_type`.
    pub(super) const NOTHING: Self = Self {
        betas: None,
        prediction: Prediction::Named(EPSILON_OR_V),
        clip_sample: None,
        thresholding: false,
        spacing: None,
        set_alpha_to_one: None,
        respacings: &[],
        final_sigmas: false,
        lambda_min_clipped: false,
        flow: None,
        solver: None,
        algorithms: &[],
    };

    /// The algorithm for a value of `algorithm_type`.
    pub(super) fn algorithm(&self, word: &str) -> Option<Algorithm> {
        self.algorithms.iter().find(|(known, _)| *known == word).map(|(_, algorithm)| *algorithm)
    }
}

/// The defaults of the training schedule.
#[derive(Clone, Copy)]
pub(super) struct BetaFields {
    /// The default of `beta_schedule`, which may be linear, scaled_linear or squaredcos_cap_v2.
    pub(super) schedule: BetaSchedule,
    /// Further accepted values.
    pub(super) more: &'static [(&'static str, BetaSchedule)],
    pub(super) start: f64,
    pub(super) end: f64,
    /// `rescale_betas_zero_snr`, if it is read.
    pub(super) zero_snr: Option<ZeroSnr>,
}

/// The last training timestep of a schedule that is rescaled to have no signal at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZeroSnr {
    /// No signal is left.
    Exact,
    /// A tiny signal (2⁻²⁴) is left, because the sampler divides by it.
    Divisible,
}

impl BetaFields {
    /// The schedule of DDPM, for pixel models.
    pub(super) const PIXELS: Self =
        Self { schedule: BetaSchedule::Linear, more: &[], start: 0.0001, end: 0.02, zero_snr: None };

    /// The schedule of Stable Diffusion, for latent models.
    pub(super) const LATENTS: Self = Self { start: 0.00085, end: 0.012, ..Self::PIXELS };

    /// Reads `rescale_betas_zero_snr` too.
    pub(super) const fn with_zero_snr(self, zero_snr: ZeroSnr) -> Self {
        Self { zero_snr: Some(zero_snr), ..self }
    }
}

/// How the prediction type is determined.
pub(super) enum Prediction {
    /// It is fixed.
    Always(PredictionType),
    /// By `prediction_type`: the accepted values, the default first.
    Named(&'static [(&'static str, PredictionType)]),
}

/// Noise or velocity.
pub(super) const EPSILON_OR_V: &[(&str, PredictionType)] =
    &[("epsilon", PredictionType::Epsilon), ("v_prediction", PredictionType::V)];

/// Noise, velocity or the image.
pub(super) const EPSILON_V_OR_SAMPLE: &[(&str, PredictionType)] =
    &[("epsilon", PredictionType::Epsilon), ("v_prediction", PredictionType::V), ("sample", PredictionType::Sample)];

/// The three respacing switches that most sigma-based samplers have.
pub(super) const RESPACINGS: &[(&str, Respacing)] = &[
    ("use_karras_sigmas", Respacing::Karras),
    ("use_exponential_sigmas", Respacing::Exponential),
    ("use_beta_sigmas", Respacing::Beta),
];

/// How a sampler reads the fields of flow matching.
#[derive(Clone, Copy)]
pub(super) struct FlowFields {
    /// The switch that turns flow matching on; without one it is always on.
    pub(super) switch: Option<&'static str>,
    /// The name of the static shift.
    pub(super) shift: &'static str,
    /// Whether `time_shift_type` may be `linear`.
    pub(super) linear: bool,
    /// `shift_terminal`.
    pub(super) terminal: bool,
    /// `base_shift`, `max_shift`, `base_image_seq_len`, `max_image_seq_len`.
    pub(super) line: bool,
}

/// How a sampler reads the fields of higher-order solvers.
#[derive(Clone, Copy)]
pub(super) struct SolverFields {
    /// The highest `solver_order`.
    pub(super) max_order: usize,
    /// The accepted values of `solver_type`, the default first.
    pub(super) kinds: &'static [(&'static str, SolverKind)],
    /// The default of `lower_order_final`.
    pub(super) lower_order_final: bool,
}

/// The options of a run that a sampler accepts, besides a number of steps.
#[derive(Clone, Copy)]
pub(super) struct Takes {
    /// `timesteps`.
    pub(super) timesteps: bool,
    /// `sigmas`.
    pub(super) sigmas: TakesSigmas,
    /// `mu`.
    pub(super) mu: TakesMu,
    /// `strength` and `original_inference_steps`: the sampler follows the schedule that a model was distilled on.
    pub(super) distilled: bool,
}

impl Takes {
    /// Only a number of steps.
    pub(super) const STEPS: Self =
        Self { timesteps: false, sigmas: TakesSigmas::No, mu: TakesMu::No, distilled: false };
    /// A number of steps or a list of timesteps.
    pub(super) const TIMESTEPS: Self = Self { timesteps: true, ..Self::STEPS };
    /// The schedule that a model was distilled on.
    pub(super) const DISTILLED: Self = Self { distilled: true, ..Self::TIMESTEPS };
}

/// Whether a sampler accepts a list of sigmas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakesSigmas {
    No,
    /// One for each step and a final one, instead of a list of timesteps.
    WithFinal,
    /// One for each step.
    WithoutFinal,
    /// One for each step, if the model was trained by flow matching.
    OnFlows,
}

/// Whether a sampler accepts `mu`, the dynamic shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakesMu {
    No,
    /// If the configuration shifts dynamically.
    IfDynamic,
    /// Always; required if the configuration shifts dynamically.
    Needed,
}

/// The inputs for setting up a run.
pub(super) struct Setup<'a> {
    pub(super) config: &'a SchedulerConfig,
    pub(super) timesteps: &'a TimestepOptions,
    pub(super) step: &'a StepOptions,
    /// The number of steps, from `timesteps` directly or from the length of a list.
    pub(super) steps: usize,
}
