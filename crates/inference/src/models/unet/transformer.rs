//! The transformer inside a UNet's level: `Transformer2DModel` and `BasicTransformerBlock` of diffusers.

use super::config::Level;
use crate::models::attention::Attention;
use crate::models::layers::{GroupNorm, LayerNorm, Linear};
use crate::tensor::{Activation, Epilogue};
use crate::weights::Weights;
use crate::{Result, Tensor};

/// Blocks over all pixels as a sequence, inside a residual connection.
pub struct Transformer2d {
    norm: GroupNorm,
    project_in: Linear,
    blocks: Vec<Block>,
    project_out: Linear,
}

impl Transformer2d {
    /// A transformer of `layers` blocks at `level`, in a UNet with this many norm groups.
    pub fn new(weights: &Weights, level: &Level, layers: usize, groups: usize) -> Result<Self> {
        let width = level.channels;
        let blocks = weights.pp("transformer_blocks");
        Ok(Self {
            norm: GroupNorm::new(&weights.pp("norm"), width, groups, 1e-6)?,
            // A 1x1 convolution in SD 1, a linear layer in later models; the result is the same.
            project_in: Linear::pointwise(&weights.pp("proj_in"), width, width)?,
            blocks: (0..layers).map(|i| Block::new(&blocks.pp(i), level)).collect::<Result<_>>()?,
            project_out: Linear::pointwise(&weights.pp("proj_out"), width, width)?,
        })
    }

    /// `x` `[n, h, w, channels]` with the text states `[n, t, cross_attention_dim]`.
    pub fn forward(&self, x: &Tensor, text: &Tensor) -> Result<Tensor> {
        let [n, h, w, c] = x.dims("transformer_2d")?;
        let mut hidden = self.norm.forward(x, Activation::None)?.reshape(&[n, h * w, c])?;
        hidden = self.project_in.forward(&hidden)?;
        for block in &self.blocks {
            hidden = block.forward(hidden, text)?;
        }
        let residual = x.reshape(&[n, h * w, c])?;
        self.project_out.forward_with(&hidden, Epilogue::residual(&residual))?.reshape(&[n, h, w, c])
    }
}

/// Self-attention, attention to the text, gated feed-forward, each after a layer norm.
struct Block {
    norm1: LayerNorm,
    attention1: Attention,
    norm2: LayerNorm,
    attention2: Attention,
    norm3: LayerNorm,
    feed_forward_in: Linear,
    feed_forward_out: Linear,
    only_cross_attention: bool,
}

impl Block {
    fn new(weights: &Weights, level: &Level) -> Result<Self> {
        let width = level.channels;
        let text_width = level.cross_attention_dim;
        let norm = |name| LayerNorm::new(&weights.pp(name), width, 1e-5);
        let first_width = if level.only_cross_attention { text_width } else { width };
        Ok(Self {
            norm1: norm("norm1")?,
            attention1: Attention::unet(&weights.pp("attn1"), width, first_width, level.heads)?,
            norm2: norm("norm2")?,
            attention2: Attention::unet(&weights.pp("attn2"), width, text_width, level.heads)?,
            norm3: norm("norm3")?,
            feed_forward_in: Linear::new(&weights.pp("ff.net.0.proj"), width, 8 * width)?,
            feed_forward_out: Linear::new(&weights.pp("ff.net.2"), 4 * width, width)?,
            only_cross_attention: level.only_cross_attention,
        })
    }

    /// Takes ownership of `x`, so that its memory can be reused as early as possible.
    fn forward(&self, mut x: Tensor, text: &Tensor) -> Result<Tensor> {
        let normed = self.norm1.forward(&x)?;
        x = match self.only_cross_attention {
            true => self.attention1.forward_cross(&normed, text, &x)?,
            false => self.attention1.forward(&normed, false, &x)?,
        };
        drop(normed);
        x = self.attention2.forward_cross(&self.norm2.forward(&x)?, text, &x)?;
        let normed = self.norm3.forward(&x)?;
        let inner = self.feed_forward_in.forward_geglu(&normed)?;
        drop(normed);
        self.feed_forward_out.forward_with(&inner, Epilogue::residual(&x))
    }
}
