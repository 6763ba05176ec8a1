//! The components of a pipeline: loaded, kept or not, and loaded again when their device was lost.

use super::conditioning::{TextEncoder, TextEncoders};
use super::load::Pipeline;
use super::progress::Phase;
use super::run::Run;
use crate::models::clip_text::{ClipText, ClipTextConfig};
use crate::models::unet::UNet;
use crate::models::vae::{Autoencoder, AutoencoderConfig};
use crate::tensor::Activation;
use crate::text::{PadToken, Tokenizer, TokenizerFiles};
use crate::weights::{Component, ComponentFiles, Weights};
use crate::{Error, Result};
use std::sync::{Arc, MutexGuard, PoisonError};

/// Losses of the device that one run survives: one that is lost again and again is lost for good.
const LOSSES: usize = 3;

/// What is loaded.
#[derive(Default)]
pub(super) struct Held {
    text: Option<Arc<TextEncoders>>,
    unet: Option<Arc<UNet>>,
    autoencoder: Option<Arc<Autoencoder>>,
}

impl Pipeline {
    /// The text encoders.
    pub(super) async fn text_encoders(&self, run: &mut Run<'_>) -> Result<Arc<TextEncoders>> {
        self.component(|held| &mut held.text, !self.options.low_memory, self.load_text(run)).await
    }

    /// The denoiser.
    pub(super) async fn denoiser(&self, run: &mut Run<'_>) -> Result<Arc<UNet>> {
        let load = async {
            let (_, weights) = self.load_component(Component::UNet, run).await?;
            UNet::new(&weights, self.unet.clone())
        };
        self.component(|held| &mut held.unet, !self.options.low_memory, load).await
    }

    /// The autoencoder. A tiny one is always kept: previews ask for it again and again.
    pub(super) async fn autoencoder(&self, run: &mut Run<'_>) -> Result<Arc<Autoencoder>> {
        let keep = !self.options.low_memory || matches!(self.vae, AutoencoderConfig::Tiny(_));
        let load = async {
            let (files, weights) = self.load_component(Component::Vae, run).await?;
            Autoencoder::new(&weights, &files.config_file, &files.config)
        };
        self.component(|held| &mut held.autoencoder, keep, load).await
    }

    /// Does `stage`, and does it again on a fresh device with the components loaded again if the device is lost meanwhile.
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
                    *self.held() = Held::default();
                    self.options.device.revive().await?;
                }
                result => return result,
            }
        }
    }

    async fn component<T>(
        &self,
        slot: fn(&mut Held) -> &mut Option<Arc<T>>,
        keep: bool,
        load: impl Future<Output = Result<T>>,
    ) -> Result<Arc<T>> {
        if let Some(held) = slot(&mut self.held()) {
            return Ok(Arc::clone(held));
        }
        let loaded = Arc::new(load.await?);
        if keep {
            *slot(&mut self.held()) = Some(Arc::clone(&loaded));
        }
        Ok(loaded)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load_text(&self, run: &mut Run<'_>) -> Result<TextEncoders> {
        let first = Box::new(self.load_text_encoder(Component::TextEncoder, run).await?);
        if !self.is_xl() {
            return Ok(TextEncoders::One(first));
        }
        let second = Box::new(self.load_text_encoder(Component::TextEncoder2, run).await?);
        let zeros = self.files.model_index()["force_zeros_for_empty_prompt"].as_bool().unwrap_or(true);
        Ok(TextEncoders::Two { first, second, zeros_for_missing_negative: zeros })
    }

    async fn load_text_encoder(&self, component: Component, run: &mut Run<'_>) -> Result<TextEncoder> {
        let (files, weights) = self.load_component(component, run).await?;
        let config = ClipTextConfig::from_json(&files.config_file, &files.config)?;
        let tokenizer = self.tokenizer(component, &config)?;
        Ok(TextEncoder { tokenizer, model: ClipText::new(&weights, config)? })
    }

    fn tokenizer(&self, component: Component, config: &ClipTextConfig) -> Result<Tokenizer> {
        let Some(files) = self.files.tokenizer(usize::from(component == Component::TextEncoder2)) else {
            // Checkpoints in one file bring no vocabulary. It is CLIP's; OpenCLIP's encoders, which are those with the
            // exact GELU, are padded with token 0.
            let open_clip = config.hidden_act == Activation::Gelu;
            return Tokenizer::clip(if open_clip { PadToken::Exclamation } else { PadToken::EndOfText });
        };
        let files = TokenizerFiles::find(&files.folder, |name| files.get(name));
        Tokenizer::from_files(&files, config.max_position_embeddings)
    }

    /// The files of one component and its weights; progress is reported before they are read.
    async fn load_component(&self, component: Component, run: &mut Run<'_>) -> Result<(&ComponentFiles, Weights)> {
        run.pause().await?;
        let before = self.files.components().filter(|(other, _)| *other < component).count();
        run.progress(Phase::Load, before, self.files.components().count(), None);
        let files = self.files.component(component)?;
        let weights = files.weights(&self.options.device, self.options.dtype).await?;
        Ok((files, weights.with_products(self.products(component))))
    }
}
