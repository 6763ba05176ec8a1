//! A model's components put together, ready to draw.

use super::conditioning::{TextEncoder, TextEncoders};
use super::defaults::{Defaults, usual};
use super::progress::{CancelToken, Phase, Watcher};
use super::run::Run;
use crate::models::clip_text::{ClipText, ClipTextConfig};
use crate::models::unet::{UNet, UNetConfig};
use crate::models::vae::Autoencoder;
use crate::sampling::SchedulerConfig;
use crate::tensor::Activation;
use crate::text::{ClipTokenizer, PadToken, TokenizerFiles};
use crate::weights::{Component, ComponentFiles, ModelFiles, Weights};
use crate::{DType, Device, Error, Result, Tensor};

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where it computes.
    pub device: Device,
    /// The type its weights are kept in; `None` keeps the stored one.
    pub dtype: Option<DType>,
    /// The model's name, as the metadata of its pictures keeps it.
    pub name: String,
    /// Steps and guidance scale to use when none are asked for; `None` means the family's usual ones.
    pub usual: Option<(usize, f64)>,
}

impl LoadOptions {
    /// Everything as it is stored, on this device.
    pub fn new(device: Device) -> Self {
        Self { device, dtype: None, name: String::new(), usual: None }
    }
}

/// A text-to-image model on its device.
pub struct Pipeline {
    pub(super) text: TextEncoders,
    pub(super) unet: UNet,
    pub(super) autoencoder: Autoencoder,
    pub(super) scheduler: SchedulerConfig,
    pub(super) device: Device,
    pub(super) name: String,
    defaults: Defaults,
}

impl Pipeline {
    /// Loads every component, one after the other.
    pub async fn load(
        files: &ModelFiles,
        options: &LoadOptions,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let mut run = Run::start(watcher, cancel);
        let mut loader = Loader { files, options, done: 0, of: files.components().count() };
        let text = loader.text(&mut run).await?;
        let (unet, weights) = loader.component(Component::UNet, &mut run).await?;
        let config = UNetConfig::from_json(&unet.config_file, &unet.config)?;
        let defaults = &unet.config;
        let unet = UNet::new(&weights, config)?;
        let (vae, weights) = loader.component(Component::Vae, &mut run).await?;
        let autoencoder = Autoencoder::new(&weights, &vae.config_file, &vae.config)?;
        loader.report(&mut run);
        let scheduler = SchedulerConfig::from_json(files.scheduler())?;
        let usual = options.usual.unwrap_or_else(|| usual(&scheduler, files.scheduler(), text.is_xl()));
        let defaults = Defaults::new(defaults, autoencoder.factor(), usual);
        let (device, name) = (options.device.clone(), options.name.clone());
        Ok(Self { text, unet, autoencoder, scheduler, device, name, defaults })
    }

    /// Latents or a picture on their way into the autoencoder.
    pub(super) fn to_autoencoder(&self, x: &Tensor) -> Result<Tensor> {
        let float = if self.autoencoder.needs_f32() { DType::F32 } else { self.device.float() };
        x.cast(float)?.to_device(&self.device)
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

/// Loads components and reports each.
struct Loader<'a> {
    files: &'a ModelFiles,
    options: &'a LoadOptions,
    done: usize,
    of: usize,
}

impl<'a> Loader<'a> {
    async fn text(&mut self, run: &mut Run<'_>) -> Result<TextEncoders> {
        let first = Box::new(self.text_encoder(Component::TextEncoder, run).await?);
        if self.files.get(Component::TextEncoder2).is_none() {
            return Ok(TextEncoders::One(first));
        }
        let second = Box::new(self.text_encoder(Component::TextEncoder2, run).await?);
        let zeros = self.files.model_index()["force_zeros_for_empty_prompt"].as_bool().unwrap_or(true);
        Ok(TextEncoders::Two { first, second, zeros_for_missing_negative: zeros })
    }

    async fn text_encoder(&mut self, component: Component, run: &mut Run<'_>) -> Result<TextEncoder> {
        let (files, weights) = self.component(component, run).await?;
        let config = ClipTextConfig::from_json(&files.config_file, &files.config)?;
        let tokenizer = self.tokenizer(component, &config)?;
        Ok(TextEncoder { tokenizer, model: ClipText::new(&weights, config)? })
    }

    fn tokenizer(&self, component: Component, config: &ClipTextConfig) -> Result<ClipTokenizer> {
        let Some(files) = self.files.tokenizer(usize::from(component == Component::TextEncoder2)) else {
            // Checkpoints in one file bring no vocabulary. It is CLIP's; OpenCLIP's encoders, which are those with the
            // exact GELU, are padded with token 0.
            let open_clip = config.hidden_act == Activation::Gelu;
            return ClipTokenizer::builtin(if open_clip { PadToken::Exclamation } else { PadToken::EndOfText });
        };
        let merges = files.get("merges.txt").ok_or_else(|| {
            Error::format(&*files.folder, "no merges.txt, expected CLIP's tokenizer (merges.txt and vocab.json)")
        })?;
        let files = TokenizerFiles {
            folder: &files.folder,
            merges,
            vocab: files.get("vocab.json"),
            special_tokens_map: files.get("special_tokens_map.json"),
            tokenizer_config: files.get("tokenizer_config.json"),
        };
        ClipTokenizer::from_files(&files, config.max_position_embeddings)
    }

    /// The files of one component and its weights; progress is reported before they are read.
    async fn component(&mut self, component: Component, run: &mut Run<'_>) -> Result<(&'a ComponentFiles, Weights)> {
        run.pause().await?;
        self.report(run);
        self.done += 1;
        let files = self.files.component(component)?;
        Ok((files, files.weights(&self.options.device, self.options.dtype).await?))
    }

    fn report(&self, run: &mut Run<'_>) {
        run.progress(Phase::Load, self.done, self.of, None);
    }
}
