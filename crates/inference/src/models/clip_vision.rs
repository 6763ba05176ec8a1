//! The CLIP image encoder (<https://arxiv.org/abs/2103.00020>): `CLIPVisionModelWithProjection` of transformers, of OpenAI's
//! and OpenCLIP's sizes.

use super::clip_layer::{ClipLayer, LayerSizes};
use super::layers::{Conv2d, LayerNorm, Linear};
use crate::fields::Fields;
use crate::tensor::{Activation, Conv2d as Geometry};
use crate::weights::Weights;
use crate::{Error, Result, Tensor};
use serde_json::json;

/// The sizes of a CLIP image encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipVisionConfig {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Heads of each attention.
    pub num_attention_heads: usize,
    /// Side of the square pictures, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Activation of the feed-forward layers.
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// Width of the embedding of a picture.
    pub projection_dim: usize,
}

impl ClipVisionConfig {
    pub(super) fn read(fields: &Fields<'_>, projection_dim: usize) -> Result<Self> {
        fields.only("num_channels", json!(3))?;
        let config = Self {
            hidden_size: fields.size("hidden_size", 768)?,
            intermediate_size: fields.size("intermediate_size", 3072)?,
            num_hidden_layers: fields.size("num_hidden_layers", 12)?,
            num_attention_heads: fields.size("num_attention_heads", 12)?,
            image_size: fields.size("image_size", 224)?,
            patch_size: fields.size("patch_size", 32)?,
            hidden_act: fields.activation("hidden_act", Activation::QuickGelu)?,
            layer_norm_eps: fields.number("layer_norm_eps", 1e-5)?,
            projection_dim,
        };
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let reason = format!("{} is not divisible by {} heads", config.hidden_size, config.num_attention_heads);
            return Err(fields.error("hidden_size", reason));
        }
        if config.patch_size > config.image_size || config.image_size > MOST_PIXELS {
            let reason = format!("{}, expected {} to {MOST_PIXELS}", config.image_size, config.patch_size);
            return Err(fields.error("image_size", reason));
        }
        Ok(config)
    }

    /// Patches of a picture.
    pub(super) fn patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }
}

/// The largest side of a picture that is believed.
const MOST_PIXELS: usize = 4096;

/// The output of the encoder for a batch of pictures.
pub struct ClipVisionOutput {
    /// The class token and the patches after the last layer, without the final layer norm: `[n, 1 + patches, hidden_size]`.
    pub last_hidden_state: Tensor,
    /// The class token after the final layer norm and the projection: `[n, projection_dim]`.
    pub image_embeds: Tensor,
}

/// A CLIP image encoder with its weights.
pub struct ClipVision {
    config: ClipVisionConfig,
    patch_embedding: Conv2d,
    class_embedding: Tensor,
    position_embedding: Tensor,
    pre_layer_norm: LayerNorm,
    layers: Vec<ClipLayer>,
    post_layer_norm: LayerNorm,
    projection: Linear,
}

impl ClipVision {
    /// Takes the tensors under `vision_model.` and `visual_projection.`.
    pub(super) fn part_of(weights: &Weights, config: ClipVisionConfig) -> Result<Self> {
        let model = weights.pp("vision_model");
        let embeddings = model.pp("embeddings");
        let width = config.hidden_size;
        let patches = Geometry { stride: config.patch_size, ..Geometry::padded(0) };
        let sizes = LayerSizes {
            width,
            inner: config.intermediate_size,
            heads: config.num_attention_heads,
            eps: config.layer_norm_eps,
            activation: config.hidden_act,
        };
        let norm = |name| LayerNorm::new(&model.pp(name), width, config.layer_norm_eps);
        let layer = |i| ClipLayer::new(&model.pp("encoder.layers").pp(i), sizes);
        let patch = embeddings.pp("patch_embedding");
        Ok(Self {
            patch_embedding: Conv2d::without_bias(&patch, 3, width, config.patch_size, patches)?,
            class_embedding: embeddings.get("class_embedding", &[width])?,
            position_embedding: embeddings.get("position_embedding.weight", &[config.patches() + 1, width])?,
            // The name has this mistake in every file.
            pre_layer_norm: norm("pre_layrnorm")?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            post_layer_norm: norm("post_layernorm")?,
            projection: Linear::without_bias(&weights.pp("visual_projection"), width, config.projection_dim)?,
            config,
        })
    }

    /// The configuration that the encoder was built from.
    pub fn config(&self) -> &ClipVisionConfig {
        &self.config
    }

    /// Encodes normalised pictures `[n, image_size, image_size, 3]`.
    pub fn forward(&self, pixels: &Tensor) -> Result<ClipVisionOutput> {
        let side = self.config.image_size;
        let width = self.config.hidden_size;
        let patches = self.config.patches();
        let [batch, ..] = pixels.dims::<4>("clip_vision")?;
        if pixels.shape() != [batch, side, side, 3] {
            let expected = format!("[n, {side}, {side}, 3]");
            return Err(Error::Shape { op: "clip_vision", expected, got: pixels.shape().to_vec() });
        }
        let embedded = self.patch_embedding.forward(pixels)?.reshape(&[batch, patches, width])?;
        let class = self.class_embedding.cast(embedded.dtype())?.reshape(&[1, 1, width])?.repeat(batch)?;
        let tokens = Tensor::concat(&[&class, &embedded], 1)?;
        let tokens = tokens.add(&self.position_embedding.reshape(&[1, patches + 1, width])?)?;
        let first = self.pre_layer_norm.forward(&tokens)?;
        let last_hidden_state = self.layers.iter().try_fold(first, |x, layer| layer.forward(&x, false))?;
        let class = last_hidden_state.narrow(1, 0, 1)?.reshape(&[batch, width])?;
        let image_embeds = self.projection.forward(&self.post_layer_norm.forward(&class)?)?;
        Ok(ClipVisionOutput { last_hidden_state, image_embeds })
    }
}
