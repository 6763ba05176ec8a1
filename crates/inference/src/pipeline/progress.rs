//! What a run tells its caller while it works, and how the caller stops it.

use crate::weights::BoxFuture;
use crate::{Error, Result, Tensor};
use easel_picture::Image;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The part of a run that is being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading the model's files.
    Load,
    /// Turning the prompts into conditioning.
    Encode,
    /// Walking from noise to latents.
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
    /// What is being done.
    pub phase: Phase,
    /// Units done so far: denoiser calls while denoising, pictures while decoding, components while loading.
    pub step: usize,
    /// Units in all.
    pub of: usize,
    /// Seconds since the run began, by the watcher's clock.
    pub seconds: f64,
    /// What the picture looks like so far, when previews were asked for.
    pub preview: Option<Image>,
}

/// A moment in a run at which a tensor can be looked at, named as the golden cases name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The latents that the denoising loop starts from.
    InitialLatents,
    /// The timesteps of all denoiser calls.
    Timesteps,
    /// What the denoiser returned in this call: unconditional and conditional halves with guidance.
    NoisePrediction(usize),
    /// The latents after this call.
    Latents(usize),
    /// The decoded picture, `[n, h, w, 3]` in 0..=1.
    Picture,
}

/// Watches a run. Every method has a default, so that a caller implements what it needs.
pub trait Watcher {
    /// Something was done.
    fn progress(&mut self, _progress: &Progress) {}

    /// Whether a preview that is due would be looked at.
    fn wants_preview(&self) -> bool {
        true
    }

    /// Something that does not stop the run, but that the user should know: a truncated prompt, say.
    fn warning(&mut self, _message: &str) {}

    /// A tensor passes by. Cloning it copies a handle.
    fn tensor(&mut self, _probe: Probe, _tensor: &Tensor) {}

    /// A moment between two steps. A caller that shares its thread with an event loop, as a page's worker does, lets that
    /// run here, so that a request to cancel arrives; others have nothing to wait for.
    fn pause(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Seconds on a clock of the caller's choosing; models and pipelines have none of their own.
    fn clock(&self) -> f64 {
        0.0
    }
}

/// A watcher that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watcher for Unwatched {}

/// Asks a run to stop. Clones share one flag; the run looks at it between steps.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks the run to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether someone asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// [`Error::Cancelled`] if someone asked.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}
