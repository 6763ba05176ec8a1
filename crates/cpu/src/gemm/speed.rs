//! How fast a level multiplies pairs of bfloat16: processors with the same instructions differ by a factor of two.

use super::{Addend, Tile};
use crate::Level;
use crate::simd::{Kernel, Simd};

/// Whether products of pairs take at most two thirds of the time of those of floats, on this machine and at this level.
/// Less would not pay: convolutions of floats have Winograd's way, those of pairs have not. Takes about a millisecond by
/// `clock`, which tells seconds.
pub(crate) fn pairs_pay(level: Level, clock: &dyn Fn() -> f64) -> bool {
    let mut least = [f64::INFINITY; 2];
    // In turn and the least of several, so that an interruption or a clock that speeds up says nothing.
    for _ in 0..8 {
        for (least, pairs) in least.iter_mut().zip([false, true]) {
            *least = level.run(Multiply { pairs, clock }).min(*least);
        }
    }
    let [floats, pairs] = least;
    // A tile of pairs is worth two of floats.
    3.0 * pairs <= 4.0 * floats
}

/// The time of some tiles whose operands stay in the first-level cache.
struct Multiply<'a> {
    pairs: bool,
    clock: &'a dyn Fn() -> f64,
}

impl Kernel for Multiply<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        // An interpreter is told nothing by repetition.
        const DEPTH: usize = if cfg!(miri) { 2 } else { 128 };
        const TILES: usize = if cfg!(miri) { 1 } else { 32 };
        // As a pair of bfloat16 this is twice 1, and as a float a little more than that.
        let one = f32::from_bits(0x3f80_3f80);
        let rows = vec![one; S::TILE_ROWS * DEPTH];
        let weights = vec![one; S::TILE_COLUMNS * DEPTH];
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
        let start = (self.clock)();
        for _ in 0..TILES {
            // SAFETY: there is a pointer for each row, which leads to `DEPTH` floats; weights and output are a tile's.
            unsafe { s.multiply_tile(&tile) };
        }
        let time = (self.clock)() - start;
        std::hint::black_box(&out);
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A clock that is read before and after floats, then before and after pairs, in turn.
    fn verdict(level: Level, floats: f64, pairs: f64) -> bool {
        let readings = Cell::new(0);
        let now = Cell::new(0.0);
        let clock = || {
            let reading = readings.replace(readings.get() + 1);
            now.set(now.get() + [1.0, floats, 1.0, pairs][reading % 4]);
            now.get()
        };
        pairs_pay(level, &clock)
    }

    #[test]
    fn pairs_pay_when_they_take_at_most_two_thirds_of_the_time() {
        for level in Level::available() {
            assert!(verdict(level, 3.0, 3.0), "{level:?}");
            assert!(verdict(level, 3.0, 4.0), "{level:?}");
            assert!(!verdict(level, 3.0, 4.1), "{level:?}");
            assert!(!verdict(level, 3.0, 6.0), "{level:?}");
        }
    }
}
