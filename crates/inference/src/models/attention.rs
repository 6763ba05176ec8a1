//! Multi-head attention with its projections (<https://arxiv.org/abs/1706.03762>), shared by all networks.

use super::layers::{Linear, RmsNorm};
use crate::tensor::Epilogue;
use crate::weights::Weights;
use crate::{Result, Tensor};

/// Query, key, value and output projections around scaled dot-product attention.
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
}

/// The projections of one stream of a joint attention, in which several streams attend to each other
/// (<https://arxiv.org/abs/2403.03206>).
pub struct Stream {
    query: Linear,
    key: Linear,
    value: Linear,
    query_norm: Option<RmsNorm>,
    key_norm: Option<RmsNorm>,
}

/// The names of a stream's layers.
pub struct StreamNames {
    /// Query, key and value projection.
    pub projections: [&'static str; 3],
    /// The norms of the heads of queries and keys.
    pub norms: [&'static str; 2],
}

/// The stream of the picture.
pub const SAMPLE: StreamNames = StreamNames { projections: ["to_q", "to_k", "to_v"], norms: ["norm_q", "norm_k"] };

/// The stream of the text.
pub const ADDED: StreamNames =
    StreamNames { projections: ["add_q_proj", "add_k_proj", "add_v_proj"], norms: ["norm_added_q", "norm_added_k"] };

/// Queries, keys and values `[n, t, width]`.
pub struct Projected {
    /// Queries.
    pub query: Tensor,
    /// Keys.
    pub key: Tensor,
    /// Values.
    pub value: Tensor,
}

impl Stream {
    /// Projections with biases, all of `width`. With `normed`, the heads of queries and keys are normalised with this
    /// epsilon.
    pub fn new(
        weights: &Weights,
        names: &StreamNames,
        width: usize,
        heads: usize,
        normed: Option<f64>,
    ) -> Result<Self> {
        let linear = |name| Linear::new(&weights.pp(name), width, width);
        let norm = |name| normed.map(|eps| RmsNorm::new(&weights.pp(name), width / heads, eps)).transpose();
        let [query, key, value] = names.projections;
        let [query_norm, key_norm] = names.norms;
        Ok(Self {
            query: linear(query)?,
            key: linear(key)?,
            value: linear(value)?,
            query_norm: norm(query_norm)?,
            key_norm: norm(key_norm)?,
        })
    }

    /// Projects a stream `[n, t, width]`.
    pub fn forward(&self, x: &Tensor) -> Result<Projected> {
        let query = normed(self.query.forward(x)?, self.query_norm.as_ref())?;
        let key = normed(self.key.forward(x)?, self.key_norm.as_ref())?;
        Ok(Projected { query, key, value: self.value.forward(x)? })
    }
}

fn normed(x: Tensor, norm: Option<&RmsNorm>) -> Result<Tensor> {
    norm.map_or(Ok(x.clone()), |norm| norm.forward_heads(&x))
}

impl Projected {
    /// The tokens of `self`, then those of `other`.
    pub fn joined(&self, other: &Self) -> Result<Self> {
        let join = |a: &Tensor, b: &Tensor| Tensor::concat(&[a, b], 1);
        Ok(Self {
            query: join(&self.query, &other.query)?,
            key: join(&self.key, &other.key)?,
            value: join(&self.value, &other.value)?,
        })
    }

    /// Rotates the heads of queries and keys by the angles of their positions, which are the argument of
    /// [`Tensor::rope`].
    pub fn rotated(&self, angles: &Tensor) -> Result<Self> {
        Ok(Self { query: self.query.rope(angles)?, key: self.key.rope(angles)?, value: self.value.clone() })
    }

    /// Full attention between all tokens: `[n, t, width]`.
    pub fn attend(&self, heads: usize) -> Result<Tensor> {
        self.query.attention(&self.key, &self.value, heads, false)
    }
}

impl Attention {
    /// The attention of CLIP: `q_proj`, `k_proj`, `v_proj`, `out_proj`, all with biases, all of `width`.
    pub fn clip(weights: &Weights, width: usize, heads: usize) -> Result<Self> {
        let linear = |name| Linear::new(&weights.pp(name), width, width);
        let query = linear("q_proj")?;
        let key = linear("k_proj")?;
        let value = linear("v_proj")?;
        Ok(Self { query, key, value, output: linear("out_proj")?, heads })
    }

    /// The attention of SAM's mask decoder, with the names of CLIP's, which computes in `inner` columns.
    pub fn sam(weights: &Weights, width: usize, inner: usize, heads: usize) -> Result<Self> {
        let linear = |name| Linear::new(&weights.pp(name), width, inner);
        let query = linear("q_proj")?;
        let key = linear("k_proj")?;
        let value = linear("v_proj")?;
        Ok(Self { query, key, value, output: Linear::new(&weights.pp("out_proj"), inner, width)?, heads })
    }

    /// The attention of a UNet: `to_q`, `to_k`, `to_v` without biases, `to_out.0` with one. Keys and values are
    /// projected from a context of `context_width`.
    pub fn unet(weights: &Weights, width: usize, context_width: usize, heads: usize) -> Result<Self> {
        let linear = |name, inputs| Linear::without_bias(&weights.pp(name), inputs, width);
        Ok(Self {
            query: linear("to_q", width)?,
            key: linear("to_k", context_width)?,
            value: linear("to_v", context_width)?,
            output: Linear::new(&weights.pp("to_out.0"), width, width)?,
            heads,
        })
    }

    /// The single-headed attention of an autoencoder, with biases. Older files call its layers `query`, `key`, `value`,
    /// `proj_attn`, and some store them as 1x1 convolutions.
    pub fn autoencoder(weights: &Weights, width: usize) -> Result<Self> {
        let linear = |name: &str, old: &str| {
            let name = if weights.pp(old).contains("weight") { old } else { name };
            Linear::pointwise(&weights.pp(name), width, width)
        };
        let query = linear("to_q", "query")?;
        let key = linear("to_k", "key")?;
        let value = linear("to_v", "value")?;
        Ok(Self { query, key, value, output: linear("to_out.0", "proj_attn")?, heads: 1 })
    }

    /// `residual + attention(x)`: self-attention of `x` `[n, t, width]`, with `causal` only to earlier tokens.
    pub fn forward(&self, x: &Tensor, causal: bool, residual: &Tensor) -> Result<Tensor> {
        self.attend(x, x, causal, residual)
    }

    /// `residual + attention(x, context)`: cross-attention of `x` `[n, t, width]` to `context` `[n, k, context_width]`.
    pub fn forward_cross(&self, x: &Tensor, context: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.attend(x, context, false, residual)
    }

    /// `attention(query, key, value)`, where keys and values are made of different tensors; `residual` is added.
    pub fn forward_keyed(&self, [query, key, value]: [&Tensor; 3], residual: Option<&Tensor>) -> Result<Tensor> {
        let key = self.key.forward(key)?;
        let value = self.value.forward(value)?;
        let attended = self.query.forward(query)?.attention(&key, &value, self.heads, false)?;
        self.output.forward_with(&attended, Epilogue { residual, ..Epilogue::default() })
    }

    fn attend(&self, x: &Tensor, context: &Tensor, causal: bool, residual: &Tensor) -> Result<Tensor> {
        let key = self.key.forward(context)?;
        let value = self.value.forward(context)?;
        let attended = self.query.forward(x)?.attention(&key, &value, self.heads, causal)?;
        self.output.forward_with(&attended, Epilogue::residual(residual))
    }
}
