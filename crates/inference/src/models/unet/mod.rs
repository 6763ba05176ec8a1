//! The UNet of Stable Diffusion 1, 2 and XL (<https://arxiv.org/abs/2112.10752>, <https://arxiv.org/abs/2307.01952>):
//! `UNet2DConditionModel` of diffusers.

mod blocks;
mod config;
mod transformer;

pub use config::{ClassEmbedding, Level, MidBlock, TextTime, UNetConfig};
pub use transformer::Transformer2d;

use super::embeddings::{Sinusoid, TimestepEmbedding, guidance_embedding};
use super::layers::{Conv2d, GroupNorm};
use crate::tensor::{Activation, Conv2d as Geometry};
use crate::weights::Weights;
use crate::{Device, Error, Result, Tensor};
use blocks::{Context, DownBlock, Middle, UpBlock};

/// The optional inputs of a UNet besides text and timestep. Models ignore those that they do not have.
#[derive(Clone, Debug, Default)]
pub struct UNetConditioning {
    /// SDXL's micro-conditioning.
    pub added: Option<AddedConditioning>,
    /// The guidance scale minus 1, for models distilled with guidance (LCM).
    pub guidance: Option<f64>,
    /// The class label.
    pub class: Option<ClassLabel>,
}

/// SDXL's micro-conditioning (section 2.2 of <https://arxiv.org/abs/2307.01952>).
#[derive(Clone, Debug)]
pub struct AddedConditioning {
    /// The pooled text embedding: `[n, d]`.
    pub text_embeds: Tensor,
    /// For each of the `n` entries, the numbers of original size, crop and target size (or aesthetic score).
    pub time_ids: Vec<Vec<f64>>,
}

/// The class of what is denoised, as the model's class embedding takes it.
#[derive(Clone, Debug)]
pub enum ClassLabel {
    /// One number for each of the batch: a row of the table, or a timestep (the noise level of the upscaler).
    Numbers(Vec<f64>),
    /// A vector for each of the batch: `[n, width]`.
    Features(Tensor),
}

/// A UNet with its weights.
pub struct UNet {
    config: UNetConfig,
    time_embedding: TimestepEmbedding,
    add_embedding: Option<TimestepEmbedding>,
    class_embedding: Option<ClassLayer>,
    conv_in: Conv2d,
    down_blocks: Vec<DownBlock>,
    mid_block: Option<Middle>,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

enum ClassLayer {
    Table(Tensor),
    Timestep(TimestepEmbedding),
    Projection(TimestepEmbedding),
}

impl UNet {
    /// Builds the network. Unknown weights are an error.
    pub fn new(weights: &Weights, config: UNetConfig) -> Result<Self> {
        let count = config.levels.len();
        let finest = config.levels.first().map_or(0, |level| level.channels);
        let padded = |kernel: usize| Geometry::padded((kernel - 1) / 2);
        let kernel_in = config.conv_in_kernel;
        let kernel_out = config.conv_out_kernel;
        let down = weights.pp("down_blocks");
        let up = weights.pp("up_blocks");
        let conv_in = weights.pp("conv_in");
        let conv_out = weights.pp("conv_out");
        let norm_out = weights.pp("conv_norm_out");
        let unet = Self {
            time_embedding: time_embedding(weights, &config, finest)?,
            add_embedding: add_embedding(weights, &config)?,
            class_embedding: class_embedding(weights, &config, finest)?,
            conv_in: Conv2d::new(&conv_in, config.in_channels, finest, kernel_in, padded(kernel_in))?,
            down_blocks: (0..count).map(|i| DownBlock::new(&down.pp(i), &config, i)).collect::<Result<_>>()?,
            mid_block: Middle::new(&weights.pp("mid_block"), &config)?,
            // The file numbers the up path from the coarsest level.
            up_blocks: (0..count).map(|i| UpBlock::new(&up.pp(i), &config, count - 1 - i)).collect::<Result<_>>()?,
            conv_norm_out: GroupNorm::new(&norm_out, finest, config.norm_num_groups, config.norm_eps)?,
            conv_out: Conv2d::new(&conv_out, finest, config.out_channels, kernel_out, padded(kernel_out))?,
            config,
        };
        weights.finish(|_| false)?;
        Ok(unet)
    }

    /// The configuration that the UNet was built from.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// The model's prediction (noise, velocity or sample) for noisy latents `sample` `[n, h, w, c]` at `timestep`,
    /// given the text states `[n, t, cross_attention_dim]`: `[n, h, w, out_channels]`.
    pub fn forward(
        &self,
        sample: &Tensor,
        timestep: f64,
        encoder_hidden_states: &Tensor,
        conditioning: &UNetConditioning,
    ) -> Result<Tensor> {
        self.forward_probed(sample, timestep, encoder_hidden_states, conditioning, &mut |_, _| Ok(()))
    }

    /// The sinusoidal features of a timestep `[1, width]`, through which a step depends on it.
    pub fn timestep_features(&self, timestep: f64, device: &Device) -> Result<Tensor> {
        let width = self.config.levels.first().map_or(0, |level| level.channels);
        self.sinusoid(width).embed(&[timestep], device)?.cast(device.float())
    }

    /// [`forward`](Self::forward) for the timestep with these [features](Self::timestep_features). It only depends on
    /// tensors, so that it can be recorded and replayed.
    pub fn forward_features(
        &self,
        sample: &Tensor,
        time: &Tensor,
        encoder_hidden_states: &Tensor,
        conditioning: &UNetConditioning,
    ) -> Result<Tensor> {
        self.forward_all(sample, time, encoder_hidden_states, conditioning, &mut |_, _| Ok(()))
    }

    /// [`forward`](Self::forward) that also passes intermediate results to `probe`, under the names of their modules in
    /// diffusers.
    pub fn forward_probed(
        &self,
        sample: &Tensor,
        timestep: f64,
        encoder_hidden_states: &Tensor,
        conditioning: &UNetConditioning,
        probe: &mut dyn FnMut(&str, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let time = self.timestep_features(timestep, &sample.device())?;
        self.forward_all(sample, &time, encoder_hidden_states, conditioning, probe)
    }

    fn forward_all(
        &self,
        sample: &Tensor,
        time: &Tensor,
        encoder_hidden_states: &Tensor,
        conditioning: &UNetConditioning,
        probe: &mut dyn FnMut(&str, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let time = self.embed_time(time, conditioning)?;
        probe("time_embedding", &time)?;
        let time = self.add_class(time, conditioning)?;
        let time = self.add_text_time(time, conditioning)?.activation(self.config.activation)?;
        let context = Context { time: &time, text: encoder_hidden_states };
        let centred = self.config.center_input_sample.then(|| sample.affine(2.0, -1.0)).transpose()?;
        let mut hidden = self.conv_in.forward(centred.as_ref().unwrap_or(sample))?;
        probe("conv_in", &hidden)?;
        let mut skips = vec![hidden.clone()];
        for (i, block) in self.down_blocks.iter().enumerate() {
            hidden = block.forward(hidden, &context, &mut skips)?;
            probe(&format!("down_blocks.{i}"), &hidden)?;
        }
        if let Some(middle) = &self.mid_block {
            hidden = middle.forward(hidden, &context)?;
            probe("mid_block", &hidden)?;
        }
        for (i, block) in self.up_blocks.iter().enumerate() {
            hidden = block.forward(hidden, &context, &mut skips)?;
            probe(&format!("up_blocks.{i}"), &hidden)?;
        }
        self.conv_out.forward(&self.conv_norm_out.forward(&hidden, self.config.activation)?)
    }

    /// The embedding of the timestep's features and the guidance scale: `[1, time_embed_dim]`.
    fn embed_time(&self, time: &Tensor, conditioning: &UNetConditioning) -> Result<Tensor> {
        let device = time.device();
        let guidance = match (self.config.time_cond_proj_dim, conditioning.guidance) {
            (None, _) => None,
            (Some(_), None) => return Err(Error::invalid("guidance_scale", "this model needs it as an input")),
            (Some(width), Some(guidance)) => {
                Some(guidance_embedding(&[guidance], width, &device)?.cast(device.float())?)
            }
        };
        self.time_embedding.forward(time, guidance.as_ref())
    }

    fn add_class(&self, time: Tensor, conditioning: &UNetConditioning) -> Result<Tensor> {
        let Some(layer) = &self.class_embedding else { return Ok(time) };
        let device = time.device();
        let class = match (layer, &conditioning.class) {
            (ClassLayer::Table(table), Some(ClassLabel::Numbers(numbers))) => {
                let [entries, _] = table.dims("unet")?;
                if let Some(number) = numbers.iter().find(|number| !(0.0..entries as f64).contains(*number)) {
                    return Err(Error::invalid("class_label", format!("{number} is not below {entries}")));
                }
                let ids = numbers.iter().map(|number| *number as u32).collect();
                table.embedding(&Tensor::from_ids(ids, &[numbers.len()], &device)?)?.cast(device.float())?
            }
            (ClassLayer::Timestep(layer), Some(ClassLabel::Numbers(numbers))) => {
                let width = self.config.levels.first().map_or(0, |level| level.channels);
                layer.forward(&self.sinusoid(width).embed(numbers, &device)?.cast(device.float())?, None)?
            }
            (ClassLayer::Projection(layer), Some(ClassLabel::Features(features))) => layer.forward(features, None)?,
            (ClassLayer::Projection(_), _) => return Err(Error::invalid("class_label", "this model needs a vector")),
            _ => return Err(Error::invalid("class_label", "this model needs a number")),
        };
        class.add(&time)
    }

    fn add_text_time(&self, time: Tensor, conditioning: &UNetConditioning) -> Result<Tensor> {
        let (Some(layer), Some(text_time)) = (&self.add_embedding, self.config.text_time) else { return Ok(time) };
        let Some(AddedConditioning { text_embeds, time_ids }) = &conditioning.added else {
            return Err(Error::invalid("text_embeds", "this model needs a pooled text embedding and time ids"));
        };
        let [batch, width] = text_embeds.dims("unet")?;
        let count = text_time.input_width.saturating_sub(width) / text_time.time_width;
        if time_ids.len() != batch || time_ids.iter().any(|ids| ids.len() != count) {
            let expected = format!("{count} time ids for each of the {batch} text embeddings of width {width}");
            return Err(Error::Shape { op: "unet", expected, got: time_ids.iter().map(Vec::len).collect() });
        }
        let sinusoid = self.sinusoid(text_time.time_width);
        let ids = sinusoid.embed(&time_ids.concat(), &time.device())?.cast(time.device().float())?;
        let ids = ids.reshape(&[batch, count * text_time.time_width])?;
        layer.forward(&Tensor::concat(&[text_embeds, &ids], 1)?, None)?.add(&time)
    }

    fn sinusoid(&self, width: usize) -> Sinusoid {
        Sinusoid { width, flip_sin_to_cos: self.config.flip_sin_to_cos, freq_shift: self.config.freq_shift }
    }
}

fn time_embedding(weights: &Weights, config: &UNetConfig, inputs: usize) -> Result<TimestepEmbedding> {
    let weights = weights.pp("time_embedding");
    let embedding = TimestepEmbedding::new(&weights, inputs, config.time_embed_dim, config.activation)?;
    match config.time_cond_proj_dim {
        Some(width) => embedding.with_condition(&weights, width, inputs),
        None => Ok(embedding),
    }
}

fn add_embedding(weights: &Weights, config: &UNetConfig) -> Result<Option<TimestepEmbedding>> {
    let Some(text_time) = config.text_time else { return Ok(None) };
    let weights = weights.pp("add_embedding");
    // Always SiLU, whatever the rest of the model uses.
    TimestepEmbedding::new(&weights, text_time.input_width, config.time_embed_dim, Activation::Silu).map(Some)
}

fn class_embedding(weights: &Weights, config: &UNetConfig, finest: usize) -> Result<Option<ClassLayer>> {
    let weights = weights.pp("class_embedding");
    let width = config.time_embed_dim;
    let layer = |inputs, activation| TimestepEmbedding::new(&weights, inputs, width, activation);
    Ok(Some(match config.class_embedding {
        None => return Ok(None),
        Some(ClassEmbedding::Table(entries)) => ClassLayer::Table(weights.get("weight", &[entries, width])?),
        Some(ClassEmbedding::Timestep) => ClassLayer::Timestep(layer(finest, config.activation)?),
        Some(ClassEmbedding::Projection(inputs)) => ClassLayer::Projection(layer(inputs, Activation::Silu)?),
    }))
}
