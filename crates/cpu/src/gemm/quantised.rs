//! Panels of quantised weights: widened while they are multiplied, so that the matrix stays in its blocks.
//!
//! A slice of a panel is used for all rows of a task, up to 144, and then made again for the next: with that many rows
//! widening takes a few percent of the product.

use super::panels::transpose;
use crate::BlockFormat;
use crate::blocks::WidenBlocks;
use crate::simd::{Simd, fill};

/// The rows of a quantised matrix.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<'a> {
    pub(crate) format: BlockFormat,
    pub(crate) bytes: &'a [u8],
    /// Whether they become pairs of bfloat16 along `k`, each as one float: positions are then half as many.
    pub(crate) pairs: bool,
}

impl Blocks<'_> {
    /// Elements of one position.
    #[inline(always)]
    fn elements(&self) -> usize {
        if self.pairs { 2 } else { 1 }
    }

    /// Positions of one block.
    #[inline(always)]
    pub(super) fn length(&self) -> usize {
        self.format.length() / self.elements()
    }

    /// Transposes rows `panel * TILE_COLUMNS ..` of `n`, whole blocks of positions `start..end` of `row`, into
    /// `[k][TILE_COLUMNS]`.
    #[inline(always)]
    pub(super) fn pack_panel<S: Simd>(
        &self,
        s: S,
        [n, row]: [usize; 2],
        panel: usize,
        [start, end]: [usize; 2],
        out: &mut [f32],
    ) {
        /// Elements that are widened at a time: the longest block.
        const CHUNK: usize = 256;
        let length = self.length();
        assert!(start.is_multiple_of(length) && end.is_multiple_of(length) && row.is_multiple_of(length));
        let step = CHUNK / self.elements();
        let mut wide = [0.0; 8 * CHUNK];
        let mut floats = [0.0; CHUNK];
        for column in (0..S::TILE_COLUMNS).step_by(8) {
            let first = panel * S::TILE_COLUMNS + column;
            let rows = 8.min(n.saturating_sub(first));
            for from in (start..end).step_by(step) {
                let count = step.min(end - from);
                for i in 0..8 {
                    let wide = &mut wide[i * CHUNK..][..count];
                    if i >= rows {
                        fill(wide, 0.0);
                        continue;
                    }
                    let at = ((first + i) * row + from) / length * self.format.bytes();
                    let bytes = &self.bytes[at..][..count / length * self.format.bytes()];
                    if self.pairs {
                        let floats = &mut floats[..2 * count];
                        s.widen_blocks(WidenBlocks { format: self.format, bytes, out: floats });
                        round_pairs(floats, wide);
                    } else {
                        s.widen_blocks(WidenBlocks { format: self.format, bytes, out: wide });
                    }
                }
                let out = &mut out[(from - start) * S::TILE_COLUMNS + column..];
                transpose(s, &wide, CHUNK, count, out);
            }
        }
    }
}

/// Neighbours rounded to bfloat16, the first in the low half of a float.
#[inline(always)]
fn round_pairs(floats: &[f32], pairs: &mut [f32]) {
    let floats = floats.as_chunks::<2>().0;
    assert!(floats.len() == pairs.len());
    for i in 0..pairs.len() {
        let [low, high] = floats[i];
        pairs[i] = f32::from_bits(rounded(low) >> 16 | (rounded(high) & 0xffff_0000));
    }
}

/// The bits of a finite float whose upper half is the nearest bfloat16, of two the even one.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    bits.wrapping_add(0x7fff + (bits >> 16 & 1))
}
