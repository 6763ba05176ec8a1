//! Products with at most [`FEW`] columns, as the last convolution of a network has them: dot products, with the vectors
//! along `k`. A tile would compute mostly columns that do not exist.

use super::Rows;
use super::product::Epilogue;
use crate::Level;
use crate::memory::Floats;
use crate::parallel::for_each_chunk;
use crate::simd::{Kernel, Simd, load_some};

/// The most columns that are computed in this way.
pub(crate) const FEW: usize = 4;
/// Rows whose sums are in registers together.
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
        let (taps, channels) = (rows.taps(), zeros.len());
        let k = taps * channels;
        // Columns and rows that are missing repeat the last one, and are thrown away.
        let columns = [0, 1, 2, 3].map(|column| &weights[column.min(n - 1) * k..][..k]);
        let last = first + out.len() / n - 1;
        for (i, out) in out.chunks_mut(ROWS * n).enumerate() {
            let group = [0, 1, 2].map(|row| first + i * ROWS + row);
            let mut sums = [[s.splat(0.0); FEW]; ROWS];
            for tap in 0..taps {
                let pieces = group.map(|row| rows.piece(row.min(last), tap).unwrap_or(zeros));
                let columns = columns.map(|column| &column[tap * channels..][..channels]);
                add_products(s, pieces, columns, &mut sums);
            }
            for (row, (out, sums)) in out.chunks_exact_mut(n).zip(sums).enumerate() {
                for (column, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
                    let bias = epilogue.bias.map_or(0.0, |bias| bias[column]);
                    let residual = epilogue.residual.map_or(0.0, |x| x[(first + i * ROWS + row) * n + column]);
                    *out = s.sum(sum) + bias + residual;
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
    assert!(pieces.iter().chain(&columns).all(|x| x.len() == len));
    let whole = len / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: all slices hold a vector at `at`.
        unsafe {
            let [a, b, c] = pieces;
            let x = [s.load(a.as_ptr().add(at)), s.load(b.as_ptr().add(at)), s.load(c.as_ptr().add(at))];
            for (c, column) in columns.iter().enumerate() {
                let w = s.load(column.as_ptr().add(at));
                for (x, sums) in x.iter().zip(&mut *sums) {
                    sums[c] = s.mul_add(*x, w, sums[c]);
                }
            }
        }
    }
    if whole < len {
        for (c, column) in columns.iter().enumerate() {
            let w = load_some(s, &column[whole..]);
            for (piece, sums) in pieces.iter().zip(&mut *sums) {
                sums[c] = s.mul_add(load_some(s, &piece[whole..]), w, sums[c]);
            }
        }
    }
}
