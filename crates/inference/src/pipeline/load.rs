//! A model's components put together, ready to draw.

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
    /// Read the denoiser's blocks from disk during each step, two of them at a time. Implies
    /// [`low_memory`](Self::low_memory). The pictures are the same, byte for byte.
    pub offload: bool,
}

impl LoadOptions {
    /// Everything as it is stored, on this device.
    pub fn new(device: Device) -> Self {
        let name = String::new();
        Self { device, dtype: None, products: None, name, sampling: None, low_memory: false, offload: false }
    }

    /// The same with the components held in this way.
    pub fn keeping(self, keeping: Keeping) -> Self {
        Self { low_memory: keeping != Keeping::All, offload: keeping == Keeping::Offload, ..self }
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
    pub(super) embeddings: Mutex<Embeddings>,
    /// Whether components leave when they have worked: as the options say, or since the device had no room for all.
    pub(super) in_turn: AtomicBool,
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
        let pipeline = Self::new(files, options)?;
        if !pipeline.in_turn.load(Ordering::Relaxed) {
            pipeline.load_all(&mut run).await?;
        }
        Ok(pipeline)
    }

    /// Reads the configurations and loads nothing yet: a run loads what it needs, and keeps it unless
    /// [`low_memory`](LoadOptions::low_memory) says otherwise.
    ///
    /// # Errors
    /// Those of a configuration that its family cannot run.
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
        self.surviving(run, async |run| {
            // Since there was no room for all: a run loads what it needs.
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
