//! `attention`: scaled dot-product attention for any head width, cross or self, causal or not.

use super::{Storage, Tensor, work};
use crate::Result;
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
                let k = key.host(OP)?.f32(OP)?;
                let v = value.host(OP)?.f32(OP)?;
                let shape = AttentionShape { batch, queries, keys, heads, width, scale, causal };
                let mut out = Floats::take(self.elements());
                easel_cpu::attention::attention(q.f32(OP)?, k, v, &shape, &mut out);
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(q) => q.attention(key, value, heads, causal),
            Storage::Candle(q) => q.attention(key, value, heads, causal),
        }
    }
}
