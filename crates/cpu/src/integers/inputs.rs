//! The input of a product in integers: the rows in blocks of 32, rounded to signed bytes with one scale per block.
//!
//! ggml rounds the input for K formats in blocks of 256, one per super-block. Here blocks of 32 are used for all
//! formats: their error is smaller (by a quarter for normal numbers, and much more next to the outliers of
//! transformers), and the micro-kernel multiplies the scales of both sides anyway.

use super::tile::{HEAD, Order};
use crate::Level;
use crate::memory::Floats;
use crate::parallel::for_each_chunk;
use crate::simd::{Kernel, Simd};

/// The layout of rounded inputs.
#[derive(Clone, Copy)]
pub(super) struct Rounding {
    pub(super) order: Order,
    /// Groups of weights per 32, each with its own scale: 1 or 2.
    pub(super) groups: usize,
    /// The offset of the weights' quants. An integer sum starts with the negative sum of its inputs times this.
    pub(super) offset: i32,
    /// Whether the weights have minimums, which are multiplied with the sums of the inputs.
    pub(super) least: bool,
}

/// Rounded rows, padded with zero rows to whole tiles.
pub(super) struct Inputs {
    words: Floats,
    /// Words of a row.
    row: usize,
}

impl Inputs {
    /// Rounds the `m` rows of `x[m, k]`; a tile has `tile` rows.
    pub(super) fn new(level: Level, x: &[f32], [m, k]: [usize; 2], tile: usize, rounding: Rounding) -> Self {
        let row = k / 32 * rounding.order.record();
        let mut words = Floats::take(m.next_multiple_of(tile) * row);
        words[m * row..].fill(0.0);
        for_each_chunk(&mut words[..m * row], row, |i, words| {
            level.run(Round { x: &x[i * k..][..k], rounding, words: bytemuck::cast_slice_mut(words) });
        });
        Self { words, row }
    }

    /// Words of a row.
    #[inline(always)]
    pub(super) fn row(&self) -> usize {
        self.row
    }

    /// The position of block `block` of row `row`.
    #[inline(always)]
    pub(super) fn block(&self, row: usize, block: usize, record: usize) -> *const i32 {
        self.words[row * self.row + block * record..].as_ptr().cast()
    }
}

/// Rounds one row.
struct Round<'a> {
    x: &'a [f32],
    rounding: Rounding,
    words: &'a mut [i32],
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, rounding, words } = self;
        let record = rounding.order.record();
        let blocks = x.as_chunks::<32>().0;
        assert!(words.len() == blocks.len() * record);
        for i in 0..blocks.len() {
            round(s, &blocks[i], rounding, &mut words[i * record..][..record]);
        }
    }
}

#[inline(always)]
fn round<S: Simd>(s: S, x: &[f32; 32], rounding: Rounding, words: &mut [i32]) {
    /// Rounds to nearest: the low bits of a float of this size are an integer.
    const MAGIC: f32 = 12_582_912.0;
    let zero = s.splat(0.0);
    let mut largest = zero;
    // Zero, unless there is a NaN or an infinity. These must not be hidden, so the block becomes NaN.
    let mut check = zero;
    for at in (0..32).step_by(S::LANES) {
        // SAFETY: 32 is a multiple of the length of a vector.
        let x = unsafe { s.load(x.as_ptr().add(at)) };
        largest = s.max(s.abs(x), largest);
        check = s.mul_add(x, zero, check);
    }
    let largest = s.largest(largest);
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let scale = largest / 127.0 + s.sum(check);
    let mut quants = [0_i8; 32];
    for i in 0..32 {
        quants[i] = (x[i] * inverse + MAGIC).to_bits() as i8;
    }
    let mut sums = [0_i32; 2];
    for group in 0..2 {
        for i in 16 * group..16 * (group + 1) {
            sums[group] += i32::from(quants[i]);
        }
    }
    if rounding.groups == 1 {
        sums[0] += sums[1];
        sums[1] = 0;
    }
    words[0] = scale.to_bits() as i32;
    for group in 0..2 {
        let sum = sums[group];
        words[1 + group] = if rounding.least { (scale * sum as f32).to_bits() as i32 } else { -rounding.offset * sum };
    }
    words[HEAD - 1] = 0;
    let words = &mut words[HEAD..];
    if rounding.order.group == 4 {
        for i in 0..8 {
            let bytes = [quants[4 * i], quants[4 * i + 1], quants[4 * i + 2], quants[4 * i + 3]];
            words[i] = i32::from_le_bytes([bytes[0] as u8, bytes[1] as u8, bytes[2] as u8, bytes[3] as u8]);
        }
    } else {
        for i in 0..16 {
            words[i] = i32::from(quants[2 * i]) & 0xffff | i32::from(quants[2 * i + 1]) << 16;
        }
    }
}
