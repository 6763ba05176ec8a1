//! A model's components put together, ready to draw.

use super::components::Held;
use super::progress::{CancelToken, Phase, Watcher};
use super::run::Run;
use crate::families::{Defaults, Model, ModelFiles, SamplingDefaults, VAE};
use crate::sampling::SchedulerConfig;
use crate::tensor::Products;
use crate::{DType, Device, Result, Tensor};
use std::sync::Mutex;

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where it computes.
    pub device: Device,
    /// The type its weights are kept in; `None` keeps the stored one.
    pub dtype: Option<DType>,
    /// What components multiply in on the processor; `None` is [`Products::automatic`]. Text encoders multiply only quantised
    /// weights in fewer bits than `f32`, and autoencoders that ask for `f32` none.
    pub products: Option<Products>,
    /// The model's name, as the metadata of its pictures keeps it.
    pub name: String,
    /// Steps and guidance scale when none are asked for; `None` means those of the model's family.
    pub sampling: Option<SamplingDefaults>,
    /// Load each component when a run needs it and drop it afterwards: a device then holds the largest of them rather than
    /// all, and every run reads the files again. Off unless asked for.
    pub low_memory: bool,
}

impl LoadOptions {
    /// Everything as it is stored, on this device.
    pub fn new(device: Device) -> Self {
        Self { device, dtype: None, products: None, name: String::new(), sampling: None, low_memory: false }
    }
}

/// A text-to-image model on its device.
///
/// It keeps its files: components that were not kept, or were on a device that is lost, are read from them again.
pub struct Pipeline {
    pub(super) files: ModelFiles,
    pub(super) options: LoadOptions,
    pub(super) model: Box<dyn Model>,
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
        let scheduler = SchedulerConfig::from_json(files.scheduler())?;
        let model = files.family().model(files, &scheduler)?;
        let mut defaults = model.defaults().clone();
        if let Some(sampling) = options.sampling {
            defaults = defaults.with_sampling(sampling);
        }
        let pipeline =
            Self { files: files.clone(), options: options.clone(), model, scheduler, held: Mutex::default(), defaults };
        if !options.low_memory {
            pipeline.load_all(&mut run).await?;
        }
        Ok(pipeline)
    }

    async fn load_all(&self, run: &mut Run<'_>) -> Result<()> {
        self.surviving(run, async |run| {
            for name in self.model.text_encoders() {
                self.text_encoder(name, run).await?;
            }
            self.denoiser(run).await?;
            self.autoencoder(run).await.map(drop)
        })
        .await?;
        let count = self.files.components().count();
        run.progress(Phase::Load, count, count, None);
        Ok(())
    }

    /// Latents or a picture on their way into the autoencoder.
    pub(super) fn to_autoencoder(&self, x: &Tensor) -> Result<Tensor> {
        let device = &self.options.device;
        let float = if self.model.autoencoder().needs_f32() { DType::F32 } else { device.float() };
        x.cast(float)?.to_device(device)
    }

    /// What a component multiplies in on the processor.
    pub(super) fn products(&self, component: &str) -> Products {
        let LoadOptions { device, dtype, products, .. } = &self.options;
        let products = products.unwrap_or_else(|| Products::automatic(device, *dtype));
        match component {
            VAE if self.model.autoencoder().needs_f32() => Products::F32,
            VAE => products,
            denoiser if denoiser == self.model.denoiser() => products,
            _ => products.without_bf16(),
        }
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
