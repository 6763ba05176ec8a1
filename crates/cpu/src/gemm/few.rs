//! Products with at most [`FEW`] columns, as in the last convolution of a network: dot products with vectors along `k`.
//! Most columns of a tile would be unused.

use super::Rows;
use super::product::Epilogue;
use crate::Level;
use crate::memory::Floats;
use crate::parallel::for_each_chunk;
use crate::simd::{Kernel, Simd, load_some};

/// The most columns of such a product.
pub(crate) const FEW: usize = 4;
/// Rows whose sums are in registers at the same time.
const ROWS: usize = 3;
/// Rows of one task.
const TASK: usize = 96;

/// `out[m, n] = act(rows[m, k] * weights[n, k]^T + bias + residual)` with `n <= FEW`.
pub(super) fn multiply_few<R: Rows>(
    level: Level,
    rows: &R,
    weights: &[f32],
    n: usize,
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) {
    let zeros = Floats::zeros(rows.channels());
    for_each_chunk(out, TASK * n, |i, out| {
        level.run(Task { rows, weights, zeros: &zeros, n, first: i * TASK, epilogue, out });
    });
}

struct Task<'a, R> {
    rows: &'a R,
    weights: &'a [f32],
    zeros: &'a [f32],
    n: usize,
    first: usize,
    epilogue: Epilogue<'a>,
    out: &'a mut [f32],
}

impl<R: Rows> Kernel for Task<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { rows, weights, zeros, n, first, epilogue, out } = self;
        let taps = rows.taps();
        let channels = zeros.len();
        let k = taps * channels;
        let end = first + out.len() / n;
        // Missing rows and columns repeat the last one; their sums are not stored.
        for group in (first..end).step_by(ROWS) {
            let mut sums = [[s.splat(0.0); FEW]; ROWS];
            for tap in 0..taps {
                let mut pieces = [zeros; ROWS];
                for row in 0..ROWS {
                    if let Some(piece) = rows.piece((group + row).min(end - 1), tap) {
                        pieces[row] = piece;
                    }
                }
                let mut columns = [zeros; FEW];
                for column in 0..FEW {
                    columns[column] = &weights[column.min(n - 1) * k + tap * channels..][..channels];
                }
                add_products(s, pieces, columns, &mut sums);
            }
            for row in 0..ROWS.min(end - group) {
                for column in 0..n {
                    let mut sum = s.sum(sums[row][column]);
                    sum += if let Some(bias) = epilogue.bias { bias[column] } else { 0.0 };
                    sum += if let Some(x) = epilogue.residual { x[(group + row) * n + column] } else { 0.0 };
                    out[(group + row - first) * n + column] = sum;
                }
            }
        }
        epilogue.activation.map(s, out);
    }
}

/// `sums[row][column] += pieces[row] * columns[column]`, lane by lane.
#[inline(always)]
fn add_products<S: Simd>(s: S, pieces: [&[f32]; ROWS], columns: [&[f32]; FEW], sums: &mut [[S::F32; FEW]; ROWS]) {
    let len = pieces[0].len();
    for piece in pieces {
        assert!(piece.len() == len);
    }
    for column in columns {
        assert!(column.len() == len);
    }
    let whole = len / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: all slices hold a vector at `at`.
        unsafe {
            let [a, b, c] = pieces;
            let x = [s.load(a.as_ptr().add(at)), s.load(b.as_ptr().add(at)), s.load(c.as_ptr().add(at))];
            for c in 0..FEW {
                let w = s.load(columns[c].as_ptr().add(at));
                for r in 0..ROWS {
                    sums[r][c] = s.mul_add(x[r], w, sums[r][c]);
                }
            }
        }
    }
    if whole < len {
        for c in 0..FEW {
            let w = load_some(s, &columns[c][whole..]);
            for r in 0..ROWS {
                sums[r][c] = s.mul_add(load_some(s, &pieces[r][whole..]), w, sums[r][c]);
            }
        }
    }
}
