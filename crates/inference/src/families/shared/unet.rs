//! A UNet as the denoiser of a family, and the properties of the model in its configuration.

use super::UNET;
use crate::families::{Conditioning, Defaults, Denoiser, ModelFiles, SamplingDefaults};
use crate::models::unet::{AddedConditioning, UNet, UNetConditioning, UNetConfig};
use crate::pipeline::request::SIZE_STEP;
use crate::sampling::{SchedulerClass, SchedulerConfig};
use crate::weights::Weights;
use crate::{Device, Error, Result, Tensor};
use serde_json::Value;

/// The states of the text: `[n, t, d]`.
pub(in crate::families) const TEXT: &str = "text";
/// The pooled embedding of the text: `[n, p]`.
pub(in crate::families) const POOLED: &str = "pooled";
/// The sizes and crops of SDXL's micro-conditioning, picture by picture.
pub(in crate::families) const SIZES: &str = "sizes";
/// The guidance scale minus 1, for models distilled with guidance.
pub(in crate::families) const GUIDANCE: &str = "guidance";

/// The default of `sample_size`.
const SAMPLE_SIZE: usize = 64;

/// The UNet of a model, before its weights are read.
pub(in crate::families) struct Description {
    config: UNetConfig,
    /// The size of the training pictures in latents: height and width.
    sample_size: [usize; 2],
}

impl Description {
    /// Reads the configuration.
    pub(in crate::families) fn read(files: &ModelFiles) -> Result<Self> {
        let unet = files.component(UNET)?;
        let config = UNetConfig::from_json(&unet.config_file, &unet.config)?;
        Ok(Self { config, sample_size: sample_size(&unet.config["sample_size"]) })
    }

    /// The defaults, with an autoencoder that scales by `factor`.
    pub(in crate::families) fn defaults(&self, factor: usize, sampling: SamplingDefaults) -> Defaults {
        let [height, width] = self.sample_size.map(|latents| latents * factor);
        Defaults { width, height, steps: sampling.steps, guidance_scale: sampling.guidance_scale }
    }

    /// Whether the UNet has additional input channels for a mask and a masked picture.
    pub(in crate::families) fn needs_mask(&self, latent_channels: usize) -> bool {
        self.config.in_channels > latent_channels
    }

    /// Whether the UNet takes sizes and a pooled text embedding.
    pub(in crate::families) fn takes_sizes(&self) -> bool {
        self.config.text_time.is_some()
    }

    /// Whether the guidance scale is an input of the UNet. It then needs no negative prompts.
    pub(in crate::families) fn takes_guidance(&self) -> bool {
        self.config.time_cond_proj_dim.is_some()
    }

    /// The conditioning on the text, and on the guidance scale if it is an input.
    pub(in crate::families) fn condition(&self, text: Tensor, guidance_scale: f64) -> Conditioning {
        let conditioning = Conditioning::default().with(TEXT, text);
        match self.config.time_cond_proj_dim {
            Some(_) => conditioning.with_numbers(GUIDANCE, vec![guidance_scale - 1.0]),
            None => conditioning,
        }
    }

    /// Builds the UNet.
    pub(in crate::families) fn build(&self, weights: &Weights) -> Result<UNetDenoiser> {
        Ok(UNetDenoiser(UNet::new(weights, self.config.clone())?))
    }
}

/// The field `sample_size`: a number, or height and width.
fn sample_size(field: &Value) -> [usize; 2] {
    let side = |value: &Value| value.as_u64().map(|latents| latents as usize);
    match field {
        Value::Array(sides) => [sides.first(), sides.get(1)].map(|s| s.and_then(side).unwrap_or(SAMPLE_SIZE)),
        _ => [side(field).unwrap_or(SAMPLE_SIZE); 2],
    }
}

/// The size step: a multiple of the autoencoder's factor and of the interface's step.
pub(in crate::families) fn size_step(factor: usize) -> usize {
    let mut step = SIZE_STEP.max(factor);
    while !step.is_multiple_of(factor) {
        step += SIZE_STEP;
    }
    step
}

/// Steps and guidance that suit the scheduler that a model was published with. Distilled models are recognised by it:
/// by a sampler that was made for them, or, for the Turbo models, by Euler with trailing timesteps. `guidance_scale` is
/// that of all other models.
pub(in crate::families) fn sampling_defaults(
    scheduler: &SchedulerConfig,
    json: &Value,
    guidance_scale: f64,
) -> SamplingDefaults {
    let trailing = json["timestep_spacing"].as_str() == Some("trailing");
    let (steps, guidance_scale) = match scheduler.class() {
        class if class.is_distilled() => (4, 1.0),
        SchedulerClass::Euler | SchedulerClass::EulerAncestral if trailing => (4, 0.0),
        _ => (25, guidance_scale),
    };
    SamplingDefaults { steps, guidance_scale }
}

/// The error for skip-layer guidance, which needs a denoiser with uniform layers.
pub(in crate::families) fn no_layers_to_skip() -> Error {
    Error::invalid("skip_guidance_layers", "not supported by models with a UNet")
}

/// A UNet with its weights.
pub(in crate::families) struct UNetDenoiser(UNet);

impl Denoiser for UNetDenoiser {
    fn time(&self, timestep: f64, device: &Device) -> Result<Tensor> {
        self.0.timestep_features(timestep, device)
    }

    fn predict(&self, latents: &Tensor, time: &Tensor, conditioning: &Conditioning) -> Result<Tensor> {
        let guidance = conditioning.numbers(GUIDANCE).and_then(|numbers| numbers.first()).copied();
        let added = added(conditioning)?;
        let unet = UNetConditioning { added, guidance, class: None };
        self.0.forward_features(latents, time, conditioning.tensor(TEXT)?, &unet)
    }
}

/// The pooled embeddings and the sizes of all pictures.
fn added(conditioning: &Conditioning) -> Result<Option<AddedConditioning>> {
    let (Some(pooled), Some(sizes)) = (conditioning.find(POOLED), conditioning.numbers(SIZES)) else {
        return Ok(None);
    };
    let [n, _] = pooled.dims("conditioning")?;
    let each = (sizes.len() / n.max(1)).max(1);
    let time_ids = sizes.chunks(each).map(<[f64]>::to_vec).collect();
    Ok(Some(AddedConditioning { text_embeds: pooled.clone(), time_ids }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_come_from_the_unet() {
        assert_eq!(sample_size(&json!(96)), [96, 96]);
        assert_eq!(sample_size(&json!([64, 96])), [64, 96]);
        assert_eq!(sample_size(&Value::Null), [64, 64]);
    }

    #[test]
    fn the_size_step_is_a_multiple_of_both() {
        assert_eq!([1, 4, 8, 16, 3].map(size_step), [8, 8, 8, 16, 24]);
    }

    #[test]
    fn distilled_models_are_recognised_by_their_scheduler() {
        let defaults = |class: &str, spacing: &str| {
            let json = json!({ "_class_name": class, "timestep_spacing": spacing });
            let defaults = sampling_defaults(&SchedulerConfig::from_json(&json).unwrap(), &json, 7.5);
            (defaults.steps, defaults.guidance_scale)
        };
        assert_eq!(defaults("EulerDiscreteScheduler", "trailing"), (4, 0.0));
        assert_eq!(defaults("EulerDiscreteScheduler", "leading"), (25, 7.5));
        assert_eq!(defaults("LCMScheduler", "leading"), (4, 1.0));
        assert_eq!(defaults("PNDMScheduler", "leading"), (25, 7.5));
    }
}
