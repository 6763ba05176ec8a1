//! Loads a model's components into a pipeline.

use super::components::Held;
use super::embeddings::Embeddings;
use super::plan::Keeping;
use super::progress::{CancelToken, Phase, Watcher};
use super::run::Run;
use crate::families::{Defaults, Model, ModelFiles, SamplingDefaults, VAE};
use crate::sampling::SchedulerConfig;
use crate::tensor::Products;
use crate::{DType, Device, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The device to compute on.
    pub device: Device,
    /// The type of the weights in memory; `None` keeps the stored type.
    pub dtype: Option<DType>,
    /// The precision of products on the processor; `None` stands for [`Products::automatic`]. Text encoders use lower
    /// precision than `f32` only for quantised weights, and autoencoders that require `f32` never do.
    pub products: Option<Products>,
    /// The model's name for the metadata of its pictures.
    pub name: String,
    /// Default steps and guidance scale; `None` stands for those of the model's family.
    pub sampling: Option<SamplingDefaults>,
    /// Load each component when a run needs it, and drop it afterwards. The device then holds only the largest
    /// component instead of all, but every run reads the files again. Off by default.
    pub low_memory: bool,
    /// Read the denoiser's blocks from disk during each step, two of them at a time. Implies
    /// [`low_memory`](Self::low_memory). The pictures are the same, byte for byte.
    pub offload: bool,
}

impl LoadOptions {
    /// The default options on this device.
    pub fn new(device: Device) -> Self {
        let name = String::new();
        Self { device, dtype: None, products: None, name, sampling: None, low_memory: false, offload: false }
    }

    /// Sets how components are kept.
    pub fn keeping(self, keeping: Keeping) -> Self {
        Self { low_memory: keeping != Keeping::All, offload: keeping == Keeping::Offload, ..self }
    }
}

/// A text-to-image model on its device.
///
/// It keeps its files, to load components again that were dropped or whose device was lost.
pub struct Pipeline {
    pub(super) files: ModelFiles,
    pub(super) options: LoadOptions,
    pub(super) model: Box<dyn Model>,
    pub(super) scheduler: SchedulerConfig,
    pub(super) held: Mutex<Held>,
    pub(super) embeddings: Mutex<Embeddings>,
    /// Whether components are dropped after use: because of the options, or because the device ran out of memory.
    pub(super) in_turn: AtomicBool,
    defaults: Defaults,
}

impl Pipeline {
    /// Reads the configurations and loads all components, one after another. With
    /// [`low_memory`](LoadOptions::low_memory) runs load what they need instead.
    pub async fn load(
        files: &ModelFiles,
        options: &LoadOptions,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let mut run = Run::start(watcher, cancel);
        let pipeline = Self::new(files, options)?;
        if !pipeline.in_turn.load(Ordering::Relaxed) {
            pipeline.load_all(&mut run).await?;
        }
        Ok(pipeline)
    }

    /// Only reads the configurations. Runs load the components that they need, and keep them unless
    /// [`low_memory`](LoadOptions::low_memory) is set.
    ///
    /// # Errors
    /// For a configuration that its family does not support.
    pub fn new(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let scheduler = SchedulerConfig::from_json(files.scheduler())?;
        let model = files.family().model(files, &scheduler)?;
        let mut defaults = model.defaults().clone();
        if let Some(sampling) = options.sampling {
            defaults = defaults.with_sampling(sampling);
        }
        let files = files.clone();
        let options = options.clone();
        let held = Mutex::default();
        let embeddings = Mutex::default();
        let in_turn = AtomicBool::new(options.low_memory || options.offload);
        Ok(Self { files, options, model, scheduler, held, embeddings, in_turn, defaults })
    }

    async fn load_all(&self, run: &mut Run<'_>) -> Result<()> {
        self.with_recovery(run, async |run| {
            // The device ran out of memory: runs load what they need.
            if self.in_turn.load(Ordering::Relaxed) {
                return Ok(());
            }
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

    /// The precision of a component's products on the processor.
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

    /// The defaults for requests that leave these values out.
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
