//! The scheduler classes of diffusers, and which configuration fields each of them reads.

use super::fields::FILE;
use crate::{Error, Result};

/// A scheduler class, as `_class_name` in a model's `scheduler_config.json` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchedulerClass {
    /// `DDIMScheduler`.
    Ddim,
    /// `DDPMScheduler`.
    Ddpm,
    /// `PNDMScheduler`: PLMS, with or without Runge-Kutta warm-up.
    Pndm,
    /// `LMSDiscreteScheduler`.
    Lms,
    /// `EulerDiscreteScheduler`.
    Euler,
    /// `EulerAncestralDiscreteScheduler`.
    EulerAncestral,
    /// `HeunDiscreteScheduler`.
    Heun,
    /// `KDPM2DiscreteScheduler`.
    Dpm2,
    /// `KDPM2AncestralDiscreteScheduler`.
    Dpm2Ancestral,
    /// `DPMSolverMultistepScheduler`: DPM++ 2M and its SDE variants.
    DpmMultistep,
    /// `DPMSolverSinglestepScheduler`: DPM++ 2S.
    DpmSinglestep,
    /// `UniPCMultistepScheduler`.
    UniPc,
    /// `DEISMultistepScheduler`.
    Deis,
    /// `LCMScheduler`.
    Lcm,
    /// `TCDScheduler`.
    Tcd,
    /// `FlowMatchEulerDiscreteScheduler`.
    FlowMatchEuler,
}

use SchedulerClass::*;

impl SchedulerClass {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Ddim,
        Ddpm,
        Pndm,
        Lms,
        Euler,
        EulerAncestral,
        Heun,
        Dpm2,
        Dpm2Ancestral,
        DpmMultistep,
        DpmSinglestep,
        UniPc,
        Deis,
        Lcm,
        Tcd,
        FlowMatchEuler,
    ];

    /// The name that diffusers uses.
    pub fn name(self) -> &'static str {
        match self {
            Ddim => "DDIMScheduler",
            Ddpm => "DDPMScheduler",
            Pndm => "PNDMScheduler",
            Lms => "LMSDiscreteScheduler",
            Euler => "EulerDiscreteScheduler",
            EulerAncestral => "EulerAncestralDiscreteScheduler",
            Heun => "HeunDiscreteScheduler",
            Dpm2 => "KDPM2DiscreteScheduler",
            Dpm2Ancestral => "KDPM2AncestralDiscreteScheduler",
            DpmMultistep => "DPMSolverMultistepScheduler",
            DpmSinglestep => "DPMSolverSinglestepScheduler",
            UniPc => "UniPCMultistepScheduler",
            Deis => "DEISMultistepScheduler",
            Lcm => "LCMScheduler",
            Tcd => "TCDScheduler",
            FlowMatchEuler => "FlowMatchEulerDiscreteScheduler",
        }
    }

    /// The class of this diffusers name; [`Error::Config`] lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::Config {
                file: FILE.into(),
                field: "_class_name".into(),
                reason: format!("{name:?} is not one of {known}"),
            }
        })
    }

    /// Model calls per step: 2 for Heun and the two DPM2, 1 for all others.
    pub fn order(self) -> usize {
        if matches!(self, Heun | Dpm2 | Dpm2Ancestral) { 2 } else { 1 }
    }

    /// Whether the samples are an image plus `sigma` times noise, unscaled, as k-diffusion keeps them.
    pub(super) fn is_variance_exploding(self) -> bool {
        matches!(self, Lms | Euler | EulerAncestral | Heun | Dpm2 | Dpm2Ancestral)
    }

    /// Whether the solver works in log-SNR: the DPM-Solver family.
    pub(super) fn is_log_snr(self) -> bool {
        matches!(self, DpmMultistep | DpmSinglestep | UniPc | Deis)
    }

    /// Whether this class reads a field. Configurations carry fields of other classes; those mean nothing here.
    pub(super) fn reads(self, field: &str) -> bool {
        let respaced = self.is_log_snr() || matches!(self, Lms | Euler | Heun | Dpm2 | Dpm2Ancestral | FlowMatchEuler);
        match field {
            "num_train_timesteps" => true,
            "beta_start" | "beta_end" | "beta_schedule" | "trained_betas" | "prediction_type" => self != FlowMatchEuler,
            "rescale_betas_zero_snr" => {
                matches!(self, Ddim | Ddpm | Lcm | Tcd | Euler | EulerAncestral | DpmMultistep | UniPc)
            }
            "clip_sample" | "clip_sample_range" => matches!(self, Ddim | Ddpm | Heun | Lcm),
            "thresholding" | "dynamic_thresholding_ratio" | "sample_max_value" => {
                self.is_log_snr() || matches!(self, Ddim | Ddpm | Lcm)
            }
            "timestep_spacing" | "steps_offset" => !matches!(self, DpmSinglestep | Lcm | Tcd | FlowMatchEuler),
            "set_alpha_to_one" => matches!(self, Ddim | Pndm | Lcm | Tcd),
            "use_karras_sigmas" | "use_exponential_sigmas" | "use_beta_sigmas" | "sigma_min" | "sigma_max" => respaced,
            "use_lu_lambdas" | "euler_at_final" => self == DpmMultistep,
            "lambda_min_clipped" => matches!(self, DpmMultistep | DpmSinglestep),
            "variance_type" => matches!(self, Ddpm | DpmMultistep | DpmSinglestep),
            "algorithm_type" => matches!(self, DpmMultistep | DpmSinglestep | Deis),
            "use_flow_sigmas" | "flow_shift" | "solver_order" | "solver_type" | "lower_order_final" => {
                self.is_log_snr()
            }
            "final_sigmas_type" => matches!(self, Euler | DpmMultistep | DpmSinglestep | UniPc),
            "interpolation_type" | "timestep_type" => self == Euler,
            "skip_prk_steps" => self == Pndm,
            "predict_x0" | "disable_corrector" | "solver_p" => self == UniPc,
            "use_dynamic_shifting" | "time_shift_type" => self.is_log_snr() || self == FlowMatchEuler,
            "shift_terminal" => matches!(self, UniPc | FlowMatchEuler),
            "original_inference_steps" => matches!(self, Lcm | Tcd),
            "timestep_scaling" => self == Lcm,
            "shift"
            | "base_shift"
            | "max_shift"
            | "base_image_seq_len"
            | "max_image_seq_len"
            | "invert_sigmas"
            | "stochastic_sampling" => self == FlowMatchEuler,
            _ => false,
        }
    }
}
