//! `attention`: scaled dot-product attention for any head width, cross or self, causal or not; and `rope` before it.

use super::{DType, Storage, Tensor, host, work};
use crate::Result;
use easel_cpu::attention::AttentionShape;
use easel_cpu::{Floats, rope};

/// How the products of queries and keys become scores.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scores<'a> {
    /// A query sees keys up to its own position.
    pub causal: bool,
    /// What the products are multiplied with; `None` is `1 / sqrt(width)`.
    pub scale: Option<f64>,
    /// Added to the scaled products of every entry of the batch: `[heads, tq, tk]`.
    pub bias: Option<&'a Tensor>,
}

impl Tensor {
    /// `softmax(q k^T / sqrt(width)) v` per head. `self` (the queries) is `[n, tq, heads * width]`, key and value are
    /// `[n, tk, heads * width]`. With `causal`, a query sees keys up to its own position.
    pub fn attention(&self, key: &Self, value: &Self, heads: usize, causal: bool) -> Result<Self> {
        self.attention_scored(key, value, heads, Scores { causal, ..Scores::default() })
    }

    /// [`attention`](Self::attention) with other scores: `softmax(q k^T * scale + bias) v`.
    pub fn attention_scored(&self, key: &Self, value: &Self, heads: usize, scores: Scores<'_>) -> Result<Self> {
        const OP: &str = "attention";
        let [batch, queries, hidden] = self.dims(OP)?;
        let [key_batch, keys, key_hidden] = key.dims(OP)?;
        let fits = heads > 0 && hidden % heads == 0 && (key_batch, key_hidden) == (batch, hidden) && keys > 0;
        if !fits || value.shape() != key.shape() {
            let expected = format!("[{key_batch}, t, {key_hidden}] in {heads} heads, as the keys are");
            return Err(self.shape_error(OP, expected));
        }
        if let Some(bias) = scores.bias.filter(|bias| bias.shape() != [heads, queries, keys]) {
            return Err(bias.shape_error(OP, format!("a bias [{heads}, {queries}, {keys}]")));
        }
        work::count([2, batch, queries, keys, hidden]);
        let width = hidden / heads;
        let scale = scores.scale.map_or_else(|| 1.0 / (width as f32).sqrt(), |scale| scale as f32);
        let shape = AttentionShape { batch, queries, keys, heads, width, scale, causal: scores.causal };
        match &self.storage {
            Storage::Cpu(q) => {
                let k = key.host(OP)?.f32(OP)?;
                let v = value.host(OP)?.f32(OP)?;
                let bias = host::optional(OP, scores.bias)?;
                let mut out = Floats::take(self.elements());
                easel_cpu::attention::attention_biased(q.f32(OP)?, k, v, bias.as_deref(), &shape, &mut out);
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(q) => q.attention(key, value, heads, scores),
            Storage::Candle(q) => q.attention(key, value, heads, scores),
            Storage::Outline(q) => Ok(q.attention(&shape)),
        }
    }

    /// Rotary position embedding (<https://arxiv.org/abs/2104.09864>) of `[n, t, heads * width]`: neighbouring pairs of each
    /// head are turned. `angles` `[t, width / 2, 2]` holds cosine and sine in `f32`.
    pub fn rope(&self, angles: &Self) -> Result<Self> {
        const OP: &str = "rope";
        let [_, tokens, hidden] = self.dims(OP)?;
        let [positions, pairs, parts] = angles.dims(OP)?;
        let fits = pairs > 0 && hidden % (2 * pairs) == 0 && [positions, parts] == [tokens, 2] && self.elements() > 0;
        if !fits || angles.dtype() != DType::F32 {
            let expected = format!("[n, {positions}, heads * {}] and angles [t, width / 2, 2] in F32", 2 * pairs);
            return Err(self.shape_error(OP, expected));
        }
        match &self.storage {
            Storage::Cpu(x) => {
                let mut out = Floats::take(self.elements());
                rope::rope(x.f32(OP)?, [tokens, hidden], angles.host(OP)?.f32(OP)?, &mut out);
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(x) => x.rope(angles),
            Storage::Candle(x) => x.rope(angles),
            Storage::Outline(x) => Ok(x.made(self.shape())),
        }
    }
}
