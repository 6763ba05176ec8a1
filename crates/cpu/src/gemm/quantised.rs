//! Widens panels of quantised weights during the product, so that the matrix stays quantised in memory.
//!
//! A slice of a panel is widened for all rows of a task, up to 144, and again for the next task. With that many rows,
//! widening takes a few percent of the product.

use super::panels::transpose;
use crate::BlockFormat;
use crate::blocks::WidenBlocks;
use crate::simd::{Simd, fill};

/// Transposes rows `panel * TILE_COLUMNS ..` of a matrix of blocks with `n` rows of `row` elements, the whole blocks of
/// positions `start..end`, into `[k][TILE_COLUMNS]`.
#[inline(always)]
pub(super) fn pack_blocks<S: Simd>(
    s: S,
    format: BlockFormat,
    bytes: &[u8],
    [n, row]: [usize; 2],
    panel: usize,
    [start, end]: [usize; 2],
    out: &mut [f32],
) {
    /// Elements that are widened at a time: the longest block.
    const CHUNK: usize = 256;
    let length = format.length();
    assert!(start.is_multiple_of(length) && end.is_multiple_of(length) && row.is_multiple_of(length));
    let mut wide = [0.0; 8 * CHUNK];
    for column in (0..S::TILE_COLUMNS).step_by(8) {
        let first = panel * S::TILE_COLUMNS + column;
        let rows = 8.min(n.saturating_sub(first));
        for from in (start..end).step_by(CHUNK) {
            let count = CHUNK.min(end - from);
            for i in 0..8 {
                let wide = &mut wide[i * CHUNK..][..count];
                if i >= rows {
                    fill(wide, 0.0);
                    continue;
                }
                let at = ((first + i) * row + from) / length * format.bytes();
                let bytes = &bytes[at..][..count / length * format.bytes()];
                s.widen_blocks(WidenBlocks { format, bytes, out: wide });
            }
            let out = &mut out[(from - start) * S::TILE_COLUMNS + column..];
            transpose(s, &wide, CHUNK, count, out);
        }
    }
}
