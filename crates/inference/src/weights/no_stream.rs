//! Parts of networks in a build without threads and files (cargo feature `native`): they are always held.

use super::handle::Weights;
use super::index::TensorIndex;
use super::send::Shareable;
use crate::{DType, Device, Error, Result, Tensor};
use std::collections::BTreeSet;

/// Where tensors are read from when they are taken: nowhere in this build.
#[derive(Clone)]
pub(super) enum Lazy {}

impl Lazy {
    pub(super) fn contains(&self, _: &str) -> bool {
        match *self {}
    }

    pub(super) fn take(&self, _: &str) -> Result<Option<Tensor>> {
        match *self {}
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        match *self {}
    }
}

/// Says that this build cannot.
pub(super) fn open(_: &TensorIndex, _: &Device, _: Option<DType>) -> Result<Weights> {
    Err(Error::invalid("offload", "this build has neither threads nor files to stream weights from"))
}

/// A part of a network.
pub struct Part<B>(B);

impl<B: Shareable + 'static> Part<B> {
    /// Lets the part work.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn with<R>(&self, work: impl FnOnce(&B) -> Result<R>) -> Result<R> {
        work(&self.0)
    }
}

impl Weights {
    /// A part of a network, built by `build` from the weights under this prefix.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn part<B: Shareable + 'static>(
        &self,
        build: impl Fn(&Self) -> Result<B> + Shareable + 'static,
    ) -> Result<Part<B>> {
        build(self).map(Part)
    }
}
