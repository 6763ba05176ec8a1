//! TAESD, the tiny distilled autoencoder (<https://github.com/madebyollin/taesd>): `AutoencoderTiny` of diffusers.

use super::scale_and_shift;
use crate::fields::Fields;
use crate::models::layers::Conv2d;
use crate::tensor::{Activation, Conv2d as Geometry, Epilogue};
use crate::weights::Weights;
use crate::{Result, Tensor};
use serde_json::{Value, json};

/// The shape of an `AutoencoderTiny`.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoencoderTinyConfig {
    /// Channels of the input picture.
    pub in_channels: usize,
    /// Channels of the output picture.
    pub out_channels: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Channels and residual blocks of each stage of the encoder. The size is halved between stages.
    pub encoder: Vec<(usize, usize)>,
    /// Channels and residual blocks of each stage of the decoder. The size grows between stages.
    pub decoder: Vec<(usize, usize)>,
    /// The factor by which the size grows between two stages of the decoder.
    pub upsampling: usize,
    /// The activation function inside the blocks.
    pub activation: Activation,
    /// See [`Autoencoder::scale`](super::Autoencoder::scale).
    pub scaling_factor: f64,
    /// See [`Autoencoder::scale`](super::Autoencoder::scale).
    pub shift_factor: f64,
}

impl AutoencoderTinyConfig {
    /// Reads a `config.json`; `file` is its name in errors.
    pub fn from_json(file: &str, json: &Value) -> Result<Self> {
        let fields = Fields::new(file, json)?;
        fields.only("upsample_fn", json!("nearest"))?;
        let (scaling_factor, shift_factor) = scale_and_shift(&fields, 1.0)?;
        Ok(Self {
            in_channels: fields.size("in_channels", 3)?,
            out_channels: fields.size("out_channels", 3)?,
            latent_channels: fields.size("latent_channels", 4)?,
            encoder: stages(&fields, "encoder_block_out_channels", "num_encoder_blocks", [1, 3, 3, 3])?,
            decoder: stages(&fields, "decoder_block_out_channels", "num_decoder_blocks", [3, 3, 3, 1])?,
            upsampling: fields.size("upsampling_scaling_factor", 2)?,
            activation: fields.activation("act_fn", Activation::Relu)?,
            scaling_factor,
            shift_factor,
        })
    }

    /// Pixels per latent, in each direction.
    pub fn factor(&self) -> usize {
        let growths = u32::try_from(self.decoder.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.upsampling.saturating_pow(growths)
    }
}

fn stages(fields: &Fields<'_>, channels: &str, blocks: &str, default: [usize; 4]) -> Result<Vec<(usize, usize)>> {
    let widths = fields.sizes(channels, &[64; 4])?;
    let counts = fields.integers(blocks, &default)?;
    if widths.is_empty() || widths.len() != counts.len() {
        let reason = format!("{} stages, but {channels} has {}", counts.len(), widths.len());
        return Err(fields.error(blocks, reason));
    }
    Ok(widths.into_iter().zip(counts).collect())
}

/// An `AutoencoderTiny` with its weights.
pub struct AutoencoderTiny {
    config: AutoencoderTinyConfig,
    encoder: Vec<Layer>,
    decoder: Vec<Layer>,
}

impl AutoencoderTiny {
    /// Builds the network. Unknown weights are an error.
    pub fn new(weights: &Weights, config: AutoencoderTinyConfig) -> Result<Self> {
        let encoder = encoder(&weights.pp("encoder.layers"), &config)?;
        let decoder = decoder(&weights.pp("decoder.layers"), &config)?;
        weights.finish(|_| false)?;
        Ok(Self { config, encoder, decoder })
    }

    /// The configuration that the autoencoder was built from.
    pub fn config(&self) -> &AutoencoderTinyConfig {
        &self.config
    }

    /// Encodes a picture `[n, h, w, c]` in -1..1 to latents.
    pub fn encode(&self, image: &Tensor) -> Result<Tensor> {
        run(&self.encoder, image.affine(0.5, 0.5)?)
    }

    /// Decodes latents to a picture in about -1..1, which is not clamped.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let limited = latents.scale(1.0 / 3.0)?.activation(Activation::Tanh)?.scale(3.0)?;
        run(&self.decoder, limited)?.affine(2.0, -1.0)
    }
}

fn run(layers: &[Layer], x: Tensor) -> Result<Tensor> {
    layers.iter().try_fold(x, |x, layer| layer.forward(&x))
}

/// The encoder's layers, which the file numbers consecutively.
fn encoder(weights: &Weights, config: &AutoencoderTinyConfig) -> Result<Vec<Layer>> {
    let mut layers: Vec<Layer> = Vec::new();
    for (stage, (channels, blocks)) in config.encoder.iter().copied().enumerate() {
        let at = weights.pp(layers.len());
        let halve = Geometry { stride: 2, ..Geometry::padded(1) };
        layers.push(Layer::Conv(match stage {
            0 => Conv2d::same(&at, config.in_channels, channels)?,
            _ => Conv2d::without_bias(&at, channels, channels, 3, halve)?,
        }));
        for _ in 0..blocks {
            let at = weights.pp(layers.len());
            layers.push(Layer::Block(Box::new(Block::new(&at, channels, config.activation)?)));
        }
    }
    let channels = config.encoder.last().map_or(0, |(channels, _)| *channels);
    layers.push(Layer::Conv(Conv2d::same(&weights.pp(layers.len()), channels, config.latent_channels)?));
    Ok(layers)
}

/// The decoder's layers. In the file's numbering, activation and upsampling are layers of their own.
fn decoder(weights: &Weights, config: &AutoencoderTinyConfig) -> Result<Vec<Layer>> {
    let channels = config.decoder.first().map_or(0, |(channels, _)| *channels);
    let first = Conv2d::same(&weights.pp(0), config.latent_channels, channels)?;
    let mut layers = vec![Layer::ConvActivation(first, config.activation)];
    let mut number = 2;
    for (stage, (channels, blocks)) in config.decoder.iter().copied().enumerate() {
        for _ in 0..blocks {
            layers.push(Layer::Block(Box::new(Block::new(&weights.pp(number), channels, config.activation)?)));
            number += 1;
        }
        if stage + 1 == config.decoder.len() {
            layers.push(Layer::Conv(Conv2d::same(&weights.pp(number), channels, config.out_channels)?));
        } else {
            let at = weights.pp(number + 1);
            let conv = Conv2d::without_bias(&at, channels, channels, 3, Geometry::padded(1))?;
            layers.push(Layer::Grow(conv, config.upsampling));
            number += 2;
        }
    }
    Ok(layers)
}

enum Layer {
    Conv(Conv2d),
    ConvActivation(Conv2d, Activation),
    Block(Box<Block>),
    /// Nearest-neighbour upsampling by a factor, then a convolution.
    Grow(Conv2d, usize),
}

impl Layer {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Conv(conv) => conv.forward(x),
            Self::ConvActivation(conv, activation) => conv.forward_with(x, Epilogue::activation(*activation)),
            Self::Block(block) => block.forward(x),
            Self::Grow(conv, factor) => {
                let [_, h, w, _] = x.dims("autoencoder_tiny")?;
                conv.forward_stretched(x, [h.saturating_mul(*factor), w.saturating_mul(*factor)])
            }
        }
    }
}

/// Three convolutions around a residual connection (`AutoencoderTinyBlock`).
struct Block {
    convs: [Conv2d; 3],
    activation: Activation,
}

impl Block {
    fn new(weights: &Weights, channels: usize, activation: Activation) -> Result<Self> {
        let conv = |name| Conv2d::same(&weights.pp(name), channels, channels);
        Ok(Self { convs: [conv("conv.0")?, conv("conv.2")?, conv("conv.4")?], activation })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [first, second, third] = &self.convs;
        let hidden = first.forward_with(x, Epilogue::activation(self.activation))?;
        let hidden = second.forward_with(&hidden, Epilogue::activation(self.activation))?;
        // The last activation is always ReLU.
        third.forward_with(&hidden, Epilogue { residual: Some(x), activation: Activation::Relu })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_values_are_errors_that_name_the_field() {
        let cases = [
            (json!({"upsample_fn": "bilinear"}), "upsample_fn"),
            (json!({"act_fn": "mish"}), "act_fn"),
            (json!({"num_encoder_blocks": [1, 3]}), "num_encoder_blocks"),
            (json!({"num_decoder_blocks": [], "decoder_block_out_channels": []}), "num_decoder_blocks"),
        ];
        for (json, field) in cases {
            let text = AutoencoderTinyConfig::from_json("vae/config.json", &json).unwrap_err().to_string();
            assert!(text.starts_with(&format!("vae/config.json: field {field}: ")), "{json}: {text}");
        }
    }

    #[test]
    fn the_factor_counts_the_stages() {
        assert_eq!(AutoencoderTinyConfig::from_json("config.json", &json!({})).unwrap().factor(), 8);
    }
}
