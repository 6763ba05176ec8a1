//! The convolutional blocks that UNets and autoencoders share: residual block, downsampler, upsampler
//! (`ResnetBlock2D`, `Downsample2D`, `Upsample2D` of diffusers).

use super::layers::{Conv2d, GroupNorm, Linear};
use crate::tensor::{Activation, Conv2d as Geometry, Epilogue};
use crate::weights::Weights;
use crate::{Result, Tensor};

/// The common configuration of a network's residual blocks.
#[derive(Clone, Copy, Debug)]
pub struct ResnetConfig {
    /// Groups of the group norms.
    pub groups: usize,
    /// Their epsilon.
    pub eps: f64,
    /// The activation function.
    pub activation: Activation,
    /// Width of the time embedding, for networks that have one.
    pub time_width: Option<usize>,
}

/// Norm, activation and convolution, twice, with a shortcut (<https://arxiv.org/abs/1512.03385>).
pub struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_projection: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Linear>,
    activation: Activation,
    outputs: usize,
}

impl ResnetBlock {
    /// A block from `inputs` to `outputs` channels. If they differ, the shortcut is a 1x1 convolution.
    pub fn new(weights: &Weights, inputs: usize, outputs: usize, config: &ResnetConfig) -> Result<Self> {
        let norm = |name, channels| GroupNorm::new(&weights.pp(name), channels, config.groups, config.eps);
        let project = |width| Linear::new(&weights.pp("time_emb_proj"), width, outputs);
        let shortcut = || Linear::pointwise(&weights.pp("conv_shortcut"), inputs, outputs);
        Ok(Self {
            norm1: norm("norm1", inputs)?,
            conv1: Conv2d::same(&weights.pp("conv1"), inputs, outputs)?,
            time_projection: config.time_width.map(project).transpose()?,
            norm2: norm("norm2", outputs)?,
            conv2: Conv2d::same(&weights.pp("conv2"), outputs, outputs)?,
            shortcut: (inputs != outputs).then(shortcut).transpose()?,
            activation: config.activation,
            outputs,
        })
    }

    /// `[n, h, w, inputs]` to `[n, h, w, outputs]`. `time` is the time embedding `[n, time_width]` after its activation.
    pub fn forward(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        let mut hidden = self.conv1.forward(&self.norm1.forward(x, self.activation)?)?;
        if let (Some(projection), Some(time)) = (&self.time_projection, time) {
            let time = projection.forward(time)?;
            let batch = time.elements() / self.outputs;
            hidden = hidden.add(&time.reshape(&[batch, 1, 1, self.outputs])?)?;
        }
        hidden = self.norm2.forward(&hidden, self.activation)?;
        let residual = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x)?,
            None => x.clone(),
        };
        self.conv2.forward_with(&hidden, Epilogue::residual(&residual))
    }
}

/// A convolution with stride 2 (`downsamplers.0.conv`).
pub fn downsampler(weights: &Weights, channels: usize, padding: usize) -> Result<Conv2d> {
    // Without padding, diffusers adds one row below and one column to the right.
    let padding_after = padding.max(1);
    let geometry = Geometry { stride: 2, padding_before: padding, padding_after, stretch_to: None };
    Conv2d::new(&weights.pp("downsamplers.0.conv"), channels, channels, 3, geometry)
}

/// A convolution after upsampling (`upsamplers.0.conv`); see [`Conv2d::forward_stretched`].
pub fn upsampler(weights: &Weights, channels: usize) -> Result<Conv2d> {
    Conv2d::same(&weights.pp("upsamplers.0.conv"), channels, channels)
}
