//! A scheduler's configuration: diffusers' `scheduler_config.json` with the defaults of each class.

use super::SchedulerClass;
use super::betas::Training;
use super::definition::{Flows, TakesMu, ZeroSnr};
use super::prediction::{Clipping, PredictionType};
use crate::fields::Fields;
use crate::{Error, Result};
use serde_json::{Map, Value};

/// The file that a scheduler's configuration comes from, for messages.
pub(super) const FILE: &str = "scheduler_config.json";

/// How noise is scheduled and removed: a model's `scheduler_config.json` as one sampler reads it.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    class: SchedulerClass,
    /// The fields of the file: another sampler may read others.
    json: Map<String, Value>,
    pub(super) train_timesteps: usize,
    pub(super) betas: Betas,
    pub(super) prediction: PredictionType,
    pub(super) clipping: Clipping,
    pub(super) spacing: Spacing,
    pub(super) steps_offset: f64,
    /// Whether the step after the last timestep ends at a clean image instead of at the first training noise level.
    pub(super) final_alpha_one: bool,
    pub(super) sigmas: SigmaConfig,
    pub(super) flow: FlowConfig,
    pub(super) solver: SolverConfig,
}

/// The training noise schedule.
#[derive(Clone, Debug)]
pub(super) struct Betas {
    pub(super) schedule: BetaSchedule,
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) trained: Option<Vec<f64>>,
    /// Whether no signal is left at the end.
    pub(super) zero_snr: Option<ZeroSnr>,
}

/// How beta grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BetaSchedule {
    Linear,
    ScaledLinear,
    SquaredCosine,
    Sigmoid,
    Laplace,
    Exp,
}

/// Which training timesteps are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    Leading,
    Linspace,
    Trailing,
}

/// Which sigmas are visited, if they do not simply follow from the timesteps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Respacing {
    None,
    Karras,
    Lu,
    Exponential,
    Beta,
}

/// The sigmas of a sampling schedule.
#[derive(Clone, Debug)]
pub(super) struct SigmaConfig {
    pub(super) respacing: Respacing,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    /// Ends at the smallest training sigma instead of at zero.
    pub(super) end_at_min: bool,
    /// Levels with less signal than this are left out.
    pub(super) lambda_min_clipped: f64,
}

/// Flow matching: the straight path from noise to image, and its time shift.
#[derive(Clone, Debug)]
pub(super) struct FlowConfig {
    pub(super) enabled: bool,
    pub(super) shift: f64,
    pub(super) dynamic: bool,
    pub(super) linear_time_shift: bool,
    pub(super) terminal: Option<f64>,
    /// `(image tokens, shift)` at the two ends of the line that gives the dynamic shift.
    pub(super) line: [(f64, f64); 2],
}

impl FlowConfig {
    /// No flow matching, with diffusers' defaults for its shift.
    pub(super) const OFF: Self = Self {
        enabled: false,
        shift: 1.0,
        dynamic: false,
        linear_time_shift: false,
        terminal: None,
        line: [(256.0, 0.5), (4096.0, 1.15)],
    };
}

/// The order and variant of a higher-order solver.
#[derive(Clone, Copy, Debug)]
pub(super) struct SolverConfig {
    pub(super) order: usize,
    pub(super) algorithm: Algorithm,
    pub(super) kind: SolverKind,
    pub(super) lower_order_final: bool,
}

/// What the DPM solvers integrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Dpm,
    DpmPlusPlus,
    SdeDpm,
    SdeDpmPlusPlus,
}

impl Algorithm {
    /// Whether the solver integrates the predicted image instead of the predicted noise.
    pub(super) fn predicts_image(self) -> bool {
        matches!(self, Self::DpmPlusPlus | Self::SdeDpmPlusPlus)
    }

    pub(super) fn is_stochastic(self) -> bool {
        matches!(self, Self::SdeDpm | Self::SdeDpmPlusPlus)
    }
}

/// The variant of a higher-order update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SolverKind {
    Midpoint,
    Heun,
    Bh1,
    Bh2,
}

impl SchedulerConfig {
    /// Reads a parsed `scheduler_config.json`. Fields of other samplers are kept for [`super::Scheduler::apply`].
    ///
    /// Errors: [`Error::Config`] for an unknown class, and for a value that the sampler does not support.
    pub fn from_json(value: &Value) -> Result<Self> {
        let Some(json) = value.as_object() else {
            return Err(Error::format(FILE, "expected a JSON object"));
        };
        let fields = Fields::of(FILE, json);
        let class = fields.text("_class_name")?;
        let class =
            class.ok_or_else(|| fields.error("_class_name", "missing; expected the name of a scheduler class"))?;
        Self::read(SchedulerClass::from_name(class)?, json.clone())
    }

    /// The same model with another scheduler class, as with diffusers' `from_config`: fields of the file carry over if
    /// the class reads them, and the class' own defaults fill in the rest.
    pub(super) fn with_class(&self, class: SchedulerClass, overrides: &[(&str, Value)]) -> Result<Self> {
        let mut json = self.json.clone();
        json.extend(overrides.iter().map(|(field, value)| ((*field).to_owned(), value.clone())));
        json.insert("_class_name".into(), class.name().into());
        Self::read(class, json)
    }

    /// The fields of the file, for those that only one sampler reads.
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields::of(FILE, &self.json)
    }

    /// The scheduler class.
    pub fn class(&self) -> SchedulerClass {
        self.class
    }

    /// What the model's output means.
    pub fn prediction_type(&self) -> PredictionType {
        self.prediction
    }

    /// The number of timesteps that the model was trained with.
    pub fn num_train_timesteps(&self) -> usize {
        self.train_timesteps
    }

    /// The share of the image's variance that is left after every training timestep.
    pub fn alphas_cumprod(&self) -> Vec<f32> {
        Training::new(self).alphas_cumprod
    }

    /// Whether the model was trained by flow matching (SD 3, FLUX).
    pub fn is_flow(&self) -> bool {
        self.flow.enabled
    }

    /// `mu`, the dynamic time shift for a picture of `image_tokens` tokens; `None` if the shift is static, as it always is for
    /// samplers that know no other.
    pub fn dynamic_shift(&self, image_tokens: usize) -> Option<f64> {
        let [(tokens0, shift0), (tokens1, shift1)] = self.flow.line;
        let slope = (shift1 - shift0) / (tokens1 - tokens0);
        let is_dynamic = self.flow.dynamic && self.class.definition().takes.mu != TakesMu::No;
        is_dynamic.then_some(image_tokens as f64 * slope + (shift0 - slope * tokens0))
    }

    /// Whether this class samples only flows.
    pub(super) fn is_flow_only(&self) -> bool {
        self.class.definition().flows == Flows::Only
    }

    fn read(class: SchedulerClass, json: Map<String, Value>) -> Result<Self> {
        let fields = Fields::of(FILE, &json);
        let definition = class.definition();
        let reads = &definition.reads;
        let config = Self {
            class,
            train_timesteps: fields.count("num_train_timesteps", 1000, 2..=1_000_000)?,
            betas: reads.betas(&fields)?,
            prediction: reads.prediction(&fields)?,
            clipping: reads.clipping(&fields)?,
            spacing: reads.spacing(&fields)?,
            steps_offset: reads.steps_offset(&fields)?,
            final_alpha_one: reads.final_alpha_one(&fields)?,
            sigmas: reads.sigmas(&fields)?,
            flow: reads.flow(&fields)?,
            solver: reads.solver(&fields)?,
            json: json.clone(),
        };
        let trained = config.betas.trained.as_ref().map(Vec::len);
        if trained.is_some_and(|trained| trained != config.train_timesteps) {
            return Err(fields.error("trained_betas", format!("expected {} numbers", config.train_timesteps)));
        }
        (definition.check)(&config)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The field for which a configuration is refused.
    fn refused(json: Value) -> String {
        match SchedulerConfig::from_json(&json) {
            Err(Error::Config { field, .. }) => field,
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn unsupported_values_are_refused_by_field() {
        assert_eq!(refused(json!({})), "_class_name");
        assert_eq!(refused(json!({"_class_name": "NoScheduler"})), "_class_name");
        let cases = [
            ("DDIMScheduler", "beta_schedule", json!("sigmoid")),
            ("DDIMScheduler", "beta_start", json!("low")),
            ("DDIMScheduler", "clip_sample", json!(1)),
            ("DDIMScheduler", "num_train_timesteps", json!(0)),
            ("DDIMScheduler", "timestep_spacing", json!("even")),
            ("DDIMScheduler", "trained_betas", json!([0.1, 0.2])),
            ("DDIMScheduler", "trained_betas", json!(0.1)),
            ("DDIMScheduler", "dynamic_thresholding_ratio", json!(1.5)),
            ("DDPMScheduler", "variance_type", json!("learned_range")),
            ("PNDMScheduler", "prediction_type", json!("sample")),
            ("DPMSolverMultistepScheduler", "solver_order", json!(4)),
            ("DPMSolverMultistepScheduler", "algorithm_type", json!("sde")),
            ("DPMSolverMultistepScheduler", "variance_type", json!("learned")),
            ("DPMSolverMultistepScheduler", "prediction_type", json!("flow_prediction")),
            ("UniPCMultistepScheduler", "solver_p", json!({})),
            ("UniPCMultistepScheduler", "shift_terminal", json!(0.1)),
        ];
        for (class, field, value) in cases {
            assert_eq!(refused(json!({"_class_name": class, field: value})), field);
        }
        let dpm = |field: &str, value: Value| json!({"_class_name": "DPMSolverMultistepScheduler", field: value});
        assert_eq!(refused(dpm("algorithm_type", json!("dpmsolver"))), "final_sigmas_type");
        assert_eq!(
            refused(json!({"_class_name": "UniPCMultistepScheduler", "predict_x0": false})),
            "final_sigmas_type"
        );
        let both = json!({"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true, "use_beta_sigmas": true});
        assert_eq!(refused(both), "use_beta_sigmas");
        let third = json!({
            "_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver", "solver_order": 3,
            "final_sigmas_type": "sigma_min",
        });
        assert_eq!(refused(third), "solver_order");
    }

    #[test]
    fn other_json_than_an_object_is_refused() {
        assert!(matches!(SchedulerConfig::from_json(&json!([])), Err(Error::Format { .. })));
    }

    #[test]
    fn a_file_as_python_writes_it_is_read() {
        let text = br#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity}"#;
        let json = crate::python_json::parse(text).unwrap();
        assert_eq!(SchedulerConfig::from_json(&json).unwrap().sigmas.lambda_min_clipped, f64::NEG_INFINITY);
    }

    #[test]
    fn the_dynamic_shift_follows_the_line() {
        let json = json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true});
        let config = SchedulerConfig::from_json(&json).unwrap();
        assert!((config.dynamic_shift(256).unwrap() - 0.5).abs() < 1e-12);
        assert!((config.dynamic_shift(4096).unwrap() - 1.15).abs() < 1e-12);
        let still = SchedulerConfig::from_json(&json!({"_class_name": "FlowMatchEulerDiscreteScheduler"})).unwrap();
        assert_eq!(still.dynamic_shift(256), None);
    }
}
