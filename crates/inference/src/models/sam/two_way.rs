//! The transformer of SAM's mask decoder, in which the tokens of a prompt and the points of a picture look at each other
//! (`SamTwoWayTransformer` of transformers).

use super::config::DecoderConfig;
use crate::models::attention::Attention;
use crate::models::layers::{LayerNorm, Linear};
use crate::tensor::{Activation, Epilogue};
use crate::weights::Weights;
use crate::{Result, Tensor};

/// Epsilon of the last norm, which no configuration changes.
const FINAL_EPS: f64 = 1e-5;

/// The layers, and the last look of the tokens at the picture.
pub(super) struct TwoWay {
    layers: Vec<Layer>,
    final_attention: Attention,
    final_norm: LayerNorm,
}

/// Two streams: tokens `[n, t, width]`, and points of the picture `[n, points, width]`.
pub(super) struct Streams {
    pub(super) tokens: Tensor,
    pub(super) image: Tensor,
}

/// The addends where streams are compared: the original tokens, and the positions of the points `[1, points, width]`.
struct Positions<'a> {
    tokens: &'a Tensor,
    image: &'a Tensor,
}

impl TwoWay {
    pub(super) fn new(weights: &Weights, config: &DecoderConfig) -> Result<Self> {
        let width = config.hidden_size;
        let inner = width / config.attention_downsample_rate;
        let layer = |i: usize| Layer::new(&weights.pp("layers").pp(i), config, i == 0);
        let last = weights.pp("final_attn_token_to_image");
        Ok(Self {
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            final_attention: Attention::sam(&last, width, inner, config.num_attention_heads)?,
            final_norm: LayerNorm::new(&weights.pp("layer_norm_final_attn"), width, FINAL_EPS)?,
        })
    }

    /// `positions` are those of the points of the picture.
    pub(super) fn forward(&self, streams: Streams, positions: &Tensor) -> Result<Streams> {
        let first = streams.tokens.clone();
        let positions = Positions { tokens: &first, image: positions };
        let mut streams = streams;
        for layer in &self.layers {
            streams = layer.forward(streams, &positions)?;
        }
        let Streams { tokens, image } = streams;
        let query = tokens.add(positions.tokens)?;
        let key = image.add(positions.image)?;
        let tokens = self.final_attention.forward_keyed([&query, &key, &image], Some(&tokens))?;
        Ok(Streams { tokens: self.final_norm.forward(&tokens)?, image })
    }
}

struct Layer {
    self_attention: Attention,
    layer_norm1: LayerNorm,
    token_to_image: Attention,
    layer_norm2: LayerNorm,
    lin1: Linear,
    lin2: Linear,
    activation: Activation,
    layer_norm3: LayerNorm,
    image_to_token: Attention,
    layer_norm4: LayerNorm,
    /// The first layer's tokens are their own positions, and its attention to itself replaces them.
    is_first: bool,
}

impl Layer {
    fn new(weights: &Weights, config: &DecoderConfig, is_first: bool) -> Result<Self> {
        let width = config.hidden_size;
        let narrow = width / config.attention_downsample_rate;
        let attention = |name, inner| Attention::sam(&weights.pp(name), width, inner, config.num_attention_heads);
        let norm = |name| LayerNorm::new(&weights.pp(name), width, config.layer_norm_eps);
        Ok(Self {
            self_attention: attention("self_attn", width)?,
            layer_norm1: norm("layer_norm1")?,
            token_to_image: attention("cross_attn_token_to_image", narrow)?,
            layer_norm2: norm("layer_norm2")?,
            lin1: Linear::new(&weights.pp("mlp.lin1"), width, config.mlp_dim)?,
            lin2: Linear::new(&weights.pp("mlp.lin2"), config.mlp_dim, width)?,
            activation: config.hidden_act,
            layer_norm3: norm("layer_norm3")?,
            image_to_token: attention("cross_attn_image_to_token", narrow)?,
            layer_norm4: norm("layer_norm4")?,
            is_first,
        })
    }

    fn forward(&self, Streams { tokens, image }: Streams, positions: &Positions<'_>) -> Result<Streams> {
        let attended = if self.is_first {
            self.self_attention.forward_keyed([&tokens; 3], None)?
        } else {
            let query = tokens.add(positions.tokens)?;
            self.self_attention.forward_keyed([&query, &query, &tokens], Some(&tokens))?
        };
        let tokens = self.layer_norm1.forward(&attended)?;
        let placed = image.add(positions.image)?;
        let query = tokens.add(positions.tokens)?;
        let tokens = self.token_to_image.forward_keyed([&query, &placed, &image], Some(&tokens))?;
        let tokens = self.layer_norm2.forward(&tokens)?;
        let inner = self.lin1.forward_with(&tokens, Epilogue::activation(self.activation))?;
        let tokens = self.layer_norm3.forward(&self.lin2.forward_with(&inner, Epilogue::residual(&tokens))?)?;
        let key = tokens.add(positions.tokens)?;
        let image = self.image_to_token.forward_keyed([&placed, &key, &tokens], Some(&image))?;
        Ok(Streams { tokens, image: self.layer_norm4.forward(&image)? })
    }
}
