//! How much memory the kernels take beside their operands and results: for plans that are made before anything is loaded.

use crate::attention::AttentionShape;
use crate::conv2d::Conv2dShape;
use crate::gemm::{FEW, TileColumns};
use crate::{BlockFormat, Level, winograd};

/// The type of a weight, and how it is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Panels of floats of this many bytes.
    Floats(usize),
    /// Pairs of bfloat16.
    Pairs,
    /// Quantised blocks, multiplied as they are (`Q8_0`), widened to floats, or (`pairs`) to pairs of bfloat16.
    Blocks {
        /// What they hold.
        format: BlockFormat,
        /// Whether they are widened to pairs.
        pairs: bool,
    },
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
            Self::Blocks { format: BlockFormat::Q8_0, pairs: false } => {
                panels(level.run(TileColumns)) * k / BlockFormat::Q8_0.length() * (BlockFormat::Q8_0.length() + 4)
            }
            Self::Blocks { format, .. } => n * k / format.length() * format.bytes(),
        }
    }

    fn is_pairs(self) -> bool {
        matches!(self, Self::Pairs | Self::Blocks { pairs: true, .. })
    }
}

/// Floats that a product of `[m, k]` with a weight `[n, k]` takes from the pool, in the order in which it takes them.
pub fn linear([m, n, k]: [usize; 3], weight: Kept) -> Vec<usize> {
    match weight {
        _ if n <= FEW => Vec::new(),
        Kept::Blocks { format: BlockFormat::Q8_0, pairs: false } => vec![m * k / 2, m * k / BlockFormat::Q8_0.length()],
        _ if weight.is_pairs() => vec![m * k / 2],
        _ => Vec::new(),
    }
}

/// Floats that a convolution takes from the pool.
pub fn conv2d(shape: &Conv2dShape, weight: Kept) -> Vec<usize> {
    if weight.is_pairs() && shape.out_channels > FEW {
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

/// Floats that a product with GEGLU takes from the pool: as many of its rows as exist at once.
pub fn linear_geglu([m, n, k]: [usize; 3], weight: Kept) -> Vec<usize> {
    let rows = crate::linear::rows_at_once(m, n);
    let mut all = vec![rows * n];
    all.extend(linear([rows, n, k], weight));
    all
}
