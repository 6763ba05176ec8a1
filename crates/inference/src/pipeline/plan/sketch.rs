//! A run without data: each component is built, works once and is dropped, while the ledger is read.

use super::ComponentNeeds;
use crate::families::{Conditioning, Denoiser, Prompts, VAE};
use crate::models::vae::Autoencoder;
use crate::pipeline::load::Pipeline;
use crate::pipeline::progress::CancelToken;
use crate::pipeline::request::{Prompt, Request};
use crate::pipeline::settings::Settings;
use crate::tensor::OutlineDevice;
use crate::weights::{PIECE, Weights};
use crate::{Device, Result, Tensor};

/// Any timestep.
const TIMESTEP: f64 = 500.0;
/// Channels of a mask and a masked picture's latents beside the latents.
const MASK_CHANNELS: usize = 1;
/// Bytes per pixel of a finished picture besides the decoder's tensors: the floats that are read back, then bytes.
const FINISHED: usize = 3 * (size_of::<f32>() + 1);

/// A run of one batch.
pub(super) struct Sketch<'a> {
    pipeline: &'a Pipeline,
    request: &'a Request,
    settings: &'a Settings,
    batch: &'a [Prompt],
    ledger: OutlineDevice,
    done: Vec<ComponentNeeds>,
}

/// A component that is being loaded.
struct Loading {
    needs: ComponentNeeds,
    before: u64,
    weights: Weights,
}

/// A loaded component.
struct Working {
    needs: ComponentNeeds,
    built: u64,
}

impl<'a> Sketch<'a> {
    pub(super) fn new(
        pipeline: &'a Pipeline,
        request: &'a Request,
        settings: &'a Settings,
        batch: &'a [Prompt],
    ) -> Self {
        let ledger = OutlineDevice::of(&pipeline.options.device);
        Self { pipeline, request, settings, batch, ledger, done: Vec::new() }
    }

    /// The needs of all components.
    pub(super) fn finish(self) -> Vec<ComponentNeeds> {
        self.done
    }

    /// Plans the text encoders and returns their output.
    pub(super) fn text(&mut self) -> Result<Conditioning> {
        let cancel = CancelToken::default();
        let prompts = Prompts {
            batch: self.batch,
            request: self.request,
            size: self.settings.size,
            guidance_scale: self.settings.guidance_scale,
            guided: self.settings.is_guided(),
            cancel: &cancel,
        };
        let model = &self.pipeline.model;
        let mut states = Vec::new();
        for name in model.text_encoders() {
            let loading = self.load(name)?;
            let encoder = model.text_encoder(name, &self.pipeline.files, &loading.weights)?;
            let working = self.built(loading);
            states.push(encoder.encode(&prompts)?);
            drop(encoder);
            self.finished(working);
        }
        model.condition(states, &prompts)
    }

    /// Plans the denoiser, kept and streamed. It is called twice, because the second call reuses the buffers of the
    /// first.
    pub(super) fn denoiser(&mut self, conditioning: &Conditioning) -> Result<()> {
        let model = &self.pipeline.model;
        let offloaded = self.streamed(conditioning)?;
        let loading = self.load(model.denoiser())?;
        let denoiser = model.build_denoiser(&loading.weights)?;
        let mut working = self.built(loading);
        working.needs.offloaded = offloaded;
        self.predict(&*denoiser, conditioning)?;
        drop(denoiser);
        self.finished(working);
        Ok(())
    }

    /// The peak of the denoiser with streamed blocks; `None` in a build without streaming.
    fn streamed(&self, conditioning: &Conditioning) -> Result<Option<u64>> {
        if !cfg!(feature = "native") {
            return Ok(None);
        }
        let device = Device::Outline(self.ledger.clone());
        let name = self.pipeline.model.denoiser();
        let before = self.ledger.held();
        self.ledger.take_peak();
        let files = self.pipeline.files.component(name)?;
        // Streamed weights are read tensor by tensor, and each is converted while it is in memory as stored.
        let largest = files.tensors.iter().map(|(_, view)| view.bytes()).max().unwrap_or(0);
        let weights = files.streamed(&device, self.pipeline.options.dtype)?;
        let denoiser = self.pipeline.model.build_denoiser(&weights.with_products(self.pipeline.products(name)))?;
        self.predict(&*denoiser, conditioning)?;
        drop(denoiser);
        device.release_idle();
        Ok(Some(self.ledger.take_peak() - before + largest.min(PIECE)))
    }

    /// Calls a denoiser twice.
    fn predict(&self, denoiser: &dyn Denoiser, conditioning: &Conditioning) -> Result<()> {
        let model = &self.pipeline.model;
        let device = Device::Outline(self.ledger.clone());
        let [h, w, c] = model.latents().shape(self.settings.size);
        let channels = if model.needs_mask() { 2 * c + MASK_CHANNELS } else { c };
        let rows = self.batch.len() * if self.settings.is_guided() { 2 } else { 1 };
        let conditioning = conditioning.to_device(&device)?;
        let latents = Tensor::zeros(&[rows, h, w, channels], &device)?.cast(device.float())?;
        for _ in 0..2 {
            let time = denoiser.time(TIMESTEP, &device)?;
            denoiser.predict(&latents, &time, &conditioning)?;
        }
        Ok(())
    }

    /// Plans the autoencoder: an initial picture is encoded, and a picture decoded.
    pub(super) fn autoencoder(&mut self) -> Result<()> {
        let model = &self.pipeline.model;
        let wide = model.autoencoder().needs_f32();
        let device = Device::Outline(self.ledger.clone());
        let float = if wide { crate::DType::F32 } else { device.float() };
        let loading = self.load(VAE)?;
        let files = self.pipeline.files.component(VAE)?;
        let autoencoder = Autoencoder::new(&loading.weights, &files.config_file, &files.config)?;
        let mut working = self.built(loading);
        let tiling = self.pipeline.tiling(self.request, self.settings.size);
        let [height, width] = self.settings.size;
        if self.request.init.is_some() {
            let picture = Tensor::zeros(&[1, height, width, 3], &device)?.cast(float)?;
            autoencoder.encode(&picture, tiling)?;
            drop(picture);
            device.release_idle();
        }
        let [h, w, c] = model.latents().shape(self.settings.size);
        let latents = model.latents().unpack(&Tensor::zeros(&[1, h, w, c], &device)?, &autoencoder)?.cast(float)?;
        autoencoder.decode(&latents, tiling)?;
        drop((autoencoder, latents));
        working.needs.work += (height * width * FINISHED) as u64;
        self.finished(working);
        Ok(())
    }

    /// Loads the weights of a component, before its network converts them.
    fn load(&mut self, name: &str) -> Result<Loading> {
        let before = self.ledger.held();
        self.ledger.take_peak();
        let files = self.pipeline.files.component(name)?;
        let weights = files.tensors.outlined(&self.ledger, self.pipeline.options.dtype)?;
        let weights = weights.with_products(self.pipeline.products(name));
        let disk = files.tensors.bytes();
        let loaded = self.ledger.held() - before;
        let loading = loaded + disk.min(PIECE);
        let needs = ComponentNeeds { name: name.to_owned(), disk, loading, ..ComponentNeeds::default() };
        Ok(Loading { needs, before, weights })
    }

    /// Records that the network has converted its weights.
    fn built(&mut self, loading: Loading) -> Working {
        let Loading { mut needs, before, weights } = loading;
        drop(weights);
        let built = self.ledger.held();
        needs.loading = needs.loading.max(self.ledger.take_peak() - before);
        needs.weights = built - before;
        Working { needs, built }
    }

    /// Records that the component has worked and was dropped.
    fn finished(&mut self, working: Working) {
        let Working { mut needs, built } = working;
        needs.work += self.ledger.take_peak().saturating_sub(built);
        Device::Outline(self.ledger.clone()).release_idle();
        self.done.push(needs);
    }
}
