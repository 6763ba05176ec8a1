//! The denoising loop: from the first latents to the last, one denoiser call and one sampler step at a time.

use super::conditioning::Conditioning;
use super::load::Pipeline;
use super::preview::preview;
use super::progress::{Phase, Probe};
use super::request::Request;
use super::run::Run;
use super::settings::Settings;
use super::start::{Inpaint, Start};
use crate::sampling::{Guidance, Noise, Sampler};
use crate::{Result, Tensor};

/// Where this batch stands among all calls of the request.
#[derive(Clone, Copy)]
pub(super) struct Share {
    pub(super) done: usize,
    pub(super) of: usize,
}

impl Pipeline {
    /// Walks from `start` to the final latents `[n, h, w, c]`.
    pub(super) async fn denoise(
        &self,
        start: Start,
        conditioning: &Conditioning,
        (mut sampler, noise): (Sampler, &mut Noise),
        (request, settings): (&Request, &Settings),
        share: Share,
        run: &mut Run<'_>,
    ) -> Result<Tensor> {
        let guidance = Guidance { scale: settings.guidance_scale, rescale: request.guidance_rescale };
        let timesteps = sampler.timesteps().to_vec();
        let Start { mut latents, first_call, inpaint } = start;
        let told: Vec<f32> = timesteps[first_call..].iter().map(|t| *t as f32).collect();
        let count = told.len();
        run.watcher.tensor(Probe::Timesteps, &Tensor::from_vec(told, &[count], &self.device)?);
        run.watcher.tensor(Probe::InitialLatents, &latents);
        for call in first_call..timesteps.len() {
            run.pause().await?;
            let scaled = sampler.scale_model_input(call, &latents)?;
            let prediction = self.predict(&scaled, timesteps[call], conditioning, &inpaint, settings.guided)?;
            run.watcher.tensor(Probe::NoisePrediction(call - first_call), &prediction);
            let guided = if settings.guided { guidance.apply(&prediction)? } else { prediction };
            latents = sampler.step(call, &guided, &latents, noise)?;
            if let Some(Inpaint::Blend { mask, image_latents, noise }) = &inpaint {
                latents = blend(&latents, mask, &kept(&sampler, image_latents, noise, call + 1, timesteps.len())?)?;
            }
            run.watcher.tensor(Probe::Latents(call - first_call), &latents);
            let step = share.done + call - first_call + 1;
            let shown = request.preview_every > 0 && step.is_multiple_of(request.preview_every);
            let seen = if shown { Some(self.preview(&latents).await?) } else { None };
            run.progress(Phase::Denoise, step, share.of, seen);
        }
        Ok(latents)
    }

    /// One denoiser call; with guidance on the negative and the positive half at once.
    fn predict(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditioning: &Conditioning,
        inpaint: &Option<Inpaint>,
        guided: bool,
    ) -> Result<Tensor> {
        let widened = match inpaint {
            Some(Inpaint::Channels(extra)) => Tensor::concat(&[latents, extra], 3)?,
            _ => latents.clone(),
        };
        let input = if guided { widened.repeat(2)? } else { widened };
        self.unet.forward(&input, timestep, &conditioning.hidden_states, &conditioning.unet)
    }

    async fn preview(&self, latents: &Tensor) -> Result<super::Image> {
        preview(latents, &self.autoencoder, self.text.is_xl()).await
    }
}

/// The picture's latents as noisy as the latents are after this step; the clean ones after the last.
fn kept(sampler: &Sampler, image_latents: &Tensor, noise: &Tensor, next: usize, calls: usize) -> Result<Tensor> {
    if next < calls { sampler.add_noise(image_latents, noise, next) } else { Ok(image_latents.clone()) }
}

/// `mask * drawn + (1 - mask) * kept`.
fn blend(drawn: &Tensor, mask: &Tensor, kept: &Tensor) -> Result<Tensor> {
    kept.add(&drawn.sub(kept)?.mul(mask)?)
}
