//! The transformer layer of both halves of CLIP (<https://arxiv.org/abs/2103.00020>).

use super::attention::Attention;
use super::layers::{LayerNorm, Linear};
use crate::tensor::{Activation, Epilogue};
use crate::weights::Weights;
use crate::{Result, Tensor};

/// The sizes of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerSizes {
    /// Width of the hidden states.
    pub(super) width: usize,
    /// Width inside the feed-forward layers.
    pub(super) inner: usize,
    /// Heads of the attention.
    pub(super) heads: usize,
    /// Epsilon of the layer norms.
    pub(super) eps: f64,
    /// Activation of the feed-forward layers.
    pub(super) activation: Activation,
}

/// Attention, then two linear layers, each after a layer norm.
pub(super) struct ClipLayer {
    layer_norm1: LayerNorm,
    attention: Attention,
    layer_norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
}

impl ClipLayer {
    pub(super) fn new(weights: &Weights, sizes: LayerSizes) -> Result<Self> {
        let LayerSizes { width, inner, heads, eps, activation } = sizes;
        let norm = |name| LayerNorm::new(&weights.pp(name), width, eps);
        Ok(Self {
            layer_norm1: norm("layer_norm1")?,
            attention: Attention::clip(&weights.pp("self_attn"), width, heads)?,
            layer_norm2: norm("layer_norm2")?,
            fc1: Linear::new(&weights.pp("mlp.fc1"), width, inner)?,
            fc2: Linear::new(&weights.pp("mlp.fc2"), inner, width)?,
            activation,
        })
    }

    /// `[n, t, width]`; with `causal`, a token sees its past only.
    pub(super) fn forward(&self, x: &Tensor, causal: bool) -> Result<Tensor> {
        let x = self.attention.forward(&self.layer_norm1.forward(x)?, causal, x)?;
        let inner = self.fc1.forward_with(&self.layer_norm2.forward(&x)?, Epilogue::activation(self.activation))?;
        self.fc2.forward_with(&inner, Epilogue::residual(&x))
    }
}
