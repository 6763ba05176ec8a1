//! Samplers: one file for each, with its [`Definition`] and its step. The loop belongs to the pipeline.
//!
//! A new sampler is a file here, its `mod` line and its line in the table; every list of samplers is generated from the
//! table. Coefficients are computed on the host in `f32` and in diffusers' order of operations: with large sigmas their
//! differences cancel, so that rounding affects the result.

mod ddim;
mod ddpm;
mod deis;
mod discrete;
mod dpm2;
mod dpm2_ancestral;
mod dpm_multistep;
mod dpm_singlestep;
mod dpm_update;
mod euler;
mod euler_ancestral;
mod exploding;
mod flow_euler;
mod flow_heun;
mod flow_lcm;
mod heun;
mod lcm;
mod lms;
mod log_snr;
mod pndm;
mod tcd;
mod uni_pc;

use super::definition::{Definition, Setup};
use super::noise::Noise;
use super::prediction::{Level, mix};
use super::schedule::Schedule;
use super::{SchedulerConfig, StepOptions, TimestepOptions};
use crate::{DType, Error, Result, Tensor};

/// Generates [`SchedulerClass`] from the table: each line is a variant and the file that defines its sampler.
macro_rules! samplers {
    ($($variant:ident: $file:ident,)*) => {
        /// A scheduler class of diffusers: `_class_name` in a model's `scheduler_config.json`. Every sampler has one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum SchedulerClass {
            $(#[doc = concat!("The sampler of `sampler/", stringify!($file), ".rs`.")] $variant,)*
        }

        impl SchedulerClass {
            /// All classes.
            pub const ALL: [Self; [$(stringify!($variant)),*].len()] = [$(Self::$variant),*];

            /// The definition of its sampler.
            pub(super) fn definition(self) -> &'static Definition {
                match self {
                    $(Self::$variant => &$file::DEFINITION,)*
                }
            }
        }
    };
}

samplers! {
    Ddim: ddim,
    Ddpm: ddpm,
    Pndm: pndm,
    Lms: lms,
    Euler: euler,
    EulerAncestral: euler_ancestral,
    Heun: heun,
    Dpm2: dpm2,
    Dpm2Ancestral: dpm2_ancestral,
    DpmMultistep: dpm_multistep,
    DpmSinglestep: dpm_singlestep,
    UniPc: uni_pc,
    Deis: deis,
    Lcm: lcm,
    Tcd: tcd,
    FlowMatchEuler: flow_euler,
    FlowMatchHeun: flow_heun,
    FlowMatchLcm: flow_lcm,
}

/// A call of a solver: the model has predicted `output` for `sample`.
pub(super) struct Call<'a> {
    /// The number of the call, counted from 0 at the start of the whole schedule.
    index: usize,
    output: &'a Tensor,
    sample: &'a Tensor,
    noise: &'a mut Noise,
}

/// The noise levels that a solver passes through.
pub(super) trait Walk {
    fn schedule(&self) -> &Schedule;

    /// The level of the sample of call `index`.
    fn level(&self, index: usize) -> Level;

    /// The standard deviation of the initial noise.
    fn init_noise_sigma(&self) -> f32 {
        1.0
    }

    /// The factor on the sample of call `index` before it goes into the model.
    fn input_scale(&self, _index: usize) -> f32 {
        1.0
    }
}

/// A step function with its history. `index` is always within the walk's timesteps.
pub(super) trait Solver: Send {
    fn walk(&self) -> &dyn Walk;

    /// The walk's, except for solvers whose sample is between two of its levels.
    fn input_scale(&self, index: usize) -> f32 {
        self.walk().input_scale(index)
    }

    /// The next, less noisy sample.
    fn step(&mut self, call: Call<'_>) -> Result<Tensor>;
}

/// A sampler set up for one run: its timesteps, and the steps between them.
///
/// Calls are counted from the start of the schedule, even if a run starts later ([`Sampler::start_for_strength`]). A
/// new run needs a new sampler, because solvers remember earlier steps.
pub struct Sampler {
    solver: Box<dyn Solver>,
    class: SchedulerClass,
    flow: bool,
    steps: usize,
    /// The expected next call; `None` before the first.
    next: Option<usize>,
}

impl Sampler {
    /// Sets up a run.
    ///
    /// Errors: [`Error::Invalid`] for options that the sampler does not accept, [`Error::NotFinite`] if the
    /// configuration leads to a schedule with infinite or undefined entries.
    pub fn new(config: &SchedulerConfig, timesteps: &TimestepOptions, step: &StepOptions) -> Result<Self> {
        step.check()?;
        let steps = timesteps.count(config)?;
        let build = config.class().definition().build;
        let solver = build(&Setup { config, timesteps, step, steps })?;
        solver.walk().schedule().check()?;
        Ok(Self { solver, class: config.class(), flow: config.is_flow(), steps, next: None })
    }

    /// The timesteps for the model, one per call: PLMS makes one more call than steps, Heun and DPM2 make `2n - 1`.
    pub fn timesteps(&self) -> &[f64] {
        &self.solver.walk().schedule().timesteps
    }

    /// The noise levels of the nodes; empty if the solver looks them up by timestep (DDIM, DDPM, PNDM, LCM, TCD).
    pub fn sigmas(&self) -> &[f32] {
        &self.solver.walk().schedule().sigmas
    }

    /// The factor on the initial noise.
    pub fn init_noise_sigma(&self) -> f64 {
        self.solver.walk().init_noise_sigma().into()
    }

    /// The call at which an image-to-image run of this strength (0 to 1) starts; equal to the number of calls if
    /// nothing is left to do. Flows round the other way, as in diffusers' flow-matching pipelines.
    pub fn start_for_strength(&self, strength: f64) -> usize {
        let steps = self.steps as f64;
        let kept = (steps * strength.clamp(0.0, 1.0)).min(steps);
        let skipped = if self.flow { (steps - kept).trunc() } else { steps - kept.trunc() };
        (skipped as usize * self.class.order()).min(self.timesteps().len())
    }

    /// The sample scaled as the model expects it at call `index`.
    pub fn scale_model_input(&self, index: usize, sample: &Tensor) -> Result<Tensor> {
        self.check(index)?;
        match self.solver.input_scale(index) {
            1.0 => Ok(sample.clone()),
            scale => sample.scale(scale.into()),
        }
    }

    /// The next sample (`f32`), given the model's output for this one (unscaled) at call `index`.
    ///
    /// Errors: [`Error::Invalid`] if `index` does not follow the previous call.
    pub fn step(&mut self, index: usize, output: &Tensor, sample: &Tensor, noise: &mut Noise) -> Result<Tensor> {
        self.check(index)?;
        if let Some(next) = self.next.filter(|next| *next != index) {
            return Err(Error::invalid("index", format!("must be {next}, the next call, got {index}")));
        }
        self.next = Some(index + 1);
        let output = wide(output)?;
        let sample = wide(sample)?;
        self.solver.step(Call { index, output: &output, sample: &sample, noise })
    }

    /// An image with as much noise as the sample of call `index`, from which image-to-image starts.
    pub fn add_noise(&self, image: &Tensor, noise: &Tensor, index: usize) -> Result<Tensor> {
        self.check(index)?;
        let Level { alpha, sigma } = self.solver.walk().level(index);
        mix(image, alpha, &[(sigma, noise)])
    }

    fn check(&self, index: usize) -> Result<()> {
        let calls = self.timesteps().len();
        if index < calls {
            return Ok(());
        }
        Err(Error::invalid("index", format!("must be below {calls}, the number of calls, got {index}")))
    }
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler").field("class", &self.class).field("timesteps", &self.timesteps()).finish()
    }
}

fn wide(tensor: &Tensor) -> Result<Tensor> {
    if tensor.dtype() == DType::F32 { Ok(tensor.clone()) } else { tensor.cast(DType::F32) }
}

#[cfg(test)]
mod tests;
