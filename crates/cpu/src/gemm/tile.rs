//! The micro-kernel: a tile of the output is kept in registers during the loop over `k`.

use crate::simd::{Simd, copy};

/// A matrix that is added to the tile, or null.
#[derive(Clone, Copy)]
pub(crate) struct Addend {
    pub(crate) data: *const f32,
    /// Distance between rows; zero for a bias.
    pub(crate) row: usize,
}

impl Addend {
    pub(crate) const NONE: Self = Self { data: std::ptr::null(), row: 0 };
}

/// `out = sum over k of rows * weights + added`, for `rows` rows (1 or `TILE_ROWS`) and `TILE_COLUMNS` columns.
///
/// The caller of a function that multiplies a tile must guarantee that
/// - `pointers[tap * tap_stride + row]` is valid for `row < rows` and every tap that `k` touches, and leads to
///   `channels` readable floats,
/// - `weights` holds `(k.end - k.start) * TILE_COLUMNS` floats,
/// - `out` (writable) and the addends hold `rows` rows of `TILE_COLUMNS` floats at their distances.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    pub(crate) rows: usize,
    pub(crate) pointers: *const *const f32,
    pub(crate) tap_stride: usize,
    pub(crate) channels: usize,
    /// First and one past the last position in `taps * channels`.
    pub(crate) k: [usize; 2],
    pub(crate) weights: *const f32,
    /// Whether each float is actually a pair of bfloat16 along `k`.
    pub(crate) pairs: bool,
    pub(crate) added: [Addend; 2],
    pub(crate) out: *mut f32,
    pub(crate) out_row: usize,
}

/// The micro-kernel for `R` rows by `V` vectors, of floats or of pairs of bfloat16. All accumulators stay in registers.
///
/// # Safety
/// See [`Tile`]; `R` must be `tile.rows`, `V * LANES` the level's `TILE_COLUMNS` and `PAIRS` must be `tile.pairs`.
#[inline(always)]
pub(crate) unsafe fn multiply<S: Simd, const R: usize, const V: usize, const PAIRS: bool>(s: S, tile: &Tile) {
    let mut sums = [[s.splat(0.0); V]; R];
    let mut weights = tile.weights;
    let [mut k, end] = tile.k;
    let mut tap = k / tile.channels.max(1);
    // Both loops exit at the bottom: with a test at the top the compiler spills the sums in every iteration.
    if k < end {
        loop {
            let channel = k - tap * tile.channels;
            let count = (tile.channels - channel).min(end - k);
            let mut rows = [std::ptr::null::<f32>(); R];
            for r in 0..R {
                // SAFETY: `tap` is one that `k` touches and the row has `channels` floats.
                rows[r] = unsafe { (*tile.pointers.add(tap * tile.tap_stride + r)).add(channel) };
            }
            let mut c = 0;
            loop {
                // SAFETY: there are `V * LANES` weights for each of the `end - k` positions, and
                // c < count <= channels - channel.
                unsafe { multiply_one::<S, R, V, PAIRS>(s, &rows, c, weights, &mut sums) };
                weights = weights.wrapping_add(V * S::LANES);
                c += 1;
                if c >= count {
                    break;
                }
            }
            k += count;
            tap += 1;
            if k >= end {
                break;
            }
        }
    }
    let [first, second] = tile.added;
    // SAFETY: an addend has `R` rows of `V * LANES` floats, and so has the output.
    unsafe {
        add(s, first, &mut sums);
        add(s, second, &mut sums);
        for r in 0..R {
            for v in 0..V {
                s.store(tile.out.add(r * tile.out_row + v * S::LANES), sums[r][v]);
            }
        }
    }
}

/// Adds an addend to the sums, if there is one. The loops have no branches, so that they are unrolled early enough for
/// the sums to stay in registers.
///
/// # Safety
/// The addend must be null or hold `R` rows of `V * LANES` floats.
#[inline(always)]
unsafe fn add<S: Simd, const R: usize, const V: usize>(s: S, added: Addend, sums: &mut [[S::F32; V]; R]) {
    if added.data.is_null() {
        return;
    }
    for r in 0..R {
        for v in 0..V {
            // SAFETY: guaranteed by the caller.
            sums[r][v] = s.add(sums[r][v], unsafe { s.load(added.data.add(r * added.row + v * S::LANES)) });
        }
    }
}

/// Multiplies one position of `k`: element `c` of each row times the vectors of weights.
///
/// # Safety
/// The rows must be readable at `c`, and `weights` for `V` vectors.
#[inline(always)]
unsafe fn multiply_one<S: Simd, const R: usize, const V: usize, const PAIRS: bool>(
    s: S,
    rows: &[*const f32; R],
    c: usize,
    weights: *const f32,
    sums: &mut [[S::F32; V]; R],
) {
    let mut w = [s.splat(0.0); V];
    for v in 0..V {
        // SAFETY: guaranteed by the caller.
        w[v] = unsafe { s.load(weights.add(v * S::LANES)) };
    }
    for r in 0..R {
        // SAFETY: guaranteed by the caller.
        let x = s.splat(unsafe { *rows[r].add(c) });
        for v in 0..V {
            let sum = sums[r][v];
            sums[r][v] = if PAIRS { s.dot_bf16(x, w[v], sum) } else { s.mul_add(x, w[v], sum) };
        }
    }
}

/// The largest tile of any level.
const LARGEST: usize = 12 * 32;

/// A tile that is only partly inside the output and the addends, with `rows` by `columns` elements. It is computed in a
/// separate buffer.
///
/// # Safety
/// As for [`Tile`], but the output and the addends only need `rows` by `columns` elements. All pointers must be valid.
#[inline(always)]
pub(crate) unsafe fn multiply_part<S: Simd>(s: S, tile: &Tile, rows: usize, columns: usize) {
    if (rows, columns) == (tile.rows, S::TILE_COLUMNS) {
        // SAFETY: nothing is missing.
        return unsafe { s.multiply_tile(tile) };
    }
    let mut buffers = [[0.0_f32; LARGEST]; 3];
    let mut aside = *tile;
    let [out, addends @ ..] = &mut buffers;
    for i in 0..addends.len() {
        let Addend { data, row } = tile.added[i];
        if !data.is_null() {
            for r in 0..rows {
                // SAFETY: the addend holds `rows` by `columns`, and the buffer a whole tile.
                let row = unsafe { std::slice::from_raw_parts(data.add(r * row), columns) };
                copy(row, &mut addends[i][r * S::TILE_COLUMNS..][..columns]);
            }
            aside.added[i] = Addend { data: addends[i].as_ptr(), row: S::TILE_COLUMNS };
        }
    }
    aside.out = out.as_mut_ptr();
    aside.out_row = S::TILE_COLUMNS;
    // SAFETY: output and addends are now buffers of a whole tile.
    unsafe { s.multiply_tile(&aside) };
    for r in 0..rows {
        // SAFETY: the output holds `rows` by `columns`, which no other task writes.
        let row = unsafe { std::slice::from_raw_parts_mut(tile.out.add(r * tile.out_row), columns) };
        copy(&buffers[0][r * S::TILE_COLUMNS..][..columns], row);
    }
}
