//! The start of the denoising loop: pure noise, a noised picture, or a picture and a mask.
//!
//! The order of the random draws is that of diffusers' pipelines: the autoencoder's sample first, then the noise, then the
//! sample of the masked picture.

use super::description::{StartPlan, mask_missing, picture_missing};
use super::load::Pipeline;
use super::request::{InitImage, Request};
use super::run::Run;
use super::settings::Settings;
use crate::models::vae::Autoencoder;
use crate::models::vae::Tiling;
use crate::sampling::{Noise, Sampler};
use crate::{Device, Error, Result, Tensor};
use easel_picture::Mask;

/// The state before the first step.
pub(super) struct Start {
    /// `[n, h, w, c]`, in host memory like all of the sampler's data.
    pub(super) latents: Tensor,
    /// The first call of the sampler.
    pub(super) first_call: usize,
    pub(super) inpaint: Option<Inpaint>,
}

/// The method that preserves the unmasked part of a picture.
pub(super) enum Inpaint {
    /// After every step the unmasked latents are replaced by the picture's, noised to the next timestep.
    Blend {
        /// `[n, h, w, 1]`: 1 where the picture is redrawn.
        mask: Tensor,
        image_latents: Tensor,
        noise: Tensor,
    },
    /// The denoiser gets the mask and the masked picture as five additional channels `[n, h, w, 5]`.
    Channels(Tensor),
}

impl Start {
    pub(super) async fn prepare(
        pipeline: &Pipeline,
        request: &Request,
        settings: &Settings,
        sampler: &Sampler,
        noise: &mut Noise,
        n: usize,
        run: &mut Run<'_>,
    ) -> Result<Self> {
        let stage = Stage { pipeline, request, settings, n };
        let needs_mask = pipeline.model.needs_mask();
        match &request.init {
            None if needs_mask => Err(picture_missing()),
            None => {
                let latents = noise.draw(&stage.latent_shape(), &Device::Cpu)?.scale(sampler.init_noise_sigma())?;
                Ok(Self { latents, first_call: 0, inpaint: None })
            }
            Some(init) if needs_mask && init.mask.is_none() => Err(mask_missing()),
            Some(init) => {
                let vae = &*pipeline.autoencoder(run).await?;
                match &init.mask {
                    None => stage.noised(init, vae, sampler, noise, run).await,
                    Some(_) => stage.inpaint(init, needs_mask, vae, sampler, noise, run).await,
                }
            }
        }
    }
}

struct Stage<'a> {
    pipeline: &'a Pipeline,
    request: &'a Request,
    settings: &'a Settings,
    n: usize,
}

impl Stage<'_> {
    /// `[n, h, w, c]` of the latents.
    fn latent_shape(&self) -> [usize; 4] {
        let [h, w, c] = self.pipeline.model.latents().shape(self.settings.size);
        [self.n, h, w, c]
    }

    async fn noised(
        &self,
        init: &InitImage,
        vae: &Autoencoder,
        sampler: &Sampler,
        noise: &mut Noise,
        run: &mut Run<'_>,
    ) -> Result<Start> {
        let first_call = first_call(sampler, init.into())?;
        let once = self.request.one_generator;
        let image_latents = self.encode(vae, &self.picture(init)?, (noise, once), run).await?;
        let noise = noise.draw(&self.latent_shape(), &Device::Cpu)?;
        let latents = sampler.add_noise(&image_latents, &noise, first_call)?;
        Ok(Start { latents, first_call, inpaint: None })
    }

    async fn inpaint(
        &self,
        init: &InitImage,
        channels: bool,
        vae: &Autoencoder,
        sampler: &Sampler,
        noise: &mut Noise,
        run: &mut Run<'_>,
    ) -> Result<Start> {
        let all_the_way = init.strength >= 1.0;
        let first_call = first_call(sampler, init.into())?;
        let (mask, latent_mask) = self.masks(init)?;
        let picture = self.picture(init)?;
        // The nine-channel model does not need the picture's latents when it starts from pure noise.
        let image_latents =
            if channels && all_the_way { None } else { Some(self.encode(vae, &picture, (noise, true), run).await?) };
        let drawn = noise.draw(&self.latent_shape(), &Device::Cpu)?;
        let latents = match &image_latents {
            Some(image_latents) if !all_the_way => sampler.add_noise(image_latents, &drawn, first_call)?,
            _ => drawn.scale(sampler.init_noise_sigma())?,
        };
        // diffusers draws the masked picture's sample even if the model has no channels for it.
        let masked = picture.mul(&mask.affine(-1.0, 1.0)?)?;
        let masked_latents = self.encode(vae, &masked, (noise, true), run).await?;
        let inpaint = match image_latents {
            Some(image_latents) if !channels => Inpaint::Blend { mask: latent_mask, image_latents, noise: drawn },
            _ => Inpaint::Channels(Tensor::concat(&[&latent_mask, &masked_latents], 3)?),
        };
        Ok(Start { latents, first_call, inpaint: Some(inpaint) })
    }

    /// The picture as `[1, h, w, 3]` with values from -1 to 1, in the size of the request.
    fn picture(&self, init: &InitImage) -> Result<Tensor> {
        let [height, width] = self.settings.size;
        let resized = init.image.resized(width, height)?;
        Tensor::from_vec(resized.to_normalized(), &[1, height, width, 3], &Device::Cpu)
    }

    /// The mask for pixels `[1, h, w, 1]` and for latents `[n, h / f, w / f, 1]`.
    fn masks(&self, init: &InitImage) -> Result<(Tensor, Tensor)> {
        let [height, width] = self.settings.size;
        let [n, h, w, _] = self.latent_shape();
        let Some(picture) = &init.mask else { return Err(Error::invalid("mask", "inpainting needs a mask")) };
        let pixels = Mask::from_image(picture, width, height)?;
        let latents = Tensor::from_vec(pixels.resized(w, h)?.values, &[1, h, w, 1], &Device::Cpu)?.repeat(n)?;
        Ok((Tensor::from_vec(pixels.values, &[1, height, width, 1], &Device::Cpu)?, latents))
    }

    /// The picture's latents `[n, h, w, c]` in the denoiser's scale. The autoencoder's sample is drawn once for the
    /// whole batch or once per picture.
    async fn encode(
        &self,
        vae: &Autoencoder,
        picture: &Tensor,
        (noise, once): (&mut Noise, bool),
        run: &mut Run<'_>,
    ) -> Result<Tensor> {
        let tiling = self.pipeline.tiling(self.request, self.settings.size);
        let encoded = self.pipeline.encoded(vae, picture, tiling, run).await?;
        let [_, h, w, c] = encoded.mean.dims("encode")?;
        let n = self.n;
        let latents = match &encoded.log_variance {
            Some(_) if once => encoded.sample(&noise.draw_first(&[1, h, w, c], &Device::Cpu)?)?.repeat(n)?,
            Some(_) => encoded.repeat(n)?.sample(&noise.draw(&[n, h, w, c], &Device::Cpu)?)?,
            None => encoded.mean.repeat(n)?,
        };
        self.pipeline.model.latents().pack(&latents, vae)
    }
}

/// The call to start at. It is an error if `strength` leaves none.
pub(super) fn first_call(sampler: &Sampler, start: StartPlan) -> Result<usize> {
    let strength = start.strength;
    let call = if start.all_steps { 0 } else { sampler.start_for_strength(strength) };
    if call < sampler.timesteps().len() {
        return Ok(call);
    }
    Err(Error::invalid("strength", format!("{strength} leaves no steps; raise it or the number of steps")))
}

impl Pipeline {
    /// The tiles for encoding and decoding, if requested or if the picture is larger than four tiles.
    pub(super) fn tiling(&self, request: &Request, [height, width]: [usize; 2]) -> Option<Tiling> {
        const LARGE: usize = 1024 * 1024;
        let wanted = request.tiling.unwrap_or(height * width > LARGE);
        wanted.then(|| self.model.autoencoder().tiling())
    }
}
