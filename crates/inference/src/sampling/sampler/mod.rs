//! Samplers: one file per solver, one step function each, behind [`Sampler`]. The loop belongs to the pipeline.
//!
//! Coefficients are computed on the host in `f32` and in diffusers' order of operations: with large sigmas their
//! differences cancel, and then the rounding is part of the result.

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
mod heun;
mod lcm;
mod lms;
mod log_snr;
mod pndm;
mod tcd;
mod uni_pc;

use super::noise::Noise;
use super::prediction::{Level, mix};
use super::schedule::Schedule;
use super::{SchedulerClass, SchedulerConfig, StepOptions, TimestepOptions};
use crate::{DType, Error, Result, Tensor};

/// One call of a solver: the model has just seen `sample` and said `output`.
struct Call<'a> {
    /// Which call of the run this is, counted from the start of the whole schedule.
    index: usize,
    output: &'a Tensor,
    sample: &'a Tensor,
    noise: &'a mut Noise,
}

/// The noise levels that a solver passes, and what the model's answer means at each of them.
trait Walk {
    fn schedule(&self) -> &Schedule;

    /// What is in the sample that goes into call `index`.
    fn level(&self, index: usize) -> Level;

    /// The image that the model sees in the sample of call `index`.
    fn image(&self, index: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor>;

    /// The standard deviation of the noise that a run starts from.
    fn init_noise_sigma(&self) -> f32 {
        1.0
    }

    /// What the sample of call `index` is multiplied with before the model sees it.
    fn input_scale(&self, _index: usize) -> f32 {
        1.0
    }
}

/// A step function with its memory of earlier steps. `index` is always within the walk's timesteps.
trait Solver: Send {
    fn walk(&self) -> &dyn Walk;

    /// The walk's own, but for solvers whose sample is between two of its levels.
    fn image(&self, index: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        self.walk().image(index, output, sample)
    }

    /// The walk's own, but for solvers whose sample is between two of its levels.
    fn input_scale(&self, index: usize) -> f32 {
        self.walk().input_scale(index)
    }

    /// The next, less noisy sample.
    fn step(&mut self, call: Call<'_>) -> Result<Tensor>;
}

/// A sampler set up for one run: its timesteps, and the steps between them.
///
/// Calls are counted from the start of the schedule, also when a run starts later
/// ([`Sampler::start_for_strength`]). A new run needs a new sampler, because solvers remember earlier steps.
pub struct Sampler {
    solver: Box<dyn Solver>,
    class: SchedulerClass,
    flow: bool,
    steps: usize,
    /// The call that has to follow, once there was one.
    next: Option<usize>,
}

impl Sampler {
    /// Sets up a run.
    ///
    /// Errors: [`Error::Invalid`] for options that the scheduler does not take, [`Error::NotFinite`] if the
    /// configuration leads to a schedule that is not one.
    pub fn new(config: &SchedulerConfig, timesteps: &TimestepOptions, step: &StepOptions) -> Result<Self> {
        step.check()?;
        let steps = timesteps.count(config)?;
        let solver: Box<dyn Solver> = match config.class() {
            SchedulerClass::Ddim => Box::new(ddim::Ddim::new(config, timesteps, step)?),
            SchedulerClass::Ddpm => Box::new(ddpm::Ddpm::new(config, timesteps)?),
            SchedulerClass::Pndm => Box::new(pndm::Pndm::new(config, timesteps)?),
            SchedulerClass::Lms => Box::new(lms::Lms::new(config, timesteps, step)?),
            SchedulerClass::Euler => Box::new(euler::Euler::new(config, timesteps, step)?),
            SchedulerClass::EulerAncestral => Box::new(euler_ancestral::EulerAncestral::new(config, timesteps)?),
            SchedulerClass::Heun => Box::new(heun::Heun::new(config, timesteps)?),
            SchedulerClass::Dpm2 => Box::new(dpm2::Dpm2::new(config, timesteps)?),
            SchedulerClass::Dpm2Ancestral => Box::new(dpm2_ancestral::Dpm2Ancestral::new(config, timesteps)?),
            SchedulerClass::DpmMultistep => Box::new(dpm_multistep::DpmMultistep::new(config, timesteps)?),
            SchedulerClass::DpmSinglestep => Box::new(dpm_singlestep::DpmSinglestep::new(config, timesteps)?),
            SchedulerClass::UniPc => Box::new(uni_pc::UniPc::new(config, timesteps)?),
            SchedulerClass::Deis => Box::new(deis::Deis::new(config, timesteps)?),
            SchedulerClass::Lcm => Box::new(lcm::Lcm::new(config, timesteps)?),
            SchedulerClass::Tcd => Box::new(tcd::Tcd::new(config, timesteps, step)?),
            SchedulerClass::FlowMatchEuler => Box::new(flow_euler::FlowEuler::new(config, timesteps)?),
        };
        solver.walk().schedule().check()?;
        Ok(Self { solver, class: config.class(), flow: config.is_flow(), steps, next: None })
    }

    /// The timestep that the model is told, one per call: PLMS makes one call more than steps, Heun and DPM2 `2n - 1`.
    pub fn timesteps(&self) -> &[f64] {
        &self.solver.walk().schedule().timesteps
    }

    /// The noise levels that the solver passes; empty where it looks them up by timestep (DDIM, DDPM, PNDM, LCM, TCD).
    pub fn sigmas(&self) -> &[f32] {
        &self.solver.walk().schedule().sigmas
    }

    /// What the initial noise is multiplied with.
    pub fn init_noise_sigma(&self) -> f64 {
        self.solver.walk().init_noise_sigma().into()
    }

    /// The call at which an image-to-image run of this strength (0 to 1) starts; equal to the number of calls if
    /// nothing is left to do. Flow-matching pipelines of diffusers round the other way, so flows do here.
    pub fn start_for_strength(&self, strength: f64) -> usize {
        let steps = self.steps as f64;
        let kept = (steps * strength.clamp(0.0, 1.0)).min(steps);
        let skipped = if self.flow { (steps - kept).trunc() } else { steps - kept.trunc() };
        (skipped as usize * self.class.order()).min(self.timesteps().len())
    }

    /// The sample as the model wants to see it at call `index`.
    pub fn scale_model_input(&self, index: usize, sample: &Tensor) -> Result<Tensor> {
        self.check(index)?;
        match self.solver.input_scale(index) {
            1.0 => Ok(sample.clone()),
            scale => sample.scale(scale.into()),
        }
    }

    /// The next sample (`f32`), given what the model said about this one (unscaled) at call `index`.
    ///
    /// Errors: [`Error::Invalid`] if `index` does not follow the one before.
    pub fn step(&mut self, index: usize, output: &Tensor, sample: &Tensor, noise: &mut Noise) -> Result<Tensor> {
        self.check(index)?;
        if let Some(next) = self.next.filter(|next| *next != index) {
            return Err(Error::invalid("index", format!("call {index} where call {next} has to follow")));
        }
        self.next = Some(index + 1);
        let (output, sample) = (wide(output)?, wide(sample)?);
        self.solver.step(Call { index, output: &output, sample: &sample, noise })
    }

    /// The clean image (`f32`) that the model sees in the sample of call `index`: for previews. Best asked before
    /// [`Sampler::step`], as solvers with half steps read it by the half they are in.
    pub fn denoised(&self, index: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        self.check(index)?;
        self.solver.image(index, &wide(output)?, &wide(sample)?)
    }

    /// An image with as much noise as the sample of call `index` has: where image-to-image starts.
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
        Err(Error::invalid("index", format!("call {index} of a schedule of {calls} calls")))
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
