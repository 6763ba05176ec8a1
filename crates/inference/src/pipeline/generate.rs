//! One request from its first check to the finished pictures.

use super::denoise::Share;
use super::description::{StartPlan, sampler};
use super::embeddings::{self, Texts};
use super::load::Pipeline;
use super::progress::{CancelToken, Phase, Probe, Watcher};
use super::request::{Prompt, Request};
use super::run::Run;
use super::settings::Settings;
use super::start::Start;
use crate::families::{Conditioning, Prompts, TextStates};
use crate::lock::lock;
use crate::sampling::Noise;
use crate::{Result, Tensor};
use easel_picture::{Image, Parameters};

/// A finished picture with its settings.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The pixels.
    pub image: Image,
    /// The settings for the file's metadata.
    pub parameters: Parameters,
    /// The seed of this picture.
    pub seed: u64,
}

impl Pipeline {
    /// Draws the pictures of a request. If it is cancelled, it stops between two steps with [`Error::Cancelled`].
    pub async fn generate(
        &self,
        request: &Request,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Vec<Picture>> {
        let settings = Settings::resolve(&*self.model, &self.scheduler, self.defaults(), request)?;
        let mut run = Run::start(watcher, cancel);
        let mut pictures = Vec::new();
        for batch in request.prompts.chunks(request.batch_size) {
            let images = self.draw(batch, pictures.len(), request, &settings, &mut run).await?;
            for (prompt, image) in batch.iter().zip(images) {
                let parameters = self.parameters(request, &settings, prompt);
                pictures.push(Picture { image, parameters, seed: prompt.seed });
            }
        }
        Ok(pictures)
    }

    /// Draws one batch, after `done` pictures of the request.
    async fn draw(
        &self,
        batch: &[Prompt],
        done: usize,
        request: &Request,
        settings: &Settings,
        run: &mut Run<'_>,
    ) -> Result<Vec<Image>> {
        let n = batch.len();
        let all = request.prompts.len();
        run.pause().await?;
        run.progress(Phase::Encode, done, all, None);
        let conditioning =
            self.with_recovery(run, async |run| self.condition(batch, request, settings, run).await).await?;
        self.options.device.release_idle();
        run.progress(Phase::Encode, done + n, all, None);

        let sampler = sampler(&*self.model, request, settings, request.init.as_ref().map(StartPlan::from))?;
        let mut noise = noise(batch, request);
        let undrawn = noise.clone();
        let prepare = async |run: &mut Run<'_>| -> Result<Start> {
            noise = undrawn.clone();
            Start::prepare(self, request, settings, &sampler, &mut noise, n, run).await
        };
        let start = self.with_recovery(run, prepare).await?;
        let calls = sampler.timesteps().len() - start.first_call;
        let share =
            Share { done: done.div_ceil(request.batch_size) * calls, of: all.div_ceil(request.batch_size) * calls };
        let latents =
            self.denoise(start, &conditioning, (sampler, &mut noise), (request, settings), share, run).await?;

        self.options.device.release_idle();
        let images = self.decode(&latents, done, request, settings, run).await;
        self.options.device.release_idle();
        images
    }

    async fn condition(
        &self,
        batch: &[Prompt],
        request: &Request,
        settings: &Settings,
        run: &mut Run<'_>,
    ) -> Result<Conditioning> {
        let prompts = Prompts {
            batch,
            request,
            size: settings.size,
            guidance_scale: settings.guidance_scale,
            guided: settings.is_guided(),
            cancel: run.cancel,
        };
        let states = self.text_states(&prompts, run).await?;
        for warning in states.iter().flat_map(|states| &states.warnings) {
            run.warn(warning.clone());
        }
        self.model.condition(states, &prompts)
    }

    /// The text encoders' states for the prompts, from the cache if possible.
    async fn text_states(&self, prompts: &Prompts<'_>, run: &mut Run<'_>) -> Result<Vec<TextStates>> {
        let texts = Texts::of(prompts);
        let kept = lock(&self.embeddings).find(&texts);
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let mut states = Vec::new();
        for name in self.model.text_encoders() {
            let encoder = self.text_encoder(name, run).await?;
            let encoded = encoder.encode(prompts)?.into_host().await?;
            states.push(embeddings::to_keep(&encoded).await?);
        }
        lock(&self.embeddings).keep(texts, states.clone());
        Ok(states)
    }

    /// Decodes latents into pictures, one at a time.
    async fn decode(
        &self,
        latents: &Tensor,
        done: usize,
        request: &Request,
        settings: &Settings,
        run: &mut Run<'_>,
    ) -> Result<Vec<Image>> {
        let [n, ..] = latents.dims::<4>("decode")?;
        let [height, width] = settings.size;
        let mut images = Vec::new();
        let decode = async |run: &mut Run<'_>| -> Result<()> {
            let autoencoder = self.autoencoder(run).await?;
            let encoded = self.model.latents().unpack(latents, &autoencoder)?;
            for k in images.len()..n {
                run.pause().await?;
                let tiling = self.tiling(request, settings.size);
                let decoded = self.decoded(&autoencoder, &encoded.narrow(0, k, 1)?, tiling, run).await?;
                run.watcher.tensor(Probe::Picture, &decoded.picture.clamp(0.0, 1.0)?);
                images.push(Image::from_unit(width, height, &decoded.values)?);
                run.progress(Phase::Decode, done + k + 1, request.prompts.len(), None);
            }
            Ok(())
        };
        self.with_recovery(run, decode).await?;
        Ok(images)
    }
}

/// The generators of a batch.
fn noise(batch: &[Prompt], request: &Request) -> Noise {
    let seeds: Vec<u64> = batch.iter().map(|prompt| prompt.seed).collect();
    match seeds.first() {
        Some(first) if request.one_generator => Noise::batch(*first),
        _ => Noise::per_image(&seeds),
    }
}

impl Pipeline {
    /// The settings of a picture for its metadata.
    fn parameters(&self, request: &Request, settings: &Settings, prompt: &Prompt) -> Parameters {
        let height = settings.size[0];
        let width = settings.size[1];
        let other_scale = settings.guidance.filter(|scale| *scale != settings.guidance_scale);
        let nonzero = |value: f64| (value != 0.0).then_some(value);
        let options = request.prompt_options;
        let (sampler, schedule) = settings.scheduler.label();
        Parameters {
            prompt: prompt.text.clone(),
            negative_prompt: prompt.negative.clone(),
            steps: Some(settings.steps),
            sampler: Some(sampler.to_owned()),
            schedule_type: schedule.map(str::to_owned),
            cfg_scale: Some(settings.guidance_scale),
            true_cfg_scale: request.true_cfg_scale.or(other_scale),
            guidance_rescale: nonzero(request.guidance_rescale),
            eta: nonzero(request.eta),
            seed: Some(prompt.seed),
            size: Some((width, height)),
            model: Some(self.options.name.clone()).filter(|name| !name.is_empty()),
            clip_skip: (options.clip_skip > 0).then_some(options.clip_skip + 1),
            denoising_strength: request.init.as_ref().map(|init| init.strength),
            version: Some(Parameters::VERSION.into()),
            ..Parameters::default()
        }
    }
}
