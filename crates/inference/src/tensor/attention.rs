//! `attention`: scaled dot-product attention for any head width, cross or self, causal or not.

use super::{Storage, Tensor, work};
use crate::Result;
use candle_core::{D, DType};
use easel_cpu::Floats;
use easel_cpu::attention::AttentionShape;

impl Tensor {
    /// `softmax(q k^T / sqrt(width)) v` per head. `self` (the queries) is `[n, tq, heads * width]`, key and value are
    /// `[n, tk, heads * width]`. With `causal`, a query sees keys up to its own position.
    pub fn attention(&self, key: &Self, value: &Self, heads: usize, causal: bool) -> Result<Self> {
        const OP: &str = "attention";
        let [batch, queries, hidden] = self.dims(OP)?;
        let [key_batch, keys, key_hidden] = key.dims(OP)?;
        let fits = heads > 0 && hidden % heads == 0 && (key_batch, key_hidden) == (batch, hidden) && keys > 0;
        if !fits || value.shape() != key.shape() {
            let expected = format!("[{key_batch}, t, {key_hidden}] in {heads} heads, as the keys are");
            return Err(self.shape_error(OP, expected));
        }
        work::count([2, batch, queries, keys, hidden]);
        let width = hidden / heads;
        let scale = 1.0 / (width as f32).sqrt();
        match &self.storage {
            Storage::Cpu(q) => {
                let (k, v) = (key.host(OP)?.f32(OP)?, value.host(OP)?.f32(OP)?);
                let shape = AttentionShape { batch, queries, keys, heads, width, scale, causal };
                let mut out = Floats::take(self.elements());
                easel_cpu::attention::attention(q.f32(OP)?, k, v, &shape, &mut out);
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(q) => q.attention(key, value, heads, causal),
            Storage::Candle(q) => {
                let (key, value) = (key.candle(OP)?, value.candle(OP)?);
                let attend = || {
                    let split = |x: &candle_core::Tensor, rows| {
                        x.reshape((batch, rows, heads, width))?.transpose(1, 2)?.contiguous()
                    };
                    let (q, k) = (split(q, queries)?, split(key, keys)?);
                    let v = split(value, keys)?;
                    let scores = (q.matmul(&k.t()?)?.to_dtype(DType::F32)? * f64::from(scale))?;
                    let scores = if causal { mask_future(&scores, queries, keys)? } else { scores };
                    let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
                    let weights = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?.to_dtype(v.dtype())?;
                    weights.matmul(&v)?.transpose(1, 2)?.contiguous()?.reshape(self.shape())
                };
                Self::by_candle(OP, attend())
            }
        }
    }
}

/// Adds minus infinity to every score of a key that comes after its query.
fn mask_future(scores: &candle_core::Tensor, queries: usize, keys: usize) -> candle_core::Result<candle_core::Tensor> {
    let mask: Vec<f32> =
        (0..queries).flat_map(|i| (0..keys).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 })).collect();
    scores.broadcast_add(&candle_core::Tensor::from_vec(mask, (queries, keys), scores.device())?)
}
