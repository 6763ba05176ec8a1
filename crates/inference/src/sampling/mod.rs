//! From noise to latents: schedule, sampler, prediction type, guidance and noise are separate things.
//!
//! A model's `scheduler_config.json` becomes a [`SchedulerConfig`], to which a user's [`Scheduler`] may be applied. A
//! [`Sampler`] is set up from it for one run; the pipeline then calls the model and [`Sampler::step`] in turn, with
//! [`Guidance`] between them and [`Noise`] to draw from. Every number follows Hugging Face diffusers 0.42.
//!
//! Everything that is particular to one sampler is in `sampler/<name>.rs`; `definition.rs` describes what that is.

mod beta_distribution;
mod betas;
mod class;
mod config;
mod definition;
mod flow;
mod guidance;
mod label;
mod noise;
mod options;
mod prediction;
mod read;
mod rounding;
mod sampler;
mod schedule;
mod scheduler;
mod sigmas;
mod spacing;

pub use config::SchedulerConfig;
pub use guidance::Guidance;
pub use noise::{Generator, Noise};
pub use options::{StepOptions, TimestepOptions};
pub use prediction::PredictionType;
pub use sampler::{Sampler, SchedulerClass};
pub use scheduler::{SamplerName, Scheduler};
