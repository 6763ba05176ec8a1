//! A run in progress: the caller's watcher, its clock, and the flag that stops the run.

use super::{CancelToken, Phase, Progress, Watcher};
use crate::Result;
use easel_picture::Image;

/// The state that all stages of a run share.
pub(super) struct Run<'a> {
    pub(super) watcher: &'a mut dyn Watcher,
    pub(super) cancel: &'a CancelToken,
    /// How often the device was lost.
    pub(super) losses: usize,
    started: f64,
    warned: Vec<String>,
}

impl<'a> Run<'a> {
    /// Starts the clock.
    pub(super) fn start(watcher: &'a mut dyn Watcher, cancel: &'a CancelToken) -> Self {
        let started = watcher.clock();
        Self { watcher, cancel, losses: 0, started, warned: Vec::new() }
    }

    /// Yields to the caller. Returns [`Error::Cancelled`](crate::Error::Cancelled) if the run was cancelled.
    pub(super) async fn pause(&mut self) -> Result<()> {
        self.watcher.pause().await;
        self.cancel.check()
    }

    /// Reports progress.
    pub(super) fn progress(&mut self, phase: Phase, step: usize, of: usize, preview: Option<Image>) {
        let seconds = self.watcher.clock() - self.started;
        self.watcher.progress(&Progress { phase, step, of, seconds, preview });
    }

    /// Reports a warning to the user, once.
    pub(super) fn warn(&mut self, message: String) {
        if !self.warned.contains(&message) {
            self.watcher.warning(&message);
            self.warned.push(message);
        }
    }
}
