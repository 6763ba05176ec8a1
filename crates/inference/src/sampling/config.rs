//! A scheduler's configuration: diffusers' `scheduler_config.json` with the defaults of each class.

use super::betas::Training;
use super::fields::{Fields, bad, parse_python_json};
use super::prediction::{Clipping, PredictionType};
use super::{SchedulerClass, fields};
use crate::{Error, Result};
use serde_json::{Map, Value};

/// How noise is scheduled and removed: what a model's `scheduler_config.json` says, read as one class reads it.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    class: SchedulerClass,
    /// As they stood in the file: another class may read others of them.
    fields: Map<String, Value>,
    pub(super) train_timesteps: usize,
    pub(super) betas: Betas,
    pub(super) prediction: PredictionType,
    pub(super) clipping: Clipping,
    pub(super) spacing: Spacing,
    pub(super) steps_offset: f64,
    /// Whether the step after the last timestep ends at a clean image, or at the first training noise level.
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
    pub(super) zero_terminal_snr: bool,
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

/// Which of the training timesteps are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    Leading,
    Linspace,
    Trailing,
}

/// Which sigmas are visited, where they do not simply follow from the timesteps.
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
    /// Ends at the smallest training sigma and not at zero.
    pub(super) end_at_min: bool,
    pub(super) log_linear: bool,
    pub(super) continuous_timesteps: bool,
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
    pub(super) invert: bool,
    pub(super) stochastic: bool,
    /// `(image tokens, shift)` at the two ends of the line that gives the dynamic shift.
    pub(super) line: [(f64, f64); 2],
}

/// What only single families of solvers know.
#[derive(Clone, Debug)]
pub(super) struct SolverConfig {
    pub(super) order: usize,
    pub(super) algorithm: Algorithm,
    pub(super) kind: SolverKind,
    pub(super) lower_order_final: bool,
    pub(super) euler_at_final: bool,
    pub(super) predict_x0: bool,
    pub(super) disable_corrector: Vec<f64>,
    pub(super) skip_prk: bool,
    pub(super) variance: Variance,
    pub(super) original_steps: usize,
    pub(super) timestep_scaling: f64,
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
    /// Whether the solver's variable is the predicted image (and not the predicted noise).
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

/// The variance of DDPM's noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variance {
    FixedSmall,
    FixedSmallLog,
    FixedLarge,
}

impl SchedulerConfig {
    /// Reads the text of a `scheduler_config.json`; the bare infinities that Python writes are accepted.
    ///
    /// Errors: [`Error::Format`] for what is not JSON, otherwise as [`SchedulerConfig::from_json`].
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_json(&parse_python_json(text)?)
    }

    /// Reads a parsed `scheduler_config.json`. Fields of other classes are kept for [`super::Scheduler::apply`].
    ///
    /// Errors: [`Error::Config`] for an unknown class, and for a value that the class does not support.
    pub fn from_json(value: &Value) -> Result<Self> {
        let Some(fields) = value.as_object() else {
            return Err(Error::format(fields::FILE, "expected a JSON object"));
        };
        let class = fields.get("_class_name").and_then(Value::as_str);
        let class = class.ok_or_else(|| bad("_class_name", "missing; expected the name of a scheduler class"))?;
        Self::read(SchedulerClass::from_name(class)?, fields.clone())
    }

    /// The same model with another scheduler class, as diffusers' `from_config` does it: what the file says carries
    /// over as far as the class reads it, and the class' own defaults fill the rest.
    pub(super) fn with_class(&self, class: SchedulerClass, overrides: &[(&str, Value)]) -> Result<Self> {
        let mut fields = self.fields.clone();
        fields.extend(overrides.iter().map(|(field, value)| ((*field).to_owned(), value.clone())));
        fields.insert("_class_name".into(), class.name().into());
        Self::read(class, fields)
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

    /// How much of the image's variance is left after every training timestep.
    pub fn alphas_cumprod(&self) -> Vec<f32> {
        Training::new(self).alphas_cumprod
    }

    /// Whether the model was trained by flow matching (SD3, FLUX).
    pub fn is_flow(&self) -> bool {
        self.class == SchedulerClass::FlowMatchEuler || self.flow.enabled
    }

    /// `mu`, the dynamic time shift for a picture of so many image tokens; `None` if the shift is static.
    pub fn dynamic_shift(&self, image_tokens: usize) -> Option<f64> {
        let [(tokens0, shift0), (tokens1, shift1)] = self.flow.line;
        let slope = (shift1 - shift0) / (tokens1 - tokens0);
        self.flow.dynamic.then(|| image_tokens as f64 * slope + (shift0 - slope * tokens0))
    }

    fn read(class: SchedulerClass, map: Map<String, Value>) -> Result<Self> {
        let fields = Fields { class, map: &map };
        let config = Self {
            class,
            train_timesteps: fields.count("num_train_timesteps", 1000, 2..=1_000_000)?,
            betas: read_betas(&fields)?,
            prediction: read_prediction(&fields)?,
            clipping: read_clipping(&fields)?,
            spacing: read_spacing(&fields)?,
            steps_offset: fields.count("steps_offset", 0, 0..=1_000_000)? as f64,
            final_alpha_one: fields.flag("set_alpha_to_one", class != SchedulerClass::Pndm)?,
            sigmas: read_sigmas(&fields)?,
            flow: read_flow(&fields)?,
            solver: read_solver(&fields)?,
            fields: map.clone(),
        };
        config.check()?;
        Ok(config)
    }

    /// Combinations that no class supports.
    fn check(&self) -> Result<()> {
        let (solver, sigmas) = (&self.solver, &self.sigmas);
        let dpm = matches!(self.class, SchedulerClass::DpmMultistep | SchedulerClass::DpmSinglestep);
        if dpm && !solver.algorithm.predicts_image() && !sigmas.end_at_min {
            return Err(bad("final_sigmas_type", "\"zero\" needs algorithm_type dpmsolver++ or sde-dpmsolver++"));
        }
        if dpm && solver.algorithm == Algorithm::SdeDpm && solver.order == 3 {
            return Err(bad("solver_order", "sde-dpmsolver has no third order, expected 1 or 2"));
        }
        let noise_based = (dpm && !solver.algorithm.predicts_image()) || !solver.predict_x0;
        let flow_prediction = self.prediction == PredictionType::Flow && self.class != SchedulerClass::FlowMatchEuler;
        if flow_prediction && (noise_based || !self.flow.enabled) {
            return Err(bad("prediction_type", "flow_prediction needs use_flow_sigmas and an image-predicting solver"));
        }
        if self.class == SchedulerClass::UniPc && self.flow.terminal.is_some() && !self.flow.enabled {
            return Err(bad("shift_terminal", "needs use_flow_sigmas"));
        }
        if self.betas.trained.as_ref().is_some_and(|betas| betas.len() != self.train_timesteps) {
            return Err(bad("trained_betas", format!("expected {} numbers", self.train_timesteps)));
        }
        Ok(())
    }
}

fn read_betas(fields: &Fields<'_>) -> Result<Betas> {
    use SchedulerClass::{Ddpm, Dpm2, Dpm2Ancestral, Heun, Lcm, Tcd};
    let mut accepted = vec![
        ("linear", BetaSchedule::Linear),
        ("scaled_linear", BetaSchedule::ScaledLinear),
        ("squaredcos_cap_v2", BetaSchedule::SquaredCosine),
    ];
    match fields.class {
        Ddpm => accepted.extend([("sigmoid", BetaSchedule::Sigmoid), ("laplace", BetaSchedule::Laplace)]),
        Heun => accepted.push(("exp", BetaSchedule::Exp)),
        _ => {}
    }
    let distilled = matches!(fields.class, Lcm | Tcd);
    let latent = distilled || matches!(fields.class, Heun | Dpm2 | Dpm2Ancestral);
    let default = if distilled { BetaSchedule::ScaledLinear } else { BetaSchedule::Linear };
    Ok(Betas {
        schedule: fields.word("beta_schedule", default, &accepted)?,
        start: fields.number("beta_start", if latent { 0.00085 } else { 0.0001 })?,
        end: fields.number("beta_end", if latent { 0.012 } else { 0.02 })?,
        trained: fields.list("trained_betas")?,
        zero_terminal_snr: fields.flag("rescale_betas_zero_snr", false)?,
    })
}

fn read_prediction(fields: &Fields<'_>) -> Result<PredictionType> {
    use SchedulerClass::{Dpm2, Dpm2Ancestral, Euler, EulerAncestral, FlowMatchEuler, Pndm};
    let mut accepted = vec![("epsilon", PredictionType::Epsilon), ("v_prediction", PredictionType::V)];
    match fields.class {
        FlowMatchEuler => return Ok(PredictionType::Flow),
        Pndm | EulerAncestral | Dpm2 | Dpm2Ancestral => {}
        Euler => accepted.extend([("sample", PredictionType::Sample), ("original_sample", PredictionType::Sample)]),
        _ => accepted.push(("sample", PredictionType::Sample)),
    }
    if fields.class.is_log_snr() {
        accepted.push(("flow_prediction", PredictionType::Flow));
    }
    fields.word("prediction_type", PredictionType::Epsilon, &accepted)
}

fn read_clipping(fields: &Fields<'_>) -> Result<Clipping> {
    let clips = matches!(fields.class, SchedulerClass::Ddim | SchedulerClass::Ddpm);
    let (ratio, max) = (fields.number("dynamic_thresholding_ratio", 0.995)?, fields.number("sample_max_value", 1.0)?);
    let range = fields.number("clip_sample_range", 1.0)?;
    if !(0.0..=1.0).contains(&ratio) {
        return Err(bad("dynamic_thresholding_ratio", format!("{ratio} is not within 0 to 1")));
    }
    Ok(if fields.flag("thresholding", false)? {
        Clipping::Threshold { ratio, max }
    } else if fields.flag("clip_sample", clips)? {
        Clipping::Range(range)
    } else {
        Clipping::None
    })
}

fn read_spacing(fields: &Fields<'_>) -> Result<Spacing> {
    use SchedulerClass::{Ddim, Ddpm, Pndm};
    let default = if matches!(fields.class, Ddim | Ddpm | Pndm) { Spacing::Leading } else { Spacing::Linspace };
    let accepted = [("leading", Spacing::Leading), ("linspace", Spacing::Linspace), ("trailing", Spacing::Trailing)];
    fields.word("timestep_spacing", default, &accepted)
}

fn read_sigmas(fields: &Fields<'_>) -> Result<SigmaConfig> {
    let named = [
        ("use_karras_sigmas", Respacing::Karras),
        ("use_exponential_sigmas", Respacing::Exponential),
        ("use_beta_sigmas", Respacing::Beta),
    ];
    let mut chosen = Vec::new();
    for (field, respacing) in named {
        if fields.flag(field, false)? {
            chosen.push((field, respacing));
        }
    }
    if let [_, (second, _), ..] = chosen[..] {
        return Err(bad(second, "only one of use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas may be true"));
    }
    let respacing = match (chosen.first(), fields.flag("use_lu_lambdas", false)?) {
        (Some((_, Respacing::Karras)), _) => Respacing::Karras,
        (_, true) => Respacing::Lu,
        (Some((_, respacing)), false) => *respacing,
        (None, false) => Respacing::None,
    };
    Ok(SigmaConfig {
        respacing,
        min: fields.optional("sigma_min")?,
        max: fields.optional("sigma_max")?,
        end_at_min: fields.word("final_sigmas_type", false, &[("zero", false), ("sigma_min", true)])?,
        log_linear: fields.word("interpolation_type", false, &[("linear", false), ("log_linear", true)])?,
        continuous_timesteps: fields.word("timestep_type", false, &[("discrete", false), ("continuous", true)])?,
        lambda_min_clipped: fields.number("lambda_min_clipped", f64::NEG_INFINITY)?,
    })
}

fn read_flow(fields: &Fields<'_>) -> Result<FlowConfig> {
    let field = if fields.class == SchedulerClass::FlowMatchEuler { "shift" } else { "flow_shift" };
    let mut shifts = vec![("exponential", false)];
    if matches!(fields.class, SchedulerClass::FlowMatchEuler | SchedulerClass::UniPc) {
        shifts.push(("linear", true));
    }
    let tokens = |field, default| fields.number(field, default);
    Ok(FlowConfig {
        enabled: fields.flag("use_flow_sigmas", false)?,
        shift: fields.number(field, 1.0)?,
        dynamic: fields.flag("use_dynamic_shifting", false)?,
        linear_time_shift: fields.word("time_shift_type", false, &shifts)?,
        // Zero means none, as it does in Python.
        terminal: fields.optional("shift_terminal")?.filter(|terminal| *terminal != 0.0),
        invert: fields.flag("invert_sigmas", false)?,
        stochastic: fields.flag("stochastic_sampling", false)?,
        line: [
            (tokens("base_image_seq_len", 256.0)?, fields.number("base_shift", 0.5)?),
            (tokens("max_image_seq_len", 4096.0)?, fields.number("max_shift", 1.15)?),
        ],
    })
}

fn read_solver(fields: &Fields<'_>) -> Result<SolverConfig> {
    use SchedulerClass::{DpmSinglestep, UniPc};
    if fields.get("solver_p").is_some() {
        return Err(bad("solver_p", "a separate predictor is not supported, expected null"));
    }
    let max_order = if fields.class == UniPc { 5 } else { 3 };
    Ok(SolverConfig {
        order: fields.count("solver_order", 2, 1..=max_order)?,
        algorithm: read_algorithm(fields)?,
        kind: read_kind(fields)?,
        lower_order_final: fields.flag("lower_order_final", fields.class != DpmSinglestep)?,
        euler_at_final: fields.flag("euler_at_final", false)?,
        predict_x0: fields.flag("predict_x0", true)?,
        disable_corrector: fields.list("disable_corrector")?.unwrap_or_default(),
        skip_prk: fields.flag("skip_prk_steps", false)?,
        variance: read_variance(fields)?,
        original_steps: fields.count("original_inference_steps", 50, 1..=1_000_000)?,
        timestep_scaling: fields.number("timestep_scaling", 10.0)?,
    })
}

/// The algorithm. Names that belong to another solver of the family, carried over from its file, mean the default.
fn read_algorithm(fields: &Fields<'_>) -> Result<Algorithm> {
    use Algorithm::{Dpm, DpmPlusPlus, SdeDpm, SdeDpmPlusPlus};
    let mut accepted = vec![("dpmsolver++", DpmPlusPlus), ("dpmsolver", Dpm), ("deis", DpmPlusPlus)];
    match fields.class {
        SchedulerClass::DpmMultistep => {
            accepted.extend([("sde-dpmsolver", SdeDpm), ("sde-dpmsolver++", SdeDpmPlusPlus)])
        }
        SchedulerClass::DpmSinglestep => accepted.push(("sde-dpmsolver++", SdeDpmPlusPlus)),
        _ => {}
    }
    fields.word("algorithm_type", DpmPlusPlus, &accepted)
}

/// The variant of the update, with the same leniency as the algorithm.
fn read_kind(fields: &Fields<'_>) -> Result<SolverKind> {
    use SolverKind::{Bh1, Bh2, Heun, Midpoint};
    if fields.class == SchedulerClass::UniPc {
        let accepted = [("bh2", Bh2), ("bh1", Bh1), ("midpoint", Bh2), ("heun", Bh2), ("logrho", Bh2)];
        return fields.word("solver_type", Bh2, &accepted);
    }
    let accepted = [("midpoint", Midpoint), ("heun", Heun), ("logrho", Midpoint), ("bh1", Midpoint), ("bh2", Midpoint)];
    fields.word("solver_type", Midpoint, &accepted)
}

fn read_variance(fields: &Fields<'_>) -> Result<Variance> {
    use Variance::{FixedLarge, FixedSmall, FixedSmallLog};
    if fields.class == SchedulerClass::Ddpm {
        let accepted = [("fixed_small", FixedSmall), ("fixed_small_log", FixedSmallLog), ("fixed_large", FixedLarge)];
        return fields.word("variance_type", FixedSmall, &accepted);
    }
    // The fixed ones, carried over from a DDPM file, mean nothing here; a learned one would change the model's output.
    match fields.get("variance_type").and_then(Value::as_str) {
        Some(learned) if learned.starts_with("learned") => {
            Err(bad("variance_type", format!("{learned:?} is not supported, expected null")))
        }
        _ => Ok(FixedSmall),
    }
}
