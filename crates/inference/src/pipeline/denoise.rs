//! The denoising loop: alternating denoiser calls and sampler steps, from the first latents to the last.
//!
//! The denoiser runs on its device, everything else in host memory: latents are small, the sampler's numbers are the
//! same on every device, and if the device is lost, its data is not needed: the step is repeated after reopening it.

use super::finite;
use super::load::Pipeline;
use super::preview::preview;
use super::progress::{Phase, Probe};
use super::request::Request;
use super::run::Run;
use super::settings::Settings;
use super::start::{Inpaint, Start};
use crate::families::{self, Conditioning};
use crate::sampling::{Guidance, Noise, Sampler};
use crate::tensor::Replay;
use crate::{Device, Error, Result, Tensor};
use easel_picture::Image;
use std::sync::Arc;

/// The position of this batch among all calls of the request.
#[derive(Clone, Copy)]
pub(super) struct Share {
    pub(super) done: usize,
    pub(super) of: usize,
}

impl Pipeline {
    /// Runs the loop from `start` to the final latents `[n, h, w, c]`.
    pub(super) async fn denoise(
        &self,
        start: Start,
        conditioning: &Conditioning,
        (mut sampler, noise): (Sampler, &mut Noise),
        (request, settings): (&Request, &Settings),
        share: Share,
        run: &mut Run<'_>,
    ) -> Result<Tensor> {
        let rescale = request.guidance_rescale;
        let guidance = settings.guidance.map(|scale| Guidance { scale, rescale });
        let timesteps = sampler.timesteps().to_vec();
        let Start { mut latents, first_call, inpaint } = start;
        let walked: Vec<f32> = timesteps[first_call..].iter().map(|t| *t as f32).collect();
        let count = walked.len();
        let mut denoiser = Walk { ready: None, device: self.options.device.clone() };
        let skip = request.skip_layers.as_ref().filter(|_| guidance.is_some());
        let mut conditionings = vec![conditioning.clone()];
        if let Some(skip) = skip {
            conditionings.push(self.model.without_layers(conditioning, &skip.layers)?);
        }
        run.watcher.tensor(Probe::Timesteps, &Tensor::from_vec(walked, &[count], &Device::Cpu)?);
        run.watcher.tensor(Probe::InitialLatents, &latents);
        for call in first_call..timesteps.len() {
            run.pause().await?;
            let scaled = sampler.scale_model_input(call, &latents)?;
            let input = denoiser_input(&scaled, &inpaint, guidance.is_some())?;
            let mut inputs = Inputs { conditionings: &conditionings, which: WHOLE, input, timestep: timesteps[call] };
            let prediction = self.predict(&mut denoiser, &inputs, run).await?;
            run.watcher.tensor(Probe::NoisePrediction(call - first_call), &prediction);
            let mut guided = match &guidance {
                Some(guidance) => guidance.apply(&prediction)?,
                None => prediction.clone(),
            };
            if let Some(skip) = skip.filter(|skip| skip.covers(call - first_call, settings.steps)) {
                inputs = Inputs { which: WITHOUT_LAYERS, input: denoiser_input(&scaled, &inpaint, false)?, ..inputs };
                let without = self.predict(&mut denoiser, &inputs, run).await?;
                guided = Guidance::away_from(&guided, &prediction, &without, skip.scale)?;
            }
            latents = sampler.step(call, &guided, &latents, noise)?;
            if let Some(Inpaint::Blend { mask, image_latents, noise }) = &inpaint {
                latents = blend(&latents, mask, &kept(&sampler, image_latents, noise, call + 1, timesteps.len())?)?;
            }
            run.watcher.tensor(Probe::Latents(call - first_call), &latents);
            let step = share.done + call - first_call + 1;
            let due = request.preview_every > 0 && step.is_multiple_of(request.preview_every);
            let shown = due && run.watcher.wants_preview();
            let seen = if shown { self.preview(&latents, run).await? } else { None };
            run.progress(Phase::Denoise, step, share.of, seen);
        }
        Ok(latents)
    }

    /// One call of the denoiser, which is prepared first if necessary. If the device is lost, the call is repeated on
    /// the reopened device. If half precision overflows, this call and all later ones run in `f32`.
    async fn predict(&self, walk: &mut Walk, inputs: &Inputs<'_>, run: &mut Run<'_>) -> Result<Tensor> {
        let predict = async |run: &mut Run<'_>| -> Result<Tensor> {
            loop {
                // Taken out, so that it is not used again after an error.
                let mut ready = match walk.ready.take() {
                    Some(ready) => ready,
                    None => Denoiser::new(self, &walk.device, inputs.conditionings, run).await?,
                };
                let prediction = ready.predict(inputs)?.to_host().await?;
                if prediction.is_finite()? {
                    walk.ready = Some(ready);
                    return Ok(prediction);
                }
                walk.device = finite::DENOISER.wider(&walk.device, run)?;
            }
        };
        self.with_recovery(run, predict).await
    }

    /// A preview of the latents. If the device is lost here, the next step notices.
    async fn preview(&self, latents: &Tensor, run: &mut Run<'_>) -> Result<Option<Image>> {
        match preview(latents, self, run).await {
            Ok(image) => Ok(Some(image)),
            Err(Error::DeviceLost { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The index of the conditioning for ordinary calls.
const WHOLE: usize = 0;
/// The index of the conditioning for calls that skip layers.
const WITHOUT_LAYERS: usize = 1;

/// The inputs of a denoiser call.
struct Inputs<'a> {
    /// All conditionings of the run.
    conditionings: &'a [Conditioning],
    /// The index of this call's conditioning.
    which: usize,
    input: Tensor,
    timestep: f64,
}

/// The state of the denoiser in one run of the loop.
struct Walk {
    /// The prepared denoiser, if it is.
    ready: Option<Denoiser>,
    /// The device and type that it computes with.
    device: Device,
}

/// The model on its device, with the data that all calls of a run share.
struct Denoiser {
    model: Arc<dyn families::Denoiser>,
    device: Device,
    /// Whether its blocks are streamed in every call. A recording would keep all of them in memory.
    streamed: bool,
    conditioned: Vec<Conditioned>,
}

/// A conditioning on the device, and the recording of a call with it.
struct Conditioned {
    conditioning: Conditioning,
    replay: Replay,
}

impl Denoiser {
    async fn new(
        pipeline: &Pipeline,
        device: &Device,
        conditionings: &[Conditioning],
        run: &mut Run<'_>,
    ) -> Result<Self> {
        let model = pipeline.denoiser(run).await?;
        let to_device = |conditioning: &Conditioning| -> Result<Conditioned> {
            Ok(Conditioned { conditioning: conditioning.to_device(device)?, replay: Replay::default() })
        };
        let conditioned = conditionings.iter().map(to_device).collect::<Result<_>>()?;
        Ok(Self { model, device: device.clone(), streamed: pipeline.options.offload, conditioned })
    }

    /// One call, recorded at the first step and replayed at the following ones.
    fn predict(&mut self, inputs: &Inputs<'_>) -> Result<Tensor> {
        let input = inputs.input.cast(self.device.float())?.to_device(&self.device)?;
        let time = self.model.time(inputs.timestep, &self.device)?;
        let Conditioned { conditioning, replay } = &mut self.conditioned[inputs.which];
        if self.streamed {
            return self.device.enter(|| self.model.predict(&input, &time, conditioning));
        }
        let step = |inputs: &[Tensor]| self.model.predict(&inputs[0], &inputs[1], conditioning);
        replay.run(&[&input, &time], step)
    }
}

/// The denoiser's input: with guidance the latents twice, for the negative and the positive half.
fn denoiser_input(latents: &Tensor, inpaint: &Option<Inpaint>, guided: bool) -> Result<Tensor> {
    let widened = match inpaint {
        Some(Inpaint::Channels(extra)) => Tensor::concat(&[latents, extra], 3)?,
        _ => latents.clone(),
    };
    if guided { widened.repeat(2) } else { Ok(widened) }
}

/// The picture's latents with the noise level after this step; clean after the last step.
fn kept(sampler: &Sampler, image_latents: &Tensor, noise: &Tensor, next: usize, calls: usize) -> Result<Tensor> {
    if next < calls { sampler.add_noise(image_latents, noise, next) } else { Ok(image_latents.clone()) }
}

/// `mask * drawn + (1 - mask) * kept`.
fn blend(drawn: &Tensor, mask: &Tensor, kept: &Tensor) -> Result<Tensor> {
    kept.add(&drawn.sub(kept)?.mul(mask)?)
}
