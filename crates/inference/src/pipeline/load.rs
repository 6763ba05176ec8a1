//! A model's components put together, ready to draw.

use super::conditioning::{TextEncoder, TextEncoders};
use super::defaults::{Defaults, usual};
use super::progress::{CancelToken, Phase, Watcher};
use super::run::Run;
use crate::models::clip_text::{ClipText, ClipTextConfig};
use crate::models::unet::{UNet, UNetConfig};
use crate::models::vae::Autoencoder;
use crate::sampling::SchedulerConfig;
use crate::text::{ClipTokenizer, PadToken, TokenizerFiles};
use crate::weights::{Component, ModelFiles, Weights};
use crate::{DType, Device, Result};

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions<'a> {
    /// Where it computes.
    pub device: Device,
    /// The type its weights are kept in; `None` keeps the stored one.
    pub dtype: Option<DType>,
    /// Files of another autoencoder to decode with: TAESD, for example.
    pub autoencoder: Option<&'a ModelFiles>,
    /// The model's name, as the metadata of its pictures keeps it.
    pub name: String,
    /// Steps and guidance scale to use when none are asked for; `None` means the family's usual ones.
    pub usual: Option<(usize, f64)>,
}

impl LoadOptions<'_> {
    /// Everything as it is stored, on this device.
    pub fn new(device: Device) -> Self {
        Self { device, dtype: None, autoencoder: None, name: String::new(), usual: None }
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
        options: &LoadOptions<'_>,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let mut run = Run::start(watcher, cancel);
        let mut loader = Loader { files, options, done: 0, of: 3 + usize::from(files.has(Component::TextEncoder2)) };
        let text = loader.text(&mut run).await?;
        let config = UNetConfig::from_json(&files.config_name(Component::UNet), files.config(Component::UNet)?)?;
        let unet = UNet::new(&loader.weights(files, Component::UNet, &mut run).await?, config)?;
        let vae_files = options.autoencoder.unwrap_or(files);
        let vae_config = vae_files.config(Component::Vae)?;
        let weights = loader.weights(vae_files, Component::Vae, &mut run).await?;
        let autoencoder = Autoencoder::new(&weights, &vae_files.config_name(Component::Vae), vae_config)?;
        loader.report(&mut run);
        let scheduler = SchedulerConfig::from_json(files.scheduler_config())?;
        let usual = options.usual.unwrap_or_else(|| usual(&scheduler, files.scheduler_config(), text.is_xl()));
        let defaults = Defaults::new(files.config(Component::UNet)?, autoencoder.factor(), usual);
        let (device, name) = (options.device.clone(), options.name.clone());
        Ok(Self { text, unet, autoencoder, scheduler, device, name, defaults })
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
    options: &'a LoadOptions<'a>,
    done: usize,
    of: usize,
}

impl Loader<'_> {
    async fn text(&mut self, run: &mut Run<'_>) -> Result<TextEncoders> {
        let first = self.text_encoder(Component::TextEncoder, run).await?;
        if !self.files.has(Component::TextEncoder2) {
            return Ok(TextEncoders::One(first));
        }
        let second = self.text_encoder(Component::TextEncoder2, run).await?;
        let zeros = self.files.index()["force_zeros_for_empty_prompt"].as_bool().unwrap_or(true);
        Ok(TextEncoders::Two { first, second, zeros_for_missing_negative: zeros })
    }

    async fn text_encoder(&mut self, component: Component, run: &mut Run<'_>) -> Result<TextEncoder> {
        let config = ClipTextConfig::from_json(&self.files.config_name(component), self.files.config(component)?)?;
        let tokenizer = self.tokenizer(component, config.max_position_embeddings).await?;
        let model = ClipText::new(&self.weights(self.files, component, run).await?, config)?;
        Ok(TextEncoder { tokenizer, model })
    }

    async fn tokenizer(&self, component: Component, positions: usize) -> Result<ClipTokenizer> {
        let Some(files) = self.files.tokenizer(component).await? else {
            // Checkpoints in one file bring no vocabulary: it is CLIP's, padded as the family pads.
            let pad =
                if self.files.pads_with_end_of_text(component) { PadToken::EndOfText } else { PadToken::Exclamation };
            return ClipTokenizer::builtin(pad);
        };
        let files = TokenizerFiles {
            folder: &files.folder,
            merges: &files.merges,
            vocab: files.vocab.as_deref(),
            special_tokens_map: files.special_tokens_map.as_deref(),
            tokenizer_config: files.tokenizer_config.as_deref(),
        };
        ClipTokenizer::from_files(&files, positions)
    }
}

impl Loader<'_> {
    /// The weights of one component, and progress before them.
    async fn weights(&mut self, files: &ModelFiles, component: Component, run: &mut Run<'_>) -> Result<Weights> {
        run.cancel.check()?;
        self.report(run);
        self.done += 1;
        files.weights(component, &self.options.device, self.options.dtype).await
    }

    fn report(&self, run: &mut Run<'_>) {
        run.progress(Phase::Load, self.done, self.of, None);
    }
}
