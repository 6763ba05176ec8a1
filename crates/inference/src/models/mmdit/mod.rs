//! The multimodal diffusion transformer of Stable Diffusion 3 and 3.5 (<https://arxiv.org/abs/2403.03206>):
//! `SD3Transformer2DModel` of diffusers.

mod block;
mod config;

pub use config::MmditConfig;

use super::embeddings::{Sinusoid, TimestepEmbedding};
use super::layers::{Conv2d, Linear, Modulation, modulate};
use crate::tensor::{Activation, Conv2d as Geometry};
use crate::weights::{Part, Weights};
use crate::{Device, Error, Result, Tensor};
use block::Block;

/// The features of a timestep.
const TIME: Sinusoid = Sinusoid { width: 256, flip_sin_to_cos: true, freq_shift: 0.0 };

/// The inputs besides the latents and the timestep.
#[derive(Clone, Copy)]
pub struct MmditConditioning<'a> {
    /// The states of the text: `[n, k, joint_attention_dim]`.
    pub text: &'a Tensor,
    /// The pooled text embedding: `[n, pooled_projection_dim]`.
    pub pooled: &'a Tensor,
    /// Blocks to skip, for skip-layer guidance.
    pub skipped_layers: &'a [usize],
}

/// An MMDiT with its weights.
pub struct Mmdit {
    config: MmditConfig,
    patch_embedding: Conv2d,
    /// `[positions, width]`, row by row of a square.
    positions: Tensor,
    time_embedding: TimestepEmbedding,
    text_embedding: TimestepEmbedding,
    context_embedding: Linear,
    blocks: Vec<Part<Block>>,
    norm_out: Modulation,
    output: Linear,
}

impl Mmdit {
    /// Builds the network. Unknown weights are an error.
    pub fn new(weights: &Weights, config: MmditConfig) -> Result<Self> {
        let width = config.width();
        let patch = config.patch_size;
        let geometry = Geometry { stride: patch, ..Geometry::padded(0) };
        let blocks = weights.pp("transformer_blocks");
        let embedding = |name, inputs| {
            TimestepEmbedding::new(&weights.pp("time_text_embed").pp(name), inputs, width, Activation::Silu)
        };
        let block = |i: usize| {
            let config = config.clone();
            blocks.pp(i).part(move |weights| Block::new(weights, &config, i))
        };
        let model = Self {
            patch_embedding: Conv2d::new(&weights.pp("pos_embed.proj"), config.in_channels, width, patch, geometry)?,
            positions: positions(&weights.pp("pos_embed"), &config)?,
            time_embedding: embedding("timestep_embedder", TIME.width)?,
            text_embedding: embedding("text_embedder", config.pooled_projection_dim)?,
            context_embedding: Linear::new(&weights.pp("context_embedder"), config.joint_attention_dim, width)?,
            blocks: (0..config.num_layers).map(block).collect::<Result<_>>()?,
            norm_out: Modulation::new(&weights.pp("norm_out.linear"), width, 2)?,
            output: Linear::new(&weights.pp("proj_out"), width, patch * patch * config.out_channels)?,
            config,
        };
        weights.finish(|_| false)?;
        Ok(model)
    }

    /// The configuration that the model was built from.
    pub fn config(&self) -> &MmditConfig {
        &self.config
    }

    /// The sinusoidal features of a timestep `[1, 256]`, through which a step depends on it.
    pub fn timestep_features(timestep: f64, device: &Device) -> Result<Tensor> {
        TIME.embed(&[timestep], device)?.cast(device.float())
    }

    /// The flow that the model predicts for noisy latents `sample` `[n, h, w, in_channels]` at the timestep with these
    /// [features](Self::timestep_features): `[n, h, w, out_channels]`. It only depends on tensors, so that it can be
    /// recorded and replayed.
    pub fn forward(&self, sample: &Tensor, time: &Tensor, conditioning: MmditConditioning<'_>) -> Result<Tensor> {
        self.forward_probed(sample, time, conditioning, &mut |_, _| Ok(()))
    }

    /// [`forward`](Self::forward) that also passes intermediate results to `probe`, under the names of their modules in
    /// diffusers.
    pub fn forward_probed(
        &self,
        sample: &Tensor,
        time: &Tensor,
        conditioning: MmditConditioning<'_>,
        probe: &mut dyn FnMut(&str, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let [_, height, width, _] = sample.dims("mmdit")?;
        let size = [height, width].map(|side| side / self.config.patch_size);
        let mut hidden = self.embed(sample, size)?;
        probe("pos_embed", &hidden)?;
        let time = self.time_embedding.forward(time, None)?;
        let time = self.text_embedding.forward(conditioning.pooled, None)?.add(&time)?;
        probe("time_text_embed", &time)?;
        let time = time.activation(Activation::Silu)?;
        let mut context = self.context_embedding.forward(conditioning.text)?;
        probe("context_embedder", &context)?;
        for (i, block) in self.blocks.iter().enumerate() {
            if conditioning.skipped_layers.contains(&i) {
                continue;
            }
            (hidden, context) = block.with(|block| block.forward(hidden, context, &time))?;
            probe(&format!("transformer_blocks.{i}.0"), &context)?;
            probe(&format!("transformer_blocks.{i}.1"), &hidden)?;
        }
        let [scale, shift] = self.norm_out.forward(&time)?;
        let normed = modulate(&hidden, &scale, &shift)?;
        probe("norm_out", &normed)?;
        self.unpatch(&self.output.forward(&normed)?, size)
    }

    /// Latents as tokens `[n, h * w, width]` for `size` `[h, w]` in tokens, with their positions.
    fn embed(&self, sample: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
        let patch = self.config.patch_size;
        let [n, rows, columns, _] = sample.dims("mmdit")?;
        if [rows, columns] != [h * patch, w * patch] {
            let expected = format!("[n, h, w, c] with height and width divisible by {patch}");
            return Err(Error::Shape { op: "mmdit", expected, got: sample.shape().to_vec() });
        }
        let width = self.config.width();
        let patches = self.patch_embedding.forward(sample)?.reshape(&[n, h * w, width])?;
        let positions = self.cropped_positions([h, w], &sample.device())?;
        patches.add(&positions.cast(sample.device().float())?.reshape(&[1, h * w, width])?)
    }

    /// The middle of the table, `[h * w, width]`.
    fn cropped_positions(&self, [h, w]: [usize; 2], device: &Device) -> Result<Tensor> {
        let most = self.config.pos_embed_max_size;
        for (field, side) in [("height", h), ("width", w)] {
            if side > most {
                let reason = format!("{side} tokens, but this model has only {most} positions");
                return Err(Error::invalid(field, reason));
            }
        }
        let top = (most - h) / 2;
        let left = (most - w) / 2;
        let row = |y: usize| (0..w).map(move |x| ((top + y) * most + left + x) as u32);
        let ids = (0..h).flat_map(row).collect();
        self.positions.embedding(&Tensor::from_ids(ids, &[h * w], device)?)
    }

    /// Reshapes tokens `[n, h * w, patch * patch * channels]` into latents.
    fn unpatch(&self, tokens: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
        let patch = self.config.patch_size;
        let channels = self.config.out_channels;
        let [n, ..] = tokens.dims::<3>("mmdit")?;
        let squares = tokens.reshape(&[n, h, w, patch, patch, channels])?.permute(&[0, 1, 3, 2, 4, 5])?;
        squares.reshape(&[n, h * patch, w * patch, channels])
    }
}

/// The table of positions. Files store it with a batch axis; as a matrix it may exceed the binding limit of a GPU.
fn positions(weights: &Weights, config: &MmditConfig) -> Result<Tensor> {
    const NAME: &str = "pos_embed";
    let rows = config.pos_embed_max_size * config.pos_embed_max_size;
    let width = config.width();
    match weights.get(NAME, &[rows, width]) {
        Err(Error::TensorShape { got, .. }) if got.len() == 3 => {
            weights.get(NAME, &[1, rows, width])?.reshape(&[rows, width])
        }
        table => table,
    }
}
