//! Fully connected layer: `act(x W^T + bias + residual)`.

use crate::parallel::{for_each_chunk, gemm_parallelism};
use crate::{Activation, Weight};

/// `out[m, n] = act(x[m, k] * weight[n, k]^T + bias[n] + residual[m, n])`.
pub fn linear(
    x: &[f32],
    [m, n, k]: [usize; 3],
    weight: Weight<'_>,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
) {
    assert_eq!((x.len(), weight.len(), out.len()), (m * k, n * k, m * n));
    if out.is_empty() {
        return;
    }
    begin_with(out, n, bias, residual);
    let mut scratch = Vec::new();
    let block = weight.rows_per_block(n, k);
    for first in (0..n).step_by(block) {
        let rows = block.min(n - first);
        let w = weight.widen(first * k, rows * k, &mut scratch);
        let lhs = Matrix { data: x, row: k, column: 1 };
        let rhs = Matrix { data: w, row: 1, column: k };
        product_add([m, rows, k], lhs, rhs, &mut out[first..], n, gemm_parallelism());
    }
    activation.apply_parallel(out);
}

/// Fills `out[m, n]` with what the product is added to.
pub(crate) fn begin_with(out: &mut [f32], n: usize, bias: Option<&[f32]>, residual: Option<&[f32]>) {
    const ROWS: usize = 64;
    for_each_chunk(out, ROWS * n, |i, chunk| {
        match residual {
            Some(residual) => chunk.copy_from_slice(&residual[i * ROWS * n..][..chunk.len()]),
            None => chunk.fill(0.0),
        }
        if let Some(bias) = bias {
            for row in chunk.chunks_mut(n) {
                row.iter_mut().zip(bias).for_each(|(out, b)| *out += b);
            }
        }
    });
}

/// A matrix seen through strides.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) data: &'a [f32],
    /// Distance between rows.
    pub(crate) row: usize,
    /// Distance between columns.
    pub(crate) column: usize,
}

impl Matrix<'_> {
    fn reaches(&self, rows: usize, columns: usize) -> usize {
        (rows - 1) * self.row + (columns - 1) * self.column + 1
    }
}

/// `out += lhs[m, k] * rhs[k, n]`, where `out` has rows `out_row` apart and adjacent columns.
pub(crate) fn product_add(
    [m, n, k]: [usize; 3],
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    out: &mut [f32],
    out_row: usize,
    parallelism: gemm::Parallelism,
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(lhs.reaches(m, k) <= lhs.data.len() && rhs.reaches(k, n) <= rhs.data.len());
    assert!((m - 1) * out_row + n <= out.len() && n <= out_row);
    // SAFETY: the assertions above keep every element that the strides reach inside its slice, `out` is borrowed
    // exclusively and its rows do not overlap (n <= out_row).
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_row as isize,
            true,
            lhs.data.as_ptr(),
            lhs.column as isize,
            lhs.row as isize,
            rhs.data.as_ptr(),
            rhs.column as isize,
            rhs.row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
