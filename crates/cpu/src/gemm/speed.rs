//! How fast a level multiplies pairs of bfloat16: processors with the same instructions differ by a factor of two.

use super::{Addend, Tile};
use crate::Level;
use crate::simd::{Kernel, Simd};
use std::time::{Duration, Instant};

/// Whether products of pairs take at most two thirds of the time of those of floats, on this machine and at this level.
/// Less would not pay: convolutions of floats have Winograd's way, those of pairs have not. Takes about a millisecond.
pub(crate) fn pairs_pay(level: Level) -> bool {
    let mut least = [Duration::MAX; 2];
    // In turn and the least of several, so that an interruption or a clock that speeds up says nothing.
    for _ in 0..8 {
        for (least, pairs) in least.iter_mut().zip([false, true]) {
            *least = level.run(Multiply { pairs }).min(*least);
        }
    }
    let [floats, pairs] = least;
    // A tile of pairs is worth two of floats.
    3 * pairs <= 4 * floats
}

/// The time of some tiles whose operands stay in the first-level cache.
struct Multiply {
    pairs: bool,
}

impl Kernel for Multiply {
    type Output = Duration;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Duration {
        // An interpreter is told nothing by repetition.
        const DEPTH: usize = if cfg!(miri) { 2 } else { 128 };
        const TILES: usize = if cfg!(miri) { 1 } else { 32 };
        // As a pair of bfloat16 this is twice 1, and as a float a little more than that.
        let one = f32::from_bits(0x3f80_3f80);
        let (rows, weights) = (vec![one; S::TILE_ROWS * DEPTH], vec![one; S::TILE_COLUMNS * DEPTH]);
        let mut out = vec![0.0; S::TILE_ROWS * S::TILE_COLUMNS];
        let pointers: Vec<*const f32> = rows.chunks_exact(DEPTH).map(<[f32]>::as_ptr).collect();
        let tile = Tile {
            rows: S::TILE_ROWS,
            pointers: pointers.as_ptr(),
            tap_stride: S::TILE_ROWS,
            channels: DEPTH,
            k: [0, DEPTH],
            weights: weights.as_ptr(),
            pairs: self.pairs,
            added: [Addend::NONE; 2],
            out: out.as_mut_ptr(),
            out_row: S::TILE_COLUMNS,
        };
        let start = Instant::now();
        for _ in 0..TILES {
            // SAFETY: there is a pointer for each row, which leads to `DEPTH` floats; weights and output are a tile's.
            unsafe { s.multiply_tile(&tile) };
        }
        let time = start.elapsed();
        std::hint::black_box(&out);
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it says is the machine's to decide; that it multiplies tiles as it may is for Miri and the sanitizers to see.
    #[test]
    fn every_level_can_be_timed() {
        for level in Level::available() {
            println!("{level:?}: {}", pairs_pay(level));
        }
    }
}
