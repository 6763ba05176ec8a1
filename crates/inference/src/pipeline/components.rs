//! The components of a pipeline: loaded, kept or dropped, and loaded again after their device was lost.
//!
//! Nothing that a run needs again is only on the device: latents, conditioning and the sampler's state are in host memory. So
//! a run survives the loss of its GPU. [`Pipeline::surviving`] drops the components, has the device opened anew for everyone
//! who holds a handle of it, and repeats the stage: one denoiser call, or one picture to decode. The pipeline keeps its
//! [`ModelFiles`](crate::families::ModelFiles) for that, and for [`LoadOptions::low_memory`](super::LoadOptions), which loads
//! each component when a run needs it and drops it afterwards, as every pipeline does from the moment on when its device has no
//! room for all. It is off by default, since every run then reads the files again.

use super::load::{LoadOptions, Pipeline};
use super::progress::Phase;
use super::run::Run;
use crate::families::{Denoiser, TextEncoder, VAE};
use crate::lock::lock;
use crate::models::vae::{Autoencoder, AutoencoderConfig};
use crate::weights::{ComponentFiles, Weights};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Losses of the device that one run survives: one that is lost again and again is lost for good.
const LOSSES: usize = 3;

/// What is loaded.
#[derive(Default)]
pub(super) struct Held {
    text_encoders: BTreeMap<&'static str, Arc<dyn TextEncoder>>,
    denoiser: Option<Arc<dyn Denoiser>>,
    autoencoder: Option<Arc<Autoencoder>>,
}

impl Pipeline {
    /// One of the model's text encoders.
    pub(super) async fn text_encoder(&self, name: &'static str, run: &mut Run<'_>) -> Result<Arc<dyn TextEncoder>> {
        let held = lock(&self.held).text_encoders.get(name).cloned();
        if let Some(held) = held {
            return Ok(held);
        }
        let (_, weights) = self.load_component(name, run).await?;
        let loaded: Arc<dyn TextEncoder> = self.model.text_encoder(name, &self.files, &weights)?.into();
        if !self.leaves() {
            lock(&self.held).text_encoders.insert(name, Arc::clone(&loaded));
        }
        Ok(loaded)
    }

    /// The denoiser.
    pub(super) async fn denoiser(&self, run: &mut Run<'_>) -> Result<Arc<dyn Denoiser>> {
        let held = lock(&self.held).denoiser.clone();
        if let Some(held) = held {
            return Ok(held);
        }
        let weights = self.denoiser_weights(run).await?;
        let loaded: Arc<dyn Denoiser> = self.model.build_denoiser(&weights)?.into();
        if !self.leaves() {
            lock(&self.held).denoiser = Some(Arc::clone(&loaded));
        }
        Ok(loaded)
    }

    /// The denoiser's weights, or where it is streamed a way to read them.
    async fn denoiser_weights(&self, run: &mut Run<'_>) -> Result<Weights> {
        let name = self.model.denoiser();
        if !self.options.offload {
            return Ok(self.load_component(name, run).await?.1);
        }
        let LoadOptions { device, dtype, .. } = &self.options;
        Ok(self.files.component(name)?.streamed(device, *dtype)?.with_products(self.products(name)))
    }

    /// Whether a component leaves when it has worked.
    fn leaves(&self) -> bool {
        self.in_turn.load(Ordering::Relaxed)
    }

    /// The autoencoder. A tiny one is always kept: previews ask for it again and again.
    pub(super) async fn autoencoder(&self, run: &mut Run<'_>) -> Result<Arc<Autoencoder>> {
        let held = lock(&self.held).autoencoder.clone();
        if let Some(held) = held {
            return Ok(held);
        }
        let (files, weights) = self.load_component(VAE, run).await?;
        let loaded = Arc::new(Autoencoder::new(&weights, &files.config_file, &files.config)?);
        let is_tiny = matches!(self.model.autoencoder(), AutoencoderConfig::Tiny(_));
        if is_tiny || !self.leaves() {
            lock(&self.held).autoencoder = Some(Arc::clone(&loaded));
        }
        Ok(loaded)
    }

    /// Does `stage`, and does it again: on a fresh device with the components loaded again if the device is lost meanwhile, and
    /// with one component at a time if there is no room for all.
    pub(super) async fn surviving<T>(
        &self,
        run: &mut Run<'_>,
        mut stage: impl AsyncFnMut(&mut Run<'_>) -> Result<T>,
    ) -> Result<T> {
        loop {
            match stage(run).await {
                Err(Error::DeviceLost { reason }) if run.losses < LOSSES => {
                    run.losses += 1;
                    run.warn(format!("the GPU was lost ({reason}); going on from the last step on a fresh one"));
                    *lock(&self.held) = Held::default();
                    self.options.device.revive().await?;
                }
                Err(Error::OutOfMemory { .. }) if !self.leaves() => {
                    run.warn("the device has no room for all of the model; one component is loaded at a time".into());
                    self.in_turn.store(true, Ordering::Relaxed);
                    *lock(&self.held) = Held::default();
                    self.options.device.release_idle();
                }
                result => return result,
            }
        }
    }

    /// The files of one component and its weights; progress is reported before they are read.
    async fn load_component(&self, component: &str, run: &mut Run<'_>) -> Result<(&ComponentFiles, Weights)> {
        run.pause().await?;
        let before = self.files.components().filter(|(other, _)| *other < component).count();
        run.progress(Phase::Load, before, self.files.components().count(), None);
        let files = self.files.component(component)?;
        let weights = files.weights(&self.options.device, self.options.dtype).await?;
        Ok((files, weights.with_products(self.products(component))))
    }
}
