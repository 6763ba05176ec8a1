//! The end of SAM's image encoders: from the width of the encoder to that of the decoder.

use crate::models::layers::{Conv2d, LayerNorm};
use crate::tensor::Conv2d as Geometry;
use crate::weights::Weights;
use crate::{Result, Tensor};

/// Epsilon of all norms over the channels of pictures.
pub(super) const PICTURE_EPS: f64 = 1e-6;

/// Two convolutions, each with a layer norm after it.
pub(super) struct Neck {
    conv1: Conv2d,
    layer_norm1: LayerNorm,
    conv2: Conv2d,
    layer_norm2: LayerNorm,
}

impl Neck {
    pub(super) fn new(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        let norm = |name| LayerNorm::new(&weights.pp(name), outputs, PICTURE_EPS);
        Ok(Self {
            conv1: Conv2d::without_bias(&weights.pp("conv1"), inputs, outputs, 1, Geometry::padded(0))?,
            layer_norm1: norm("layer_norm1")?,
            conv2: Conv2d::without_bias(&weights.pp("conv2"), outputs, outputs, 3, Geometry::padded(1))?,
            layer_norm2: norm("layer_norm2")?,
        })
    }

    /// `[n, h, w, inputs]` to `[n, h, w, outputs]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.layer_norm1.forward(&self.conv1.forward(x)?)?;
        self.layer_norm2.forward(&self.conv2.forward(&x)?)
    }
}
