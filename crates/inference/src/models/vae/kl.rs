//! The autoencoder of latent diffusion (<https://arxiv.org/abs/2112.10752>): `AutoencoderKL` of diffusers.

use super::{Encoded, scale_and_shift};
use crate::fields::Fields;
use crate::models::attention::Attention;
use crate::models::layers::{Conv2d, GroupNorm, Linear};
use crate::models::resnet::{ResnetBlock, ResnetConfig, downsampler, upsampler};
use crate::tensor::Activation;
use crate::weights::Weights;
use crate::{Result, Tensor};
use serde_json::Value;

/// The group norms' epsilon, which is not in the configuration.
const EPS: f64 = 1e-6;

/// The shape of an `AutoencoderKL`.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoencoderKlConfig {
    /// Channels of the input picture.
    pub in_channels: usize,
    /// Channels of the output picture.
    pub out_channels: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Channels of each level, beginning with the finest.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of each level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Groups of the group norms.
    pub norm_num_groups: usize,
    /// The activation function of the residual blocks.
    pub activation: Activation,
    /// Side of the training pictures, and of a tile.
    pub sample_size: usize,
    /// See [`Autoencoder::scale`](super::Autoencoder::scale).
    pub scaling_factor: f64,
    /// See [`Autoencoder::scale`](super::Autoencoder::scale).
    pub shift_factor: f64,
    /// Whether half precision overflows in the decoder. Files without the field are those of Stable Diffusion 1 and 2,
    /// which do not overflow.
    pub force_upcast: bool,
    /// Whether a 1x1 convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1x1 convolution precedes the decoder.
    pub use_post_quant_conv: bool,
    /// Whether the middle has attention.
    pub mid_block_add_attention: bool,
}

impl AutoencoderKlConfig {
    /// Reads a `config.json`; `file` is its name in errors.
    pub fn from_json(file: &str, json: &Value) -> Result<Self> {
        let fields = Fields::new(file, json)?;
        let (scaling_factor, shift_factor) = scale_and_shift(&fields, 0.18215)?;
        let block_out_channels = fields.sizes("block_out_channels", &[64])?;
        block_types(&fields, "down_block_types", "DownEncoderBlock2D", block_out_channels.len())?;
        block_types(&fields, "up_block_types", "UpDecoderBlock2D", block_out_channels.len())?;
        fields.only("latents_mean", Value::Null)?;
        fields.only("latents_std", Value::Null)?;
        let norm_num_groups = fields.size("norm_num_groups", 32)?;
        if let Some(channels) = block_out_channels.iter().find(|channels| *channels % norm_num_groups != 0) {
            let reason = format!("{norm_num_groups} groups do not divide {channels} channels");
            return Err(fields.error("norm_num_groups", reason));
        }
        Ok(Self {
            in_channels: fields.size("in_channels", 3)?,
            out_channels: fields.size("out_channels", 3)?,
            latent_channels: fields.size("latent_channels", 4)?,
            block_out_channels,
            layers_per_block: fields.integer("layers_per_block", 1)?,
            norm_num_groups,
            activation: fields.activation("act_fn", Activation::Silu)?,
            sample_size: sample_size(&fields)?,
            scaling_factor,
            shift_factor,
            force_upcast: fields.flag("force_upcast", false)?,
            use_quant_conv: fields.flag("use_quant_conv", true)?,
            use_post_quant_conv: fields.flag("use_post_quant_conv", true)?,
            mid_block_add_attention: fields.flag("mid_block_add_attention", true)?,
        })
    }

    /// Pixels per latent, in each direction.
    pub fn factor(&self) -> usize {
        let halvings = u32::try_from(self.block_out_channels.len().saturating_sub(1)).unwrap_or(u32::MAX);
        2_usize.saturating_pow(halvings)
    }

    fn resnet(&self) -> ResnetConfig {
        let activation = self.activation;
        ResnetConfig { groups: self.norm_num_groups, eps: EPS, activation, time_width: None }
    }
}

/// The side of the training pictures: a number, or height and width, in which case the height is used.
fn sample_size(fields: &Fields<'_>) -> Result<usize> {
    match fields.value("sample_size") {
        Some(Value::Array(_)) => {
            let sides = fields.sizes("sample_size", &[])?;
            sides.first().copied().ok_or_else(|| fields.error("sample_size", "expected a number or two"))
        }
        _ => fields.size("sample_size", 32),
    }
}

fn block_types(fields: &Fields<'_>, field: &str, supported: &'static str, count: usize) -> Result<()> {
    let names = fields.texts(field, &[supported])?;
    if let Some(name) = names.iter().find(|name| **name != supported) {
        return Err(fields.error(field, format!("{name:?} is not supported, only {supported}")));
    }
    if count == 0 || names.len() != count {
        return Err(fields.error(field, format!("{} blocks, but block_out_channels has {count}", names.len())));
    }
    Ok(())
}

/// An `AutoencoderKL` with its weights.
pub struct AutoencoderKl {
    config: AutoencoderKlConfig,
    encoder: Coder,
    quant_conv: Option<Linear>,
    post_quant_conv: Option<Linear>,
    decoder: Coder,
}

impl AutoencoderKl {
    /// Builds the network. Unknown weights are an error.
    pub fn new(weights: &Weights, config: AutoencoderKlConfig) -> Result<Self> {
        let pointwise = |name, channels| Linear::pointwise(&weights.pp(name), channels, channels);
        let moments = 2 * config.latent_channels;
        let latents = config.latent_channels;
        let vae = Self {
            encoder: Coder::encoder(&weights.pp("encoder"), &config)?,
            quant_conv: config.use_quant_conv.then(|| pointwise("quant_conv", moments)).transpose()?,
            post_quant_conv: config.use_post_quant_conv.then(|| pointwise("post_quant_conv", latents)).transpose()?,
            decoder: Coder::decoder(&weights.pp("decoder"), &config)?,
            config,
        };
        weights.finish(|_| false)?;
        Ok(vae)
    }

    /// The configuration that the autoencoder was built from.
    pub fn config(&self) -> &AutoencoderKlConfig {
        &self.config
    }

    /// Encodes a picture `[n, h, w, c]` in -1..1 to mean and log variance, concatenated on the last axis.
    pub fn encode_moments(&self, image: &Tensor) -> Result<Tensor> {
        let encoded = self.encoder.forward(image)?;
        self.quant_conv.as_ref().map_or_else(|| Ok(encoded.clone()), |conv| conv.forward(&encoded))
    }

    /// The Gaussian with these moments `[n, h, w, 2 * latent_channels]`.
    pub fn posterior(&self, moments: &Tensor) -> Result<Encoded> {
        let channels = self.config.latent_channels;
        let log_variance = moments.narrow(3, channels, channels)?.clamp(-30.0, 20.0)?;
        Ok(Encoded { mean: moments.narrow(3, 0, channels)?, log_variance: Some(log_variance) })
    }

    /// Decodes latents `[n, h, w, latent_channels]` to a picture in about -1..1, which is not clamped.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let projected = self.post_quant_conv.as_ref().map(|conv| conv.forward(latents)).transpose()?;
        self.decoder.forward(projected.as_ref().unwrap_or(latents))
    }
}

/// An encoder or a decoder, which have the same parts in different orders.
struct Coder {
    conv_in: Conv2d,
    /// The encoder's levels, before the middle.
    down: Vec<Level>,
    middle: Middle,
    /// The decoder's levels, after the middle.
    up: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Coder {
    fn encoder(weights: &Weights, config: &AutoencoderKlConfig) -> Result<Self> {
        let channels = &config.block_out_channels;
        let finest = channels[0];
        let coarsest = channels[channels.len() - 1];
        let level = |i: usize| {
            let inputs = channels[i.saturating_sub(1)];
            let weights = weights.pp("down_blocks").pp(i);
            let resize = |weights: &Weights| downsampler(weights, channels[i], 0).map(Resize::Down);
            let resize = (i + 1 < channels.len()).then(|| resize(&weights)).transpose()?;
            Level::new(&weights, config, inputs, channels[i], config.layers_per_block, resize)
        };
        Ok(Self {
            conv_in: Conv2d::same(&weights.pp("conv_in"), config.in_channels, finest)?,
            down: (0..channels.len()).map(level).collect::<Result<_>>()?,
            middle: Middle::new(&weights.pp("mid_block"), config, coarsest)?,
            up: Vec::new(),
            norm_out: GroupNorm::new(&weights.pp("conv_norm_out"), coarsest, config.norm_num_groups, EPS)?,
            conv_out: Conv2d::same(&weights.pp("conv_out"), coarsest, 2 * config.latent_channels)?,
        })
    }

    fn decoder(weights: &Weights, config: &AutoencoderKlConfig) -> Result<Self> {
        let channels: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let coarsest = channels[0];
        let finest = channels[channels.len() - 1];
        let level = |i: usize| {
            let inputs = channels[i.saturating_sub(1)];
            let weights = weights.pp("up_blocks").pp(i);
            let resize = |weights: &Weights| upsampler(weights, channels[i]).map(Resize::Up);
            let resize = (i + 1 < channels.len()).then(|| resize(&weights)).transpose()?;
            Level::new(&weights, config, inputs, channels[i], config.layers_per_block + 1, resize)
        };
        Ok(Self {
            conv_in: Conv2d::same(&weights.pp("conv_in"), config.latent_channels, coarsest)?,
            down: Vec::new(),
            middle: Middle::new(&weights.pp("mid_block"), config, coarsest)?,
            up: (0..channels.len()).map(level).collect::<Result<_>>()?,
            norm_out: GroupNorm::new(&weights.pp("conv_norm_out"), finest, config.norm_num_groups, EPS)?,
            conv_out: Conv2d::same(&weights.pp("conv_out"), finest, config.out_channels)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let hidden = self.conv_in.forward(x)?;
        let hidden = self.down.iter().try_fold(hidden, |hidden, level| level.forward(&hidden))?;
        let hidden = self.middle.forward(&hidden)?;
        let hidden = self.up.iter().try_fold(hidden, |hidden, level| level.forward(&hidden))?;
        // Always SiLU, whatever the residual blocks use.
        self.conv_out.forward(&self.norm_out.forward(&hidden, Activation::Silu)?)
    }
}

/// Residual blocks at one resolution, then the step to the next.
struct Level {
    resnets: Vec<ResnetBlock>,
    resize: Option<Resize>,
}

enum Resize {
    Down(Conv2d),
    Up(Conv2d),
}

impl Level {
    fn new(
        weights: &Weights,
        config: &AutoencoderKlConfig,
        inputs: usize,
        outputs: usize,
        layers: usize,
        resize: Option<Resize>,
    ) -> Result<Self> {
        let resnet = |i| {
            let inputs = if i == 0 { inputs } else { outputs };
            ResnetBlock::new(&weights.pp("resnets").pp(i), inputs, outputs, &config.resnet())
        };
        Ok(Self { resnets: (0..layers).map(resnet).collect::<Result<_>>()?, resize })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let hidden = self.resnets.iter().try_fold(x.clone(), |hidden, resnet| resnet.forward(&hidden, None))?;
        match &self.resize {
            None => Ok(hidden),
            Some(Resize::Down(conv)) => conv.forward(&hidden),
            Some(Resize::Up(conv)) => {
                let [_, h, w, _] = hidden.dims("autoencoder_kl")?;
                conv.forward_stretched(&hidden, [2 * h, 2 * w])
            }
        }
    }
}

/// The middle: two residual blocks, usually with attention between them.
struct Middle {
    first: ResnetBlock,
    attention: Option<(GroupNorm, Attention)>,
    second: ResnetBlock,
}

impl Middle {
    fn new(weights: &Weights, config: &AutoencoderKlConfig, channels: usize) -> Result<Self> {
        let resnet = |name| ResnetBlock::new(&weights.pp(name), channels, channels, &config.resnet());
        let attention = || -> Result<_> {
            let weights = weights.pp("attentions.0");
            let norm = GroupNorm::new(&weights.pp("group_norm"), channels, config.norm_num_groups, EPS)?;
            Ok((norm, Attention::autoencoder(&weights, channels)?))
        };
        Ok(Self {
            first: resnet("resnets.0")?,
            attention: config.mid_block_add_attention.then(attention).transpose()?,
            second: resnet("resnets.1")?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut hidden = self.first.forward(x, None)?;
        if let Some((norm, attention)) = &self.attention {
            let [n, h, w, c] = hidden.dims("autoencoder_kl")?;
            let sequence = [n, h * w, c];
            let normed = norm.forward(&hidden, Activation::None)?.reshape(&sequence)?;
            hidden = attention.forward(&normed, false, &hidden.reshape(&sequence)?)?.reshape(&[n, h, w, c])?;
        }
        self.second.forward(&hidden, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unsupported_values_are_errors_that_name_the_field() {
        let cases = [
            (json!({"down_block_types": ["AttnDownEncoderBlock2D"]}), "down_block_types"),
            (json!({"up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"]}), "up_block_types"),
            (json!({"norm_num_groups": 48}), "norm_num_groups"),
            (json!({"scaling_factor": 0}), "scaling_factor"),
            (json!({"latents_mean": [1.0]}), "latents_mean"),
            (json!({"sample_size": []}), "sample_size"),
            (json!({"block_out_channels": [], "down_block_types": [], "up_block_types": []}), "down_block_types"),
        ];
        for (json, field) in cases {
            let text = AutoencoderKlConfig::from_json("vae/config.json", &json).unwrap_err().to_string();
            assert!(text.starts_with(&format!("vae/config.json: field {field}: ")), "{json}: {text}");
        }
    }
}
