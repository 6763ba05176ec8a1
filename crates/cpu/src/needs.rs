//! The memory that kernels take besides their operands and results, for plans that are made before anything is loaded.

use crate::attention::AttentionShape;
use crate::conv2d::Conv2dShape;
use crate::gemm::{FEW, TileColumns};
use crate::integers::Panels;
use crate::{BlockFormat, Level, winograd};

/// The form of a packed weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Panels of floats of this many bytes.
    Floats(usize),
    /// Pairs of bfloat16.
    Pairs,
    /// Quantised blocks that are widened to floats during products.
    Widened(BlockFormat),
    /// Quantised blocks that are multiplied in integers.
    Integers(BlockFormat),
}

impl Kept {
    /// Bytes of a [`PackedWeight`](crate::PackedWeight) `[n, k]`.
    pub fn bytes(self, [n, k]: [usize; 2]) -> usize {
        if n <= FEW {
            return n * k * size_of::<f32>();
        }
        let panels = |columns: usize| n.next_multiple_of(columns);
        let level = Level::current();
        match self {
            Self::Floats(size) => panels(level.run(TileColumns)) * k * size,
            Self::Pairs => panels(level.run(TileColumns)) * k * 2,
            Self::Widened(format) => n * k / format.length() * format.bytes(),
            Self::Integers(format) => Panels::bytes(level, format, [n, k]),
        }
    }
}

/// Floats that a product of `[m, k]` with a weight `[n, k]` takes from the pool, in order.
pub fn linear([m, n, k]: [usize; 3], weight: Kept) -> Vec<usize> {
    match weight {
        _ if n <= FEW => Vec::new(),
        Kept::Integers(format) => vec![Panels::input_floats(Level::current(), format, [m, k])],
        Kept::Pairs => vec![m * k / 2],
        Kept::Floats(_) | Kept::Widened(_) => Vec::new(),
    }
}

/// Floats that a convolution takes from the pool.
pub fn conv2d(shape: &Conv2dShape, weight: Kept) -> Vec<usize> {
    if weight == Kept::Pairs && shape.out_channels > FEW {
        return vec![shape.batch * shape.input[0] * shape.input[1] * shape.in_channels / 2];
    }
    winograd::kept_weights(Level::current(), shape).into_iter().collect()
}

/// Floats that an attention takes from the pool: keys and values in panels.
pub fn attention(shape: &AttentionShape) -> Vec<usize> {
    let AttentionShape { batch, keys, heads, width, .. } = *shape;
    let columns = Level::current().run(TileColumns);
    let all = batch * heads;
    vec![all * keys.next_multiple_of(columns) * width, all * width.next_multiple_of(columns) * keys]
}

/// Floats that a product with GEGLU takes from the pool: the rows that are computed at a time.
pub fn linear_geglu([m, n, k]: [usize; 3], weight: Kept) -> Vec<usize> {
    let rows = crate::linear::rows_at_once(m, n);
    let mut all = vec![rows * n];
    all.extend(linear([rows, n, k], weight));
    all
}
