//! The transformer of FLUX.1 (<https://github.com/black-forest-labs/flux>): a diffusion transformer that predicts
//! flows, with rotary positions. Its first blocks keep text and picture in separate streams, the last ones join them.
//! `FluxTransformer2DModel` of diffusers.

mod block;
mod config;
mod positions;

pub use config::FluxConfig;

use super::embeddings::{Sinusoid, TimestepEmbedding};
use super::layers::{Linear, Modulation, modulate};
use crate::tensor::Activation;
use crate::weights::{Part, Weights};
use crate::{Device, Error, Result, Tensor};
use block::{DoubleBlock, SingleBlock};

/// The features of a timestep, and of a guidance scale.
const TIME: Sinusoid = Sinusoid { width: 256, flip_sin_to_cos: true, freq_shift: 0.0 };

/// The inputs besides the latents and the timestep.
#[derive(Clone, Copy)]
pub struct FluxConditioning<'a> {
    /// The states of the text: `[n, k, joint_attention_dim]`.
    pub text: &'a Tensor,
    /// The pooled text embedding: `[n, pooled_projection_dim]`.
    pub pooled: &'a Tensor,
    /// The guidance scale; models without that input ignore it.
    pub guidance: f64,
}

/// A FLUX.1 transformer with its weights.
pub struct Flux {
    config: FluxConfig,
    sample_embedding: Linear,
    context_embedding: Linear,
    time_embedding: TimestepEmbedding,
    guidance_embedding: Option<TimestepEmbedding>,
    text_embedding: TimestepEmbedding,
    double: Vec<Part<DoubleBlock>>,
    single: Vec<Part<SingleBlock>>,
    norm_out: Modulation,
    output: Linear,
}

impl Flux {
    /// Builds the network. Unknown weights are an error.
    pub fn new(weights: &Weights, config: FluxConfig) -> Result<Self> {
        let width = config.width();
        let embedding = |name, inputs| {
            TimestepEmbedding::new(&weights.pp("time_text_embed").pp(name), inputs, width, Activation::Silu)
        };
        let guidance = config.guidance_embeds.then(|| embedding("guidance_embedder", TIME.width));
        let double = weights.pp("transformer_blocks");
        let single = weights.pp("single_transformer_blocks");
        let double = |i: usize| {
            let config = config.clone();
            double.pp(i).part(move |weights| DoubleBlock::new(weights, &config))
        };
        let single = |i: usize| {
            let config = config.clone();
            single.pp(i).part(move |weights| SingleBlock::new(weights, &config))
        };
        let model = Self {
            sample_embedding: Linear::new(&weights.pp("x_embedder"), config.in_channels, width)?,
            context_embedding: Linear::new(&weights.pp("context_embedder"), config.joint_attention_dim, width)?,
            time_embedding: embedding("timestep_embedder", TIME.width)?,
            guidance_embedding: guidance.transpose()?,
            text_embedding: embedding("text_embedder", config.pooled_projection_dim)?,
            double: (0..config.num_layers).map(double).collect::<Result<_>>()?,
            single: (0..config.num_single_layers).map(single).collect::<Result<_>>()?,
            norm_out: Modulation::new(&weights.pp("norm_out.linear"), width, 2)?,
            output: Linear::new(&weights.pp("proj_out"), width, config.out_channels)?,
            config,
        };
        weights.finish(|_| false)?;
        Ok(model)
    }

    /// The configuration that the model was built from.
    pub fn config(&self) -> &FluxConfig {
        &self.config
    }

    /// The features `[1, 256]` of a time from 0 (picture) to 1 (noise), through which a step depends on the time. They
    /// are computed in `f32` on every device, from a thousand times the time.
    pub fn timestep_features(time: f64, device: &Device) -> Result<Tensor> {
        TIME.embed(&[f64::from(time as f32 * 1000.0)], device)?.cast(device.float())
    }

    /// The flow that the model predicts for the tokens `[n, h * w, in_channels]` of noisy latents, for `size` `[h, w]`
    /// in tokens, at the time with these [features](Self::timestep_features): `[n, h * w, out_channels]`. It only
    /// depends on tensors, so that it can be recorded and replayed.
    pub fn forward(
        &self,
        tokens: &Tensor,
        size: [usize; 2],
        time: &Tensor,
        conditioning: FluxConditioning<'_>,
    ) -> Result<Tensor> {
        self.forward_probed(tokens, size, time, conditioning, &mut |_, _| Ok(()))
    }

    /// [`forward`](Self::forward) that also passes intermediate results to `probe`, under the names of their modules in
    /// diffusers.
    pub fn forward_probed(
        &self,
        tokens: &Tensor,
        size: [usize; 2],
        time: &Tensor,
        conditioning: FluxConditioning<'_>,
        probe: &mut dyn FnMut(&str, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let device = tokens.device();
        let [_, count, _] = tokens.dims("flux")?;
        if count != size[0] * size[1] {
            let expected = format!("[n, {}, c], the number of tokens for {size:?}", size[0] * size[1]);
            return Err(Error::Shape { op: "flux", expected, got: tokens.shape().to_vec() });
        }
        let mut sample = self.sample_embedding.forward(tokens)?;
        probe("x_embedder", &sample)?;
        let time = self.embed_time(time, conditioning)?;
        probe("time_text_embed", &time)?;
        let time = time.activation(Activation::Silu)?;
        let mut text = self.context_embedding.forward(conditioning.text)?;
        probe("context_embedder", &text)?;
        let [_, words, _] = text.dims("flux")?;
        let angles = positions::angles(self.config.axes_dims_rope, words, size, &device)?;
        for (i, block) in self.double.iter().enumerate() {
            (text, sample) = block.with(|block| block.forward(text, sample, &time, &angles))?;
            probe(&format!("transformer_blocks.{i}.0"), &text)?;
            probe(&format!("transformer_blocks.{i}.1"), &sample)?;
        }
        let mut joined = Tensor::concat(&[&text, &sample], 1)?;
        drop(text);
        drop(sample);
        for (i, block) in self.single.iter().enumerate() {
            joined = block.with(|block| block.forward(joined, &time, &angles))?;
            probe(&format!("single_transformer_blocks.{i}"), &joined)?;
        }
        let [scale, shift] = self.norm_out.forward(&time)?;
        let normed = modulate(&joined.narrow(1, words, count)?, &scale, &shift)?;
        probe("norm_out", &normed)?;
        self.output.forward(&normed)
    }

    /// The embedding `[n, width]` of time, guidance scale and text.
    fn embed_time(&self, time: &Tensor, conditioning: FluxConditioning<'_>) -> Result<Tensor> {
        let mut embedded = self.time_embedding.forward(time, None)?;
        if let Some(layers) = &self.guidance_embedding {
            let device = time.device();
            let guidance = f64::from(conditioning.guidance as f32 * 1000.0);
            let features = TIME.embed(&[guidance], &device)?.cast(device.float())?;
            embedded = embedded.add(&layers.forward(&features, None)?)?;
        }
        self.text_embedding.forward(conditioning.pooled, None)?.add(&embedded)
    }
}
