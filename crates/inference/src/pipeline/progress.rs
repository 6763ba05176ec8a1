//! Progress reports from a run to its caller, and cancellation.

use crate::weights::BoxFuture;
use crate::{Error, Result, Tensor};
use easel_picture::Image;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The current part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading the model's files.
    Load,
    /// Turning the prompts into conditioning.
    Encode,
    /// Turning noise into latents.
    Denoise,
    /// Turning latents into pictures.
    Decode,
}

impl Phase {
    /// The phase in one lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Encode => "encode",
            Self::Denoise => "denoise",
            Self::Decode => "decode",
        }
    }
}

/// One progress event.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The current phase.
    pub phase: Phase,
    /// Units done so far: denoiser calls while denoising, pictures while decoding, components while loading.
    pub step: usize,
    /// Units in total.
    pub of: usize,
    /// Seconds since the start of the run, by the watcher's clock.
    pub seconds: f64,
    /// A preview of the picture, if requested.
    pub preview: Option<Image>,
}

/// A point in a run at which a tensor can be inspected, named as in the golden cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The latents that the denoising loop starts from.
    InitialLatents,
    /// The timesteps of all denoiser calls.
    Timesteps,
    /// The denoiser's prediction in this call, with guidance the unconditional half before the conditional one.
    NoisePrediction(usize),
    /// The latents after this call.
    Latents(usize),
    /// The decoded picture, `[n, h, w, 3]` in 0..=1.
    Picture,
}

/// Watches a run. All methods have defaults, so a caller only implements what it needs.
pub trait Watcher {
    /// Receives progress.
    fn progress(&mut self, _progress: &Progress) {}

    /// Whether the watcher wants the next preview.
    fn wants_preview(&self) -> bool {
        true
    }

    /// Receives a warning for the user, for example about a truncated prompt.
    fn warning(&mut self, _message: &str) {}

    /// Receives a tensor. Cloning it only copies a handle.
    fn tensor(&mut self, _probe: Probe, _tensor: &Tensor) {}

    /// Called between two steps. A caller whose thread also runs an event loop, such as a page's worker, lets the loop
    /// run here, so that cancellation arrives. Others need not wait.
    fn pause(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Seconds on any clock. Models and pipelines have no clock of their own.
    fn clock(&self) -> f64 {
        0.0
    }
}

/// A watcher that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watcher for Unwatched {}

/// Cancels a run. Clones share one flag, which the run checks between steps.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Cancels the run.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns [`Error::Cancelled`] if the run was cancelled.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}
