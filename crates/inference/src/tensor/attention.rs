//! `attention`: scaled dot-product attention for any head width, cross or self, causal or not; and `rope` before it.

use super::{DType, Storage, Tensor, host, work};
use crate::Result;
use easel_cpu::attention::{AttentionShape, Bias};
use easel_cpu::{Floats, rope};

/// How scores are computed from the products of queries and keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scores<'a> {
    /// Whether a query only attends to keys up to its own position.
    pub causal: bool,
    /// The factor on the products; `None` stands for `1 / sqrt(width)`.
    pub scale: Option<f64>,
    /// The bias on the scaled products, the same for the whole batch: `[heads, tq, tk]`.
    pub bias: Option<&'a Tensor>,
    /// Added to the scaled products of attention on a grid, where there is no bias.
    pub relative: Option<Relative<'a>>,
}

/// Decomposed relative positions (<https://arxiv.org/abs/2112.01526>). Queries and keys are the points of a grid, row by
/// row. Each query has a number for every distance in rows and one for every distance in columns; both are added.
#[derive(Clone, Copy, Debug)]
pub struct Relative<'a> {
    /// Rows and columns of the grid.
    pub grid: [usize; 2],
    /// `[n, t, heads, 2 * rows - 1]`, for the row of the query minus that of the key plus `rows - 1`.
    pub rows: &'a Tensor,
    /// `[n, t, heads, 2 * columns - 1]`, likewise for columns.
    pub columns: &'a Tensor,
}

impl Relative<'_> {
    fn check(&self, op: &'static str, [batch, queries, keys, heads]: [usize; 4]) -> Result<()> {
        let [height, width] = self.grid;
        if [queries, keys] != [height.saturating_mul(width); 2] || queries == 0 {
            return Err(self.rows.shape_error(op, format!("a grid of {queries} points, not {height}x{width},")));
        }
        for (tensor, side) in [(self.rows, height), (self.columns, width)] {
            let shape = [batch, queries, heads, 2 * side - 1];
            if tensor.shape() != shape {
                return Err(tensor.shape_error(op, format!("relative positions {shape:?}")));
            }
        }
        Ok(())
    }
}

impl Tensor {
    /// `softmax(q k^T / sqrt(width)) v` per head. `self` (the queries) is `[n, tq, heads * width]`, key and value are
    /// `[n, tk, heads * width]`. With `causal`, a query only attends to keys up to its own position.
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
            let expected = format!("[{key_batch}, t, {key_hidden}] in {heads} heads, like the keys");
            return Err(self.shape_error(OP, expected));
        }
        if let Some(bias) = scores.bias.filter(|bias| bias.shape() != [heads, queries, keys]) {
            return Err(bias.shape_error(OP, format!("a bias [{heads}, {queries}, {keys}]")));
        }
        if let Some(relative) = scores.relative {
            relative.check(OP, [batch, queries, keys, heads])?;
            if let Some(bias) = scores.bias {
                return Err(bias.shape_error(OP, "a bias or relative positions, not both,"));
            }
        }
        work::count([2, batch, queries, keys, hidden]);
        let width = hidden / heads;
        let scale = scores.scale.map_or_else(|| 1.0 / (width as f32).sqrt(), |scale| scale as f32);
        let shape = AttentionShape { batch, queries, keys, heads, width, scale, causal: scores.causal };
        match &self.storage {
            Storage::Cpu(q) => {
                let k = key.host(OP)?.f32(OP)?;
                let v = value.host(OP)?.f32(OP)?;
                let table = host::optional(OP, scores.bias)?;
                let bias = match (table.as_deref(), scores.relative) {
                    (Some(table), _) => Bias::Table(table),
                    (None, Some(Relative { grid, rows, columns })) => {
                        let rows = rows.host(OP)?.f32(OP)?;
                        let columns = columns.host(OP)?.f32(OP)?;
                        Bias::Relative(easel_cpu::attention::Relative { grid, rows, columns })
                    }
                    (None, None) => Bias::None,
                };
                let mut out = Floats::take(self.elements());
                easel_cpu::attention::attention_biased(q.f32(OP)?, k, v, bias, &shape, &mut out);
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(q) => q.attention(key, value, heads, scores),
            Storage::Candle(q) => q.attention(key, value, heads, scores),
            Storage::Outline(q) => Ok(q.attention(&shape)),
        }
    }

    /// Rotary position embedding (<https://arxiv.org/abs/2104.09864>) of `[n, t, heads * width]`: neighbouring pairs of
    /// each head are rotated. `angles` `[t, width / 2, 2]` has cosine and sine in `f32`.
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
