//! A model's components put together, ready to draw.

use super::components::Held;
use super::defaults::{Defaults, usual};
use super::progress::{CancelToken, Phase, Watcher};
use super::run::Run;
use crate::models::unet::UNetConfig;
use crate::models::vae::AutoencoderConfig;
use crate::sampling::SchedulerConfig;
use crate::tensor::Products;
use crate::weights::{Component, ModelFiles};
use crate::{DType, Device, Result, Tensor};
use std::sync::Mutex;

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where it computes.
    pub device: Device,
    /// The type its weights are kept in; `None` keeps the stored one.
    pub dtype: Option<DType>,
    /// What the denoiser and the autoencoder multiply in on the processor; `None` is [`Products::automatic`]. Text encoders,
    /// and autoencoders that ask for it, compute in `f32` in any case.
    pub products: Option<Products>,
    /// The model's name, as the metadata of its pictures keeps it.
    pub name: String,
    /// Steps and guidance scale to use when none are asked for; `None` means the family's usual ones.
    pub usual: Option<(usize, f64)>,
    /// Load each component when a run needs it and drop it afterwards: a device then holds the largest of them rather than
    /// all, and every run reads the files again. Off unless asked for.
    pub low_memory: bool,
}

impl LoadOptions {
    /// Everything as it is stored, on this device.
    pub fn new(device: Device) -> Self {
        Self { device, dtype: None, products: None, name: String::new(), usual: None, low_memory: false }
    }
}

/// A text-to-image model on its device.
///
/// It keeps its files: components that were not kept, or were on a device that is lost, are read from them again.
pub struct Pipeline {
    pub(super) files: ModelFiles,
    pub(super) options: LoadOptions,
    pub(super) unet: UNetConfig,
    pub(super) vae: AutoencoderConfig,
    pub(super) scheduler: SchedulerConfig,
    pub(super) held: Mutex<Held>,
    defaults: Defaults,
}

impl Pipeline {
    /// Reads the configurations and loads every component, one after the other; with
    /// [`low_memory`](LoadOptions::low_memory) a run loads what it needs.
    pub async fn load(
        files: &ModelFiles,
        options: &LoadOptions,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let mut run = Run::start(watcher, cancel);
        let (unet, vae) = (files.component(Component::UNet)?, files.component(Component::Vae)?);
        let vae = AutoencoderConfig::from_json(&vae.config_file, &vae.config)?;
        let scheduler = SchedulerConfig::from_json(files.scheduler())?;
        let is_xl = files.get(Component::TextEncoder2).is_some();
        let usual = options.usual.unwrap_or_else(|| usual(&scheduler, files.scheduler(), is_xl));
        let pipeline = Self {
            defaults: Defaults::new(&unet.config, vae.factor(), usual),
            unet: UNetConfig::from_json(&unet.config_file, &unet.config)?,
            vae,
            scheduler,
            files: files.clone(),
            options: options.clone(),
            held: Mutex::default(),
        };
        if !options.low_memory {
            pipeline.load_all(&mut run).await?;
        }
        Ok(pipeline)
    }

    async fn load_all(&self, run: &mut Run<'_>) -> Result<()> {
        self.surviving(run, async |run| {
            self.text_encoders(run).await?;
            self.denoiser(run).await?;
            self.autoencoder(run).await.map(drop)
        })
        .await?;
        let count = self.files.components().count();
        run.progress(Phase::Load, count, count, None);
        Ok(())
    }

    /// Whether this is SDXL, with its two text encoders.
    pub(super) fn is_xl(&self) -> bool {
        self.files.get(Component::TextEncoder2).is_some()
    }

    /// Latents or a picture on their way into the autoencoder.
    pub(super) fn to_autoencoder(&self, x: &Tensor) -> Result<Tensor> {
        let device = &self.options.device;
        let float = if self.vae.needs_f32() { DType::F32 } else { device.float() };
        x.cast(float)?.to_device(device)
    }

    /// What a component multiplies in on the processor.
    pub(super) fn products(&self, component: Component) -> Products {
        let LoadOptions { device, dtype, products, .. } = &self.options;
        match component {
            Component::UNet => {}
            Component::Vae if !self.vae.needs_f32() => {}
            _ => return Products::F32,
        }
        products.unwrap_or_else(|| Products::automatic(device, *dtype))
    }

    /// What is drawn when nothing else is asked for.
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// The model's own scheduler.
    pub fn scheduler(&self) -> &SchedulerConfig {
        &self.scheduler
    }

    /// Replaces the model's own scheduler.
    pub fn set_scheduler(&mut self, scheduler: SchedulerConfig) {
        self.scheduler = scheduler;
    }
}
