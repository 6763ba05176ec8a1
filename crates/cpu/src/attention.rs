//! Scaled dot-product attention over a block of query rows at a time: the full score matrix never exists.
//!
//! FlashAttention's observation (<https://arxiv.org/abs/2205.14135>) at cache size: one task holds the scores of
//! `QUERY_ROWS` rows against all keys of one head.

use crate::activation::exp;
use crate::linear::{Matrix, product_add};
use crate::parallel::for_each_chunk;
use crate::simd::vectorised;

/// The geometry of an attention call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Sequences in the batch.
    pub batch: usize,
    /// Query rows per sequence.
    pub queries: usize,
    /// Key and value rows per sequence.
    pub keys: usize,
    /// Heads; each reads its own `width` columns.
    pub heads: usize,
    /// Width of one head.
    pub width: usize,
    /// Factor on the scores, usually `1 / sqrt(width)`.
    pub scale: f32,
    /// Whether a query sees only keys up to its own position.
    pub causal: bool,
}

const QUERY_ROWS: usize = 64;

/// `softmax(q k^T * scale) v` for every head: `q[batch, queries, heads * width]`, `k` and `v` `[batch, keys, heads * width]`.
pub fn attention(q: &[f32], k: &[f32], v: &[f32], shape: &AttentionShape, out: &mut [f32]) {
    let AttentionShape { batch, queries, keys, heads, width, .. } = *shape;
    let hidden = heads * width;
    assert_eq!((q.len(), out.len()), (batch * queries * hidden, batch * queries * hidden));
    assert_eq!((k.len(), v.len()), (batch * keys * hidden, batch * keys * hidden));
    for (b, out) in out.chunks_mut((queries * hidden).max(1)).enumerate() {
        for_each_chunk(out, QUERY_ROWS * hidden, |block, out| {
            let first = block * QUERY_ROWS;
            let rows = out.len() / hidden;
            let mut scores = vec![0.0; rows * keys];
            out.fill(0.0);
            for head in 0..heads {
                let q = Matrix { data: &q[(b * queries + first) * hidden + head * width..], row: hidden, column: 1 };
                let k = Matrix { data: &k[b * keys * hidden + head * width..], row: 1, column: hidden };
                let v = Matrix { data: &v[b * keys * hidden + head * width..], row: hidden, column: 1 };
                scores.fill(0.0);
                product_add([rows, keys, width], q, k, &mut scores, keys, gemm::Parallelism::None);
                for (i, row) in scores.chunks_mut(keys).enumerate() {
                    let visible = if shape.causal { (first + i + 1).min(keys) } else { keys };
                    softmax(&mut row[..visible], shape.scale);
                    row[visible..].fill(0.0);
                }
                let scores = Matrix { data: &scores, row: keys, column: 1 };
                product_add([rows, width, keys], scores, v, &mut out[head * width..], hidden, gemm::Parallelism::None);
            }
        });
    }
}

vectorised! {
    /// `softmax(row * scale)` in place; the maximum is taken away first, so that nothing overflows.
    fn softmax(row: &mut [f32], scale: f32) {
        /// So many running values, because a single one would chain every step to the one before it.
        const LANES: usize = 16;
        let mut largest = [f32::NEG_INFINITY; LANES];
        for chunk in row.chunks(LANES) {
            for (max, x) in largest.iter_mut().zip(chunk) {
                *max = if *x > *max { *x } else { *max };
            }
        }
        let mut max = f32::NEG_INFINITY;
        for x in largest {
            max = if x > max { x } else { max };
        }
        let max = max * scale;
        let mut sums = [0.0; LANES];
        for chunk in row.chunks_mut(LANES) {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *x = exp(*x * scale - max);
                *sum += *x;
            }
        }
        let mut total = 0.0;
        for sum in sums {
            total += sum;
        }
        let inverse = 1.0 / total;
        for x in row {
            *x *= inverse;
        }
    }
}
