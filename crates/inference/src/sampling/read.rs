//! Reads the shared fields of a scheduler's configuration, with the defaults of the sampler.

use super::config::{
    Algorithm, BetaSchedule, Betas, FlowConfig, Respacing, SigmaConfig, SolverConfig, SolverKind, Spacing,
};
use super::definition::{BetaFields, FlowFields, Prediction, Reads, SolverFields};
use super::prediction::{Clipping, PredictionType};
use crate::Result;
use crate::fields::Fields;

impl Reads {
    /// The training noise schedule.
    pub(super) fn betas(&self, fields: &Fields<'_>) -> Result<Betas> {
        let Some(BetaFields { schedule, more, start, end, zero_snr }) = self.betas else {
            let BetaFields { schedule, start, end, .. } = BetaFields::PIXELS;
            return Ok(Betas { schedule, start, end, trained: None, zero_snr: None });
        };
        let mut accepted = vec![
            ("linear", BetaSchedule::Linear),
            ("scaled_linear", BetaSchedule::ScaledLinear),
            ("squaredcos_cap_v2", BetaSchedule::SquaredCosine),
        ];
        accepted.extend(more);
        let rescaled = zero_snr.is_some() && fields.flag("rescale_betas_zero_snr", false)?;
        Ok(Betas {
            schedule: fields.word("beta_schedule", schedule, &accepted)?,
            start: fields.number("beta_start", start)?,
            end: fields.number("beta_end", end)?,
            trained: fields.numbers("trained_betas")?,
            zero_snr: zero_snr.filter(|_| rescaled),
        })
    }

    /// The prediction type.
    pub(super) fn prediction(&self, fields: &Fields<'_>) -> Result<PredictionType> {
        match self.prediction {
            Prediction::Always(prediction) => Ok(prediction),
            Prediction::Named(accepted) => {
                fields.word("prediction_type", first(accepted, PredictionType::Epsilon), accepted)
            }
        }
    }

    /// The clipping of predicted images.
    pub(super) fn clipping(&self, fields: &Fields<'_>) -> Result<Clipping> {
        if self.thresholding {
            let ratio = fields.number("dynamic_thresholding_ratio", 0.995)?;
            if !(0.0..=1.0).contains(&ratio) {
                let reason = format!("expected a number from 0 to 1, got {ratio}");
                return Err(fields.error("dynamic_thresholding_ratio", reason));
            }
            if fields.flag("thresholding", false)? {
                return Ok(Clipping::Threshold { ratio, max: fields.number("sample_max_value", 1.0)? });
            }
        }
        match self.clip_sample {
            Some(default) if fields.flag("clip_sample", default)? => {
                Ok(Clipping::Range(fields.number("clip_sample_range", 1.0)?))
            }
            _ => Ok(Clipping::None),
        }
    }

    /// Which training timesteps are visited.
    pub(super) fn spacing(&self, fields: &Fields<'_>) -> Result<Spacing> {
        let Some(default) = self.spacing else { return Ok(Spacing::Linspace) };
        let accepted =
            [("leading", Spacing::Leading), ("linspace", Spacing::Linspace), ("trailing", Spacing::Trailing)];
        fields.word("timestep_spacing", default, &accepted)
    }

    /// The offset added to evenly spaced timesteps.
    pub(super) fn steps_offset(&self, fields: &Fields<'_>) -> Result<f64> {
        if self.spacing.is_none() {
            return Ok(0.0);
        }
        Ok(fields.count("steps_offset", 0, 0..=1_000_000)? as f64)
    }

    /// Whether the schedule ends at a clean image.
    pub(super) fn final_alpha_one(&self, fields: &Fields<'_>) -> Result<bool> {
        self.set_alpha_to_one.map_or(Ok(true), |default| fields.flag("set_alpha_to_one", default))
    }

    /// The sigmas of the sampling schedule.
    pub(super) fn sigmas(&self, fields: &Fields<'_>) -> Result<SigmaConfig> {
        let end_at_min = [("zero", false), ("sigma_min", true)];
        let mut sigmas = SigmaConfig {
            respacing: self.respacing(fields)?,
            min: None,
            max: None,
            end_at_min: self.final_sigmas && fields.word("final_sigmas_type", false, &end_at_min)?,
            lambda_min_clipped: f64::NEG_INFINITY,
        };
        if !self.respacings.is_empty() {
            sigmas.min = fields.optional_number("sigma_min")?;
            sigmas.max = fields.optional_number("sigma_max")?;
        }
        if self.lambda_min_clipped {
            sigmas.lambda_min_clipped = fields.extended_number("lambda_min_clipped", f64::NEG_INFINITY)?;
        }
        Ok(sigmas)
    }

    /// The one respacing that is switched on. Karras' takes precedence over Lu's, and Lu's over the others.
    fn respacing(&self, fields: &Fields<'_>) -> Result<Respacing> {
        let mut chosen = Vec::new();
        let mut lu = false;
        for &(field, respacing) in self.respacings {
            match fields.flag(field, false)? {
                true if respacing == Respacing::Lu => lu = true,
                true => chosen.push((field, respacing)),
                false => {}
            }
        }
        match chosen[..] {
            [_, (second, _), ..] => {
                let reason = "only one of use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas may be true";
                Err(fields.error(second, reason))
            }
            [(_, Respacing::Karras)] => Ok(Respacing::Karras),
            _ if lu => Ok(Respacing::Lu),
            [(_, respacing)] => Ok(respacing),
            [] => Ok(Respacing::None),
        }
    }

    /// Flow matching.
    pub(super) fn flow(&self, fields: &Fields<'_>) -> Result<FlowConfig> {
        let mut flow = FlowConfig::OFF;
        let Some(FlowFields { switch, shift, linear, terminal, line }) = self.flow else { return Ok(flow) };
        let shifts = [("exponential", false), ("linear", true)];
        let shifts = if linear { &shifts[..] } else { &shifts[..1] };
        flow.enabled = switch.map_or(Ok(true), |switch| fields.flag(switch, false))?;
        flow.shift = fields.number(shift, 1.0)?;
        flow.dynamic = fields.flag("use_dynamic_shifting", false)?;
        flow.linear_time_shift = fields.word("time_shift_type", false, shifts)?;
        if terminal {
            // Zero means none, as in Python.
            flow.terminal = fields.optional_number("shift_terminal")?.filter(|terminal| *terminal != 0.0);
        }
        if line {
            let [base, max] = FlowConfig::OFF.line;
            flow.line = [
                (fields.number("base_image_seq_len", base.0)?, fields.number("base_shift", base.1)?),
                (fields.number("max_image_seq_len", max.0)?, fields.number("max_shift", max.1)?),
            ];
        }
        Ok(flow)
    }

    /// The order and variant of a solver.
    pub(super) fn solver(&self, fields: &Fields<'_>) -> Result<SolverConfig> {
        let algorithm = match self.algorithms {
            [] => Algorithm::DpmPlusPlus,
            accepted => fields.word("algorithm_type", first(accepted, Algorithm::DpmPlusPlus), accepted)?,
        };
        let Some(SolverFields { max_order, kinds, lower_order_final }) = self.solver else {
            return Ok(SolverConfig { order: 1, algorithm, kind: SolverKind::Midpoint, lower_order_final: false });
        };
        Ok(SolverConfig {
            order: fields.count("solver_order", 2, 1..=max_order)?,
            algorithm,
            kind: fields.word("solver_type", first(kinds, SolverKind::Midpoint), kinds)?,
            lower_order_final: fields.flag("lower_order_final", lower_order_final)?,
        })
    }
}

/// The default of a field that accepts a few words: the value of the first one.
fn first<T: Copy>(accepted: &[(&str, T)], otherwise: T) -> T {
    accepted.first().map_or(otherwise, |(_, meaning)| *meaning)
}
