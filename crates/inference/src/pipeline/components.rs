//! Loading, keeping and dropping a pipeline's components, and loading them again after their device was lost.
//!
//! All data that a run needs again (latents, conditioning, the sampler's state) is in host memory, so a run survives
//! the loss of its GPU. [`Pipeline::with_recovery`] drops the components, reopens the device for all its handles, and
//! repeats the stage: one denoiser call, or the decoding of one picture. The pipeline keeps its
//! [`ModelFiles`](crate::families::ModelFiles) for that, and for [`LoadOptions::low_memory`](super::LoadOptions), which
//! loads each component when a run needs it and drops it afterwards. That is off by default, because every run then
//! reads the files again, but a pipeline switches to it when its device runs out of memory.

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

/// How many losses of the device a run survives. A device that is lost more often is given up.
const LOSSES: usize = 3;

/// The loaded components.
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
        if !self.drops_components() {
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
        if !self.drops_components() {
            lock(&self.held).denoiser = Some(Arc::clone(&loaded));
        }
        Ok(loaded)
    }

    /// The denoiser's weights, or the means to stream them.
    async fn denoiser_weights(&self, run: &mut Run<'_>) -> Result<Weights> {
        let name = self.model.denoiser();
        if !self.options.offload {
            return Ok(self.load_component(name, run).await?.1);
        }
        let LoadOptions { device, dtype, .. } = &self.options;
        Ok(self.files.component(name)?.streamed(device, *dtype)?.with_products(self.products(name)))
    }

    /// Whether components are dropped after use.
    fn drops_components(&self) -> bool {
        self.in_turn.load(Ordering::Relaxed)
    }

    /// The autoencoder. A tiny one is always kept, because previews need it often.
    pub(super) async fn autoencoder(&self, run: &mut Run<'_>) -> Result<Arc<Autoencoder>> {
        let held = lock(&self.held).autoencoder.clone();
        if let Some(held) = held {
            return Ok(held);
        }
        let (files, weights) = self.load_component(VAE, run).await?;
        let loaded = Arc::new(Autoencoder::new(&weights, &files.config_file, &files.config)?);
        let is_tiny = matches!(self.model.autoencoder(), AutoencoderConfig::Tiny(_));
        if is_tiny || !self.drops_components() {
            lock(&self.held).autoencoder = Some(Arc::clone(&loaded));
        }
        Ok(loaded)
    }

    /// Runs `stage`, and repeats it if necessary: if the device was lost, after reopening it and loading the components
    /// again; if the device ran out of memory, with one component at a time.
    pub(super) async fn with_recovery<T>(
        &self,
        run: &mut Run<'_>,
        mut stage: impl AsyncFnMut(&mut Run<'_>) -> Result<T>,
    ) -> Result<T> {
        loop {
            match stage(run).await {
                Err(Error::DeviceLost { reason }) if run.losses < LOSSES => {
                    run.losses += 1;
                    run.warn(format!(
                        "the GPU was lost ({reason}) and was opened again; the run continues from the last step"
                    ));
                    *lock(&self.held) = Held::default();
                    self.options.device.revive().await?;
                }
                Err(Error::OutOfMemory { .. }) if !self.drops_components() => {
                    run.warn(
                        "the device has too little memory for the whole model; one component is loaded at a time"
                            .into(),
                    );
                    self.in_turn.store(true, Ordering::Relaxed);
                    *lock(&self.held) = Held::default();
                    self.options.device.release_idle();
                }
                result => return result,
            }
        }
    }

    /// Reports progress and loads the weights of one component.
    async fn load_component(&self, component: &str, run: &mut Run<'_>) -> Result<(&ComponentFiles, Weights)> {
        run.pause().await?;
        let before = self.files.components().filter(|(other, _)| *other < component).count();
        run.progress(Phase::Load, before, self.files.components().count(), None);
        let files = self.files.component(component)?;
        let weights = files.weights(&self.options.device, self.options.dtype).await?;
        Ok((files, weights.with_products(self.products(component))))
    }
}
