//! The encoder of T5 version 1.1 (<https://arxiv.org/abs/1910.10683>): `T5EncoderModel` of transformers, which encodes
//! the prompts of SD 3 and FLUX.
//!
//! Positions only enter by their distance: the first block has a bias for each bucket of distances, which is added to
//! the scores of all blocks. The attention is not scaled, the norms do not subtract the mean, and no layer has a bias.
//! Padding is not masked.

use super::layers::{Linear, RmsNorm};
use crate::fields::Fields;
use crate::tensor::{Activation, Epilogue, Scores};
use crate::weights::Weights;
use crate::{Device, Error, Result, Tensor};
use serde_json::{Value, json};

/// The sizes of a T5 encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct T5Config {
    /// Entries of the token table.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub d_model: usize,
    /// Width of one head.
    pub d_kv: usize,
    /// Width inside the feed-forward layers.
    pub d_ff: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Heads of each attention.
    pub num_heads: usize,
    /// Buckets of distances, half of them for keys after the query.
    pub relative_attention_num_buckets: usize,
    /// The distance from which all fall into one bucket.
    pub relative_attention_max_distance: usize,
    /// Epsilon of the norms.
    pub layer_norm_epsilon: f64,
}

impl T5Config {
    /// Reads a `config.json`; `file` is its name in errors.
    pub fn from_json(file: &str, json: &Value) -> Result<Self> {
        let fields = Fields::new(file, json)?;
        // transformers' default is the plain layer of version 1.0.
        if fields.text("feed_forward_proj")? != Some("gated-gelu") {
            let got = fields.text("feed_forward_proj")?.unwrap_or("relu");
            return Err(fields.error("feed_forward_proj", format!("{got:?} is not supported, only \"gated-gelu\"")));
        }
        fields.only("dense_act_fn", json!("gelu_new"))?;
        let config = Self {
            vocab_size: fields.size("vocab_size", 32128)?,
            d_model: fields.size("d_model", 512)?,
            d_kv: fields.size("d_kv", 64)?,
            d_ff: fields.size("d_ff", 2048)?,
            num_layers: fields.size("num_layers", 6)?,
            num_heads: fields.size("num_heads", 8)?,
            relative_attention_num_buckets: fields.size("relative_attention_num_buckets", 32)?,
            relative_attention_max_distance: fields.size("relative_attention_max_distance", 128)?,
            layer_norm_epsilon: fields.number("layer_norm_epsilon", 1e-6)?,
        };
        let buckets = config.relative_attention_num_buckets;
        if buckets < 4 || config.relative_attention_max_distance <= buckets / 4 {
            let reason = format!("{buckets} buckets do not fit distances up to the maximum");
            return Err(fields.error("relative_attention_num_buckets", reason));
        }
        Ok(config)
    }

    /// The bucket of a key that is `distance` tokens after the query. Short distances have their own buckets; longer
    /// ones share buckets by their logarithm, rounded as in transformers.
    fn bucket(&self, distance: i64) -> usize {
        let half = self.relative_attention_num_buckets / 2;
        let exact = half / 2;
        let far = distance.unsigned_abs() as usize;
        let side = if distance > 0 { half } else { 0 };
        if far < exact {
            return side + far;
        }
        // Logarithms are computed in f64, so that they are correctly rounded to f32.
        let logarithm = |far: usize| (far as f64 / exact as f64).ln() as f32;
        let share = logarithm(far) / logarithm(self.relative_attention_max_distance);
        side + (exact + (share * (half - exact) as f32) as usize).min(half - 1)
    }
}

/// A T5 encoder with its weights.
pub struct T5Encoder {
    config: T5Config,
    device: Device,
    token_embedding: Tensor,
    /// A bias for each bucket and head: `[buckets, heads]`.
    position_bias: Tensor,
    blocks: Vec<Block>,
    final_layer_norm: RmsNorm,
}

impl T5Encoder {
    /// Builds the encoder. Unknown weights are an error.
    pub fn new(weights: &Weights, config: T5Config) -> Result<Self> {
        // The encoder uses the shared table. Some files have it under this name or under both names.
        const OWN_TABLE: &str = "encoder.embed_tokens.weight";
        let shared = weights.contains("shared.weight") || !weights.contains(OWN_TABLE);
        let table = if shared { "shared.weight" } else { OWN_TABLE };
        let blocks = weights.pp("encoder.block");
        let first = blocks.pp("0.layer.0.SelfAttention.relative_attention_bias");
        let biases = [config.relative_attention_num_buckets, config.num_heads];
        let token_embedding = weights.get(table, &[config.vocab_size, config.d_model])?;
        let final_layer_norm = weights.pp("encoder.final_layer_norm");
        let encoder = Self {
            device: token_embedding.device(),
            token_embedding,
            position_bias: first.get("weight", &biases)?,
            blocks: (0..config.num_layers).map(|i| Block::new(&blocks.pp(i), &config)).collect::<Result<_>>()?,
            final_layer_norm: RmsNorm::new(&final_layer_norm, config.d_model, config.layer_norm_epsilon)?,
            config,
        };
        weights.finish(|name| name == OWN_TABLE)?;
        Ok(encoder)
    }

    /// The configuration that the encoder was built from.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// Encodes token ids, one list per prompt, all of the same length: `[n, t, d_model]`, after the final norm.
    pub fn forward(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        let mut hidden = self.embed(ids)?;
        let [_, length, _] = hidden.dims("t5")?;
        let bias = self.bias(length)?;
        for block in &self.blocks {
            hidden = block.forward(&hidden, &bias)?;
        }
        self.final_layer_norm.forward(&hidden)
    }

    fn embed(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        let length = ids.first().map_or(0, Vec::len);
        if length == 0 || ids.iter().any(|row| row.len() != length) {
            let got = ids.iter().map(Vec::len).collect();
            return Err(Error::Shape { op: "t5", expected: "rows of the same length, at least 1".into(), got });
        }
        let flat: Vec<u32> = ids.concat();
        if let Some(id) = flat.iter().find(|id| **id as usize >= self.config.vocab_size) {
            let reason =
                format!("token id {id} must be below {}, the text encoder's vocabulary", self.config.vocab_size);
            return Err(Error::invalid("prompt", reason));
        }
        self.token_embedding.embedding(&Tensor::from_ids(flat, &[ids.len(), length], &self.device)?)
    }

    /// The bias on the scores: `[heads, length, length]`.
    fn bias(&self, length: usize) -> Result<Tensor> {
        let distance = |i: usize| (i % length) as i64 - (i / length) as i64;
        let buckets = (0..length * length).map(|i| self.config.bucket(distance(i)) as u32).collect();
        let buckets = Tensor::from_ids(buckets, &[length, length], &self.device)?;
        self.position_bias.embedding(&buckets)?.permute(&[2, 0, 1])
    }
}

/// Attention, then a gated feed-forward layer, each after a norm and around a residual connection.
struct Block {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
    feed_forward_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn new(weights: &Weights, config: &T5Config) -> Result<Self> {
        let width = config.d_model;
        let inner = config.num_heads * config.d_kv;
        let attention = weights.pp("layer.0.SelfAttention");
        let feed_forward = weights.pp("layer.1.DenseReluDense");
        let norm = |name| RmsNorm::new(&weights.pp(name), width, config.layer_norm_epsilon);
        let project = |name| Linear::without_bias(&attention.pp(name), width, inner);
        Ok(Self {
            attention_norm: norm("layer.0.layer_norm")?,
            query: project("q")?,
            key: project("k")?,
            value: project("v")?,
            output: Linear::without_bias(&attention.pp("o"), inner, width)?,
            heads: config.num_heads,
            feed_forward_norm: norm("layer.1.layer_norm")?,
            gate: Linear::without_bias(&feed_forward.pp("wi_0"), width, config.d_ff)?,
            up: Linear::without_bias(&feed_forward.pp("wi_1"), width, config.d_ff)?,
            down: Linear::without_bias(&feed_forward.pp("wo"), config.d_ff, width)?,
        })
    }

    fn forward(&self, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let normed = self.attention_norm.forward(x)?;
        let key = self.key.forward(&normed)?;
        let value = self.value.forward(&normed)?;
        let scores = Scores { scale: Some(1.0), bias: Some(bias), ..Scores::default() };
        let attended = self.query.forward(&normed)?.attention_scored(&key, &value, self.heads, scores)?;
        let x = self.output.forward_with(&attended, Epilogue::residual(x))?;
        let normed = self.feed_forward_norm.forward(&x)?;
        let gate = self.gate.forward_with(&normed, Epilogue::activation(Activation::GeluTanh))?;
        self.down.forward_with(&gate.mul(&self.up.forward(&normed)?)?, Epilogue::residual(&x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> T5Config {
        T5Config::from_json("config.json", &json!({"feed_forward_proj": "gated-gelu"})).unwrap()
    }

    /// `T5Attention._relative_position_bucket(torch.tensor([d]))` for each distance.
    #[test]
    fn buckets_are_those_of_transformers() {
        let cases = [
            (0, 0),
            (-1, 1),
            (-7, 7),
            (-8, 8),
            (-11, 8),
            (-12, 9),
            (-15, 9),
            (-16, 10),
            (-31, 11),
            (-32, 12),
            (-63, 13),
            (-64, 14),
            (-90, 14),
            (-91, 15),
            (-128, 15),
            (-1000, 15),
            (1, 17),
            (8, 24),
            (127, 31),
            (500, 31),
        ];
        for (distance, bucket) in cases {
            assert_eq!(config().bucket(distance), bucket, "{distance}");
        }
    }

    #[test]
    fn unsupported_values_are_errors_that_name_the_field() {
        for (json, field) in [
            (json!({}), "feed_forward_proj"),
            (json!({"feed_forward_proj": "gated-gelu", "dense_act_fn": "relu"}), "dense_act_fn"),
            (json!({"feed_forward_proj": "gated-gelu", "d_kv": 0}), "d_kv"),
            (
                json!({"feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 2}),
                "relative_attention_num_buckets",
            ),
        ] {
            let text = T5Config::from_json("text_encoder_3/config.json", &json).unwrap_err().to_string();
            assert!(text.starts_with(&format!("text_encoder_3/config.json: field {field}: ")), "{text}");
        }
    }
}
