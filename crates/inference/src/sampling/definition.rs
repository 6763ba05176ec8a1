//! What a sampler's file says about its sampler. The table in `sampler/mod.rs` ties the definitions together, and every
//! list of samplers is made from it: names, labels, classes, the fields of a configuration, the options of a run.

use super::config::{Algorithm, BetaSchedule, Respacing, SchedulerConfig, SolverKind, Spacing};
use super::prediction::PredictionType;
use super::sampler::Solver;
use super::{SchedulerClass, StepOptions, TimestepOptions};
use crate::Result;

/// A sampler, as its own file describes it.
pub(super) struct Definition {
    /// The class in diffusers: `_class_name` in `scheduler_config.json`.
    pub(super) class_name: &'static str,
    /// The names that users choose it by, the usual one first.
    pub(super) names: &'static [Name],
    /// How often the model is called in a step: 1, or 2 for methods with a middle.
    pub(super) calls_per_step: usize,
    /// What it does with models that were trained by flow matching.
    pub(super) flows: Flows,
    /// The shared fields of the configuration that it reads. Fields of its own are read in its file.
    pub(super) reads: Reads,
    /// The options of a run that it takes.
    pub(super) takes: Takes,
    /// Refuses values of its own fields, and combinations of fields, that it does not support.
    pub(super) check: fn(&SchedulerConfig) -> Result<()>,
    /// Sets up a run.
    pub(super) build: fn(&Setup<'_>) -> Result<Box<dyn Solver>>,
}

/// A name of a sampler.
pub(super) struct Name {
    /// As the command line, the HTTP interface and the page offer it: `dpm++2m`.
    pub(super) name: &'static str,
    /// As AUTOMATIC1111 writes it into the metadata of pictures: `DPM++ 2M`.
    pub(super) label: &'static str,
    /// What the name says about the field `algorithm_type`.
    pub(super) algorithm: Option<&'static str>,
}

impl Name {
    /// A name that says nothing about the algorithm.
    pub(super) const fn new(name: &'static str, label: &'static str) -> Self {
        Self { name, label, algorithm: None }
    }

    /// A name that implies a value of `algorithm_type`.
    pub(super) const fn with_algorithm(name: &'static str, label: &'static str, algorithm: &'static str) -> Self {
        Self { name, label, algorithm: Some(algorithm) }
    }
}

/// What a sampler does with models that were trained by flow matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flows {
    /// It has no form for flows.
    Refuses,
    /// It solves flows as well, when its fields (`use_flow_sigmas`, `flow_shift`) say so.
    Solves,
    /// It solves flows only.
    Only,
    /// Its form for flows is a class of its own.
    As(SchedulerClass),
}

/// Fields that several samplers share, with the defaults of this one. What a configuration says in other fields belongs to
/// other samplers and is not looked at.
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
    /// Switches that choose other sigmas than those of the timesteps; with any, `sigma_min` and `sigma_max`.
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
    /// For `..`: a sampler that reads none of the fields but `prediction_type`.
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

    /// What a value of `algorithm_type` means.
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
    /// `rescale_betas_zero_snr`, where it is read.
    pub(super) zero_snr: Option<ZeroSnr>,
}

/// What becomes of the last training timestep when the schedule is rescaled to no signal at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZeroSnr {
    /// No signal is left.
    Exact,
    /// A hair of signal (2⁻²⁴) is left, because the sampler divides by it.
    Divisible,
}

impl BetaFields {
    /// The schedule of DDPM, for models of pixels.
    pub(super) const PIXELS: Self =
        Self { schedule: BetaSchedule::Linear, more: &[], start: 0.0001, end: 0.02, zero_snr: None };

    /// The schedule of Stable Diffusion, for models of latents.
    pub(super) const LATENTS: Self = Self { start: 0.00085, end: 0.012, ..Self::PIXELS };

    /// Reads `rescale_betas_zero_snr` too.
    pub(super) const fn with_zero_snr(self, zero_snr: ZeroSnr) -> Self {
        Self { zero_snr: Some(zero_snr), ..self }
    }
}

/// How the meaning of the model's output is found.
pub(super) enum Prediction {
    /// It is fixed.
    Always(PredictionType),
    /// By the accepted values of `prediction_type`, the default first.
    Named(&'static [(&'static str, PredictionType)]),
}

/// Noise or velocity.
pub(super) const EPSILON_OR_V: &[(&str, PredictionType)] =
    &[("epsilon", PredictionType::Epsilon), ("v_prediction", PredictionType::V)];

/// Noise, velocity or the image.
pub(super) const EPSILON_V_OR_SAMPLE: &[(&str, PredictionType)] =
    &[("epsilon", PredictionType::Epsilon), ("v_prediction", PredictionType::V), ("sample", PredictionType::Sample)];

/// The switches of the three respacings that most samplers over sigmas know.
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

/// The options of a run that a sampler takes, besides a number of steps.
#[derive(Clone, Copy)]
pub(super) struct Takes {
    /// `timesteps`.
    pub(super) timesteps: bool,
    /// `sigmas`.
    pub(super) sigmas: TakesSigmas,
    /// `mu`.
    pub(super) mu: TakesMu,
    /// `strength` and `original_inference_steps`: the sampler walks the schedule that a model was distilled on.
    pub(super) distilled: bool,
}

impl Takes {
    /// A number of steps only.
    pub(super) const STEPS: Self =
        Self { timesteps: false, sigmas: TakesSigmas::No, mu: TakesMu::No, distilled: false };
    /// A number of steps, or the timesteps.
    pub(super) const TIMESTEPS: Self = Self { timesteps: true, ..Self::STEPS };
    /// The schedule that a model was distilled on.
    pub(super) const DISTILLED: Self = Self { distilled: true, ..Self::TIMESTEPS };
}

/// Whether a sampler takes a list of sigmas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakesSigmas {
    No,
    /// One for each step and the one after the last, instead of a list of timesteps.
    WithFinal,
    /// One for each step.
    WithoutFinal,
    /// One for each step, where the model was trained by flow matching.
    OnFlows,
}

/// Whether a sampler takes `mu`, the dynamic shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakesMu {
    No,
    /// Where the configuration shifts dynamically.
    IfDynamic,
    /// Always; where the configuration shifts dynamically it has to be there.
    Needed,
}

/// What a run is set up from.
pub(super) struct Setup<'a> {
    pub(super) config: &'a SchedulerConfig,
    pub(super) timesteps: &'a TimestepOptions,
    pub(super) step: &'a StepOptions,
    /// The number of steps, which `timesteps` gives directly or by the length of a list.
    pub(super) steps: usize,
}
