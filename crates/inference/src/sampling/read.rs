//! How the fields of a scheduler's configuration become its parts, each with the defaults of the class.

use super::SchedulerClass;
use super::config::{
    Algorithm, BetaSchedule, Betas, FlowConfig, Respacing, SigmaConfig, SolverConfig, SolverKind, Spacing, Variance,
};
use super::fields::{Fields, bad};
use super::prediction::{Clipping, PredictionType};
use crate::Result;
use serde_json::Value;

pub(super) fn read_betas(fields: &Fields<'_>) -> Result<Betas> {
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

pub(super) fn read_prediction(fields: &Fields<'_>) -> Result<PredictionType> {
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

pub(super) fn read_clipping(fields: &Fields<'_>) -> Result<Clipping> {
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

pub(super) fn read_spacing(fields: &Fields<'_>) -> Result<Spacing> {
    use SchedulerClass::{Ddim, Ddpm, Pndm};
    let default = if matches!(fields.class, Ddim | Ddpm | Pndm) { Spacing::Leading } else { Spacing::Linspace };
    let accepted = [("leading", Spacing::Leading), ("linspace", Spacing::Linspace), ("trailing", Spacing::Trailing)];
    fields.word("timestep_spacing", default, &accepted)
}

pub(super) fn read_sigmas(fields: &Fields<'_>) -> Result<SigmaConfig> {
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

pub(super) fn read_flow(fields: &Fields<'_>) -> Result<FlowConfig> {
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

pub(super) fn read_solver(fields: &Fields<'_>) -> Result<SolverConfig> {
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
    use Variance::{Large, Small, SmallLog};
    if fields.class == SchedulerClass::Ddpm {
        let accepted = [("fixed_small", Small), ("fixed_small_log", SmallLog), ("fixed_large", Large)];
        return fields.word("variance_type", Small, &accepted);
    }
    // The fixed ones, carried over from a DDPM file, mean nothing here; a learned one would change the model's output.
    match fields.get("variance_type").and_then(Value::as_str) {
        Some(learned) if learned.starts_with("learned") => {
            Err(bad("variance_type", format!("{learned:?} is not supported, expected null")))
        }
        _ => Ok(Small),
    }
}
