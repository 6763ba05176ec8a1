//! The blocks of a UNet: a level of the down path, the middle, a level of the up path.

use super::config::{Level, MidBlock, UNetConfig};
use super::transformer::Transformer2d;
use crate::models::layers::Conv2d;
use crate::models::resnet::{ResnetBlock, ResnetConfig, downsampler, upsampler};
use crate::weights::{Part, Weights};
use crate::{Error, Result, Tensor};

/// The conditioning of all blocks.
pub(super) struct Context<'a> {
    /// The time embedding after its activation: `[n, time_embed_dim]`.
    pub(super) time: &'a Tensor,
    /// The text states: `[n, t, cross_attention_dim]`.
    pub(super) text: &'a Tensor,
}

/// A residual block and the transformer that may follow it.
struct Stage {
    resnet: ResnetBlock,
    attention: Option<Transformer2d>,
}

impl Stage {
    /// Takes ownership of `x`, so that its memory is free for the transformer.
    fn forward(&self, x: Tensor, context: &Context<'_>) -> Result<Tensor> {
        let hidden = self.resnet.forward(&x, Some(context.time))?;
        drop(x);
        match &self.attention {
            Some(attention) => attention.forward(&hidden, context.text),
            None => Ok(hidden),
        }
    }
}

fn resnet_config(config: &UNetConfig) -> ResnetConfig {
    ResnetConfig {
        groups: config.norm_num_groups,
        eps: config.norm_eps,
        activation: config.activation,
        time_width: Some(config.time_embed_dim),
    }
}

/// `DownBlock2D` or `CrossAttnDownBlock2D`.
pub(super) struct DownBlock {
    stages: Vec<Part<Stage>>,
    downsampler: Option<Conv2d>,
}

impl DownBlock {
    /// Level `index` of the down path.
    pub(super) fn new(weights: &Weights, config: &UNetConfig, index: usize) -> Result<Self> {
        let level = &config.levels[index];
        let inputs = config.levels[index.saturating_sub(1)].channels;
        let stage = |i: usize| {
            let inputs = if i == 0 { inputs } else { level.channels };
            let attention = level.down_attention.then_some(level.transformer_layers);
            new_stage(weights, config, level, i, inputs, attention)
        };
        let last = index + 1 == config.levels.len();
        let downsampler = || downsampler(weights, level.channels, config.downsample_padding);
        Ok(Self {
            stages: (0..level.layers).map(stage).collect::<Result<_>>()?,
            downsampler: (!last).then(downsampler).transpose()?,
        })
    }

    /// Returns the output, and adds the intermediate results that the up path needs to `skips`.
    pub(super) fn forward(&self, x: Tensor, context: &Context<'_>, skips: &mut Vec<Tensor>) -> Result<Tensor> {
        let mut hidden = x;
        for stage in &self.stages {
            hidden = stage.with(|stage| stage.forward(hidden, context))?;
            skips.push(hidden.clone());
        }
        if let Some(downsampler) = &self.downsampler {
            hidden = downsampler.forward(&hidden)?;
            skips.push(hidden.clone());
        }
        Ok(hidden)
    }
}

/// Stage `i` of a block, with a transformer of `attention` layers.
fn new_stage(
    weights: &Weights,
    config: &UNetConfig,
    level: &Level,
    i: usize,
    inputs: usize,
    attention: Option<usize>,
) -> Result<Part<Stage>> {
    let level = level.clone();
    let resnet = resnet_config(config);
    let groups = config.norm_num_groups;
    weights.part(move |weights| {
        let transformer = |layers| Transformer2d::new(&weights.pp("attentions").pp(i), &level, layers, groups);
        Ok(Stage {
            resnet: ResnetBlock::new(&weights.pp("resnets").pp(i), inputs, level.channels, &resnet)?,
            attention: attention.map(transformer).transpose()?,
        })
    })
}

/// The middle: a stage and one more residual block, or only a residual block.
pub(super) struct Middle {
    stage: Part<Stage>,
    resnet: Option<ResnetBlock>,
}

impl Middle {
    /// The middle of a UNet, unless it has none.
    pub(super) fn new(weights: &Weights, config: &UNetConfig) -> Result<Option<Self>> {
        let (Some(level), true) = (config.levels.last(), config.mid_block != MidBlock::None) else { return Ok(None) };
        let with_attention = config.mid_block == MidBlock::CrossAttention;
        // In the middle, the first attention never attends to the text.
        let level = Level { only_cross_attention: false, ..level.clone() };
        let layers = with_attention.then_some(level.transformer_layers);
        let stage = new_stage(weights, config, &level, 0, level.channels, layers)?;
        let resnet =
            || ResnetBlock::new(&weights.pp("resnets.1"), level.channels, level.channels, &resnet_config(config));
        Ok(Some(Self { stage, resnet: with_attention.then(resnet).transpose()? }))
    }

    /// The same shape as `x`.
    pub(super) fn forward(&self, x: Tensor, context: &Context<'_>) -> Result<Tensor> {
        let hidden = self.stage.with(|stage| stage.forward(x, context))?;
        match &self.resnet {
            Some(resnet) => resnet.forward(&hidden, Some(context.time)),
            None => Ok(hidden),
        }
    }
}

/// `UpBlock2D` or `CrossAttnUpBlock2D`.
pub(super) struct UpBlock {
    stages: Vec<Part<Stage>>,
    upsampler: Option<Conv2d>,
}

impl UpBlock {
    /// Level `index` of the up path, numbered from the finest as in the down path.
    pub(super) fn new(weights: &Weights, config: &UNetConfig, index: usize) -> Result<Self> {
        let level = &config.levels[index];
        let previous = config.levels.get(index + 1).unwrap_or(level).channels;
        let finer = config.levels[index.saturating_sub(1)].channels;
        let stage = |i: usize| {
            let hidden = if i == 0 { previous } else { level.channels };
            let skip = if i == level.layers { finer } else { level.channels };
            let attention = level.up_attention.then_some(level.up_transformer_layers);
            new_stage(weights, config, level, i, hidden + skip, attention)
        };
        Ok(Self {
            stages: (0..=level.layers).map(stage).collect::<Result<_>>()?,
            upsampler: (index > 0).then(|| upsampler(weights, level.channels)).transpose()?,
        })
    }

    /// Takes its skip connections from the end of `skips`, and upsamples to the size of the next one.
    pub(super) fn forward(&self, x: Tensor, context: &Context<'_>, skips: &mut Vec<Tensor>) -> Result<Tensor> {
        let mut hidden = x;
        for stage in &self.stages {
            let skip = skips.pop().ok_or_else(|| missing_skip(&hidden))?;
            hidden = Tensor::concat(&[&hidden, &skip], 3)?;
            drop(skip);
            hidden = stage.with(|stage| stage.forward(hidden, context))?;
        }
        let Some(upsampler) = &self.upsampler else { return Ok(hidden) };
        let [_, h, w, _] = skips.last().ok_or_else(|| missing_skip(&hidden))?.dims("unet")?;
        upsampler.forward_stretched(&hidden, [h, w])
    }
}

fn missing_skip(x: &Tensor) -> Error {
    Error::Shape { op: "unet", expected: "a skip connection for every layer".into(), got: x.shape().to_vec() }
}
