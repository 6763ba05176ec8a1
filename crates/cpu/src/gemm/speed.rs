//! Measures how fast a level multiplies pairs of bfloat16, because processors with the same instructions differ by a
//! factor of two.

use super::{Addend, Tile};
use crate::Level;
use crate::simd::{Kernel, Simd};

/// Whether products of pairs take at most two thirds of the time of those of floats, on this machine and at this level.
/// A smaller gain is not worth it, because only convolutions of floats can use Winograd's method. Measuring takes about
/// a millisecond; `clock` is in seconds.
pub(crate) fn pairs_pay(level: Level, clock: &dyn Fn() -> f64) -> bool {
    let mut least = [f64::INFINITY; 2];
    // Alternately, and the minimum of several, so that interruptions and changes of the clock rate do not matter.
    for _ in 0..8 {
        for (least, pairs) in least.iter_mut().zip([false, true]) {
            *least = level.run(Multiply { pairs, clock }).min(*least);
        }
    }
    let [floats, pairs] = least;
    // A tile of pairs does the work of two tiles of floats.
    3.0 * pairs <= 4.0 * floats
}

/// The time of some tiles with operands in the first-level cache.
struct Multiply<'a> {
    pairs: bool,
    clock: &'a dyn Fn() -> f64,
}

impl Kernel for Multiply<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        // In an interpreter repetition is useless.
        const DEPTH: usize = if cfg!(miri) { 2 } else { 128 };
        const TILES: usize = if cfg!(miri) { 1 } else { 32 };
        // As a pair of bfloat16 this is 1 and 1, and as a float slightly more than 1.
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

    /// A clock that is read before and after the floats, then before and after the pairs, alternately.
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
