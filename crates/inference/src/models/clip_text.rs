//! The CLIP text encoder (<https://arxiv.org/abs/2103.00020>): `CLIPTextModel` and `CLIPTextModelWithProjection` of
//! transformers, in OpenAI's and OpenCLIP's sizes.

use super::clip_layer::{ClipLayer, LayerSizes};
use super::layers::{LayerNorm, Linear};
use crate::fields::Fields;
use crate::tensor::Activation;
use crate::weights::Weights;
use crate::{Device, Error, Result, Tensor};
use serde_json::Value;

/// The sizes of a CLIP text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipTextConfig {
    /// Entries of the token table.
    pub vocab_size: usize,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Heads of each attention.
    pub num_attention_heads: usize,
    /// Activation of the feed-forward layers.
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// The end-of-text token, at whose first position the pooled state is taken. 2, a historical error in most files,
    /// stands for the position of the highest token id.
    pub eos_token_id: u32,
    /// Width of the text embedding, for encoders with a projection.
    pub projection_dim: Option<usize>,
}

impl ClipTextConfig {
    /// Reads a `config.json`; `file` is its name in errors.
    pub fn from_json(file: &str, json: &Value) -> Result<Self> {
        let fields = Fields::new(file, json)?;
        let with_projection = fields.texts("architectures", &[])?.contains(&"CLIPTextModelWithProjection");
        let projection_dim = fields.size("projection_dim", 512)?;
        let config = Self {
            vocab_size: fields.size("vocab_size", 49408)?,
            max_position_embeddings: fields.size("max_position_embeddings", 77)?,
            hidden_size: fields.size("hidden_size", 512)?,
            intermediate_size: fields.size("intermediate_size", 2048)?,
            num_hidden_layers: fields.size("num_hidden_layers", 12)?,
            num_attention_heads: fields.size("num_attention_heads", 8)?,
            hidden_act: fields.activation("hidden_act", Activation::QuickGelu)?,
            layer_norm_eps: fields.number("layer_norm_eps", 1e-5)?,
            eos_token_id: fields.integer("eos_token_id", 49407)? as u32,
            projection_dim: with_projection.then_some(projection_dim),
        };
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let reason = format!("{} is not divisible by {} heads", config.hidden_size, config.num_attention_heads);
            return Err(fields.error("hidden_size", reason));
        }
        Ok(config)
    }
}

/// A buffer in files of old versions of transformers.
pub(super) fn is_left_over(name: &str) -> bool {
    name.ends_with("embeddings.position_ids")
}

/// The output of the encoder for a batch of prompts.
pub struct ClipTextOutput {
    /// The embeddings, then the output of every layer, each `[n, t, hidden_size]` and without the final layer norm.
    hidden_states: Vec<Tensor>,
    /// The output of the last layer after the final layer norm: `[n, t, hidden_size]`.
    pub last_hidden_state: Tensor,
    /// The row of the last hidden state at the end-of-text token: `[n, hidden_size]`.
    pub pooled: Tensor,
    /// The projected pooled state, for encoders with a projection: `[n, projection_dim]`.
    pub text_embeds: Option<Tensor>,
}

impl ClipTextOutput {
    /// The output of the layer before the last `skipped` layers (0: the last layer), without the final layer norm.
    pub fn hidden_state(&self, skipped: usize) -> Result<&Tensor> {
        let index = self.hidden_states.len().checked_sub(skipped + 1);
        index.and_then(|index| self.hidden_states.get(index)).ok_or_else(|| {
            let layers = self.hidden_states.len() - 1;
            Error::invalid("clip_skip", format!("cannot skip {skipped} layers, the text encoder has {layers}"))
        })
    }
}

/// A CLIP text encoder with its weights.
pub struct ClipText {
    config: ClipTextConfig,
    device: Device,
    token_embedding: Tensor,
    position_embedding: Tensor,
    layers: Vec<ClipLayer>,
    final_layer_norm: LayerNorm,
    projection: Option<Linear>,
}

impl ClipText {
    /// Builds the encoder. The names of its weights may begin with `text_model.`. Unknown weights are an error.
    pub fn new(weights: &Weights, config: ClipTextConfig) -> Result<Self> {
        let text = Self::part_of(weights, config)?;
        weights.finish(is_left_over)?;
        Ok(text)
    }

    /// The same in a file that has other networks, too.
    pub(super) fn part_of(weights: &Weights, config: ClipTextConfig) -> Result<Self> {
        const TOKENS: &str = "embeddings.token_embedding.weight";
        let model = if weights.contains(TOKENS) { weights.clone() } else { weights.pp("text_model") };
        let width = config.hidden_size;
        let token_embedding = model.get(TOKENS, &[config.vocab_size, width])?;
        let positions = [config.max_position_embeddings, width];
        let sizes = LayerSizes {
            width,
            inner: config.intermediate_size,
            heads: config.num_attention_heads,
            eps: config.layer_norm_eps,
            activation: config.hidden_act,
        };
        let layer = |i| ClipLayer::new(&model.pp("encoder.layers").pp(i), sizes);
        let project = |outputs| Linear::without_bias(&weights.pp("text_projection"), width, outputs);
        Ok(Self {
            device: token_embedding.device(),
            token_embedding,
            position_embedding: model.get("embeddings.position_embedding.weight", &positions)?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            final_layer_norm: LayerNorm::new(&model.pp("final_layer_norm"), width, config.layer_norm_eps)?,
            projection: config.projection_dim.map(project).transpose()?,
            config,
        })
    }

    /// The configuration that the encoder was built from.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Encodes token ids, one list per prompt, all of the same length.
    pub fn forward(&self, ids: &[Vec<u32>]) -> Result<ClipTextOutput> {
        let mut hidden = self.embed(ids)?;
        let mut hidden_states = vec![hidden.clone()];
        for layer in &self.layers {
            hidden = layer.forward(&hidden, true)?;
            hidden_states.push(hidden.clone());
        }
        let last_hidden_state = self.final_layer_norm(&hidden)?;
        let pooled = self.pool(&last_hidden_state, ids)?;
        let text_embeds = self.projection.as_ref().map(|projection| projection.forward(&pooled)).transpose()?;
        Ok(ClipTextOutput { hidden_states, last_hidden_state, pooled, text_embeds })
    }

    /// The final layer norm on its own: Stable Diffusion 1 and 2 apply it to an earlier layer's output (`clip_skip`).
    pub fn final_layer_norm(&self, hidden: &Tensor) -> Result<Tensor> {
        self.final_layer_norm.forward(hidden)
    }

    fn embed(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        let length = ids.first().map_or(0, Vec::len);
        let longest = self.config.max_position_embeddings;
        if length == 0 || length > longest || ids.iter().any(|row| row.len() != length) {
            let expected = format!("rows of the same length, 1 to {longest} tokens");
            return Err(Error::Shape { op: "clip_text", expected, got: ids.iter().map(Vec::len).collect() });
        }
        let flat: Vec<u32> = ids.concat();
        if let Some(id) = flat.iter().find(|id| **id as usize >= self.config.vocab_size) {
            let reason =
                format!("token id {id} must be below {}, the text encoder's vocabulary", self.config.vocab_size);
            return Err(Error::invalid("prompt", reason));
        }
        let tokens = self.token_embedding.embedding(&Tensor::from_ids(flat, &[ids.len(), length], &self.device)?)?;
        let positions = self.position_embedding.narrow(0, 0, length)?;
        tokens.add(&positions.reshape(&[1, length, self.config.hidden_size])?)
    }

    /// The rows of `[n, t, hidden_size]` at the end-of-text tokens.
    fn pool(&self, hidden: &Tensor, ids: &[Vec<u32>]) -> Result<Tensor> {
        let [batch, length, width] = hidden.dims("clip_text")?;
        let rows = ids.iter().enumerate().map(|(i, ids)| (i * length + self.end_of_text(ids)) as u32).collect();
        let rows = Tensor::from_ids(rows, &[batch], &self.device)?;
        hidden.reshape(&[batch * length, width])?.embedding(&rows)
    }

    fn end_of_text(&self, ids: &[u32]) -> usize {
        let sought = match self.config.eos_token_id {
            2 => ids.iter().max().copied().unwrap_or(0),
            id => id,
        };
        ids.iter().position(|id| *id == sought).unwrap_or(0)
    }
}
