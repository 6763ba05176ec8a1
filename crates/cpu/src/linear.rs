//! Fully connected layer: `act(x W^T + bias + residual)`.

use crate::gemm::{Epilogue, Product, Rows, to_pairs};
use crate::weight::Operand;
use crate::{Activation, Matrix, q8};

/// `out[m, n] = act(x[m, k] * weight[n, k]^T + bias[n] + residual[m, n])`.
pub fn linear<'a>(
    x: &[f32],
    [m, n, k]: [usize; 3],
    weight: impl Into<Matrix<'a>>,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
) {
    assert_eq!((x.len(), out.len()), (m * k, m * n));
    let (level, operand) = weight.into().open(n, k);
    let epilogue = Epilogue { bias, residual, activation };
    match operand {
        Operand::Floats(panels) => {
            Product { level, m, n, rows: &Rectangle { x, k }, panels, pairs: false, epilogue }.run(out)
        }
        Operand::Pairs(panels) => {
            let rows = Rectangle { x: &to_pairs(x), k: k / 2 };
            Product { level, m, n, rows: &rows, panels, pairs: true, epilogue }.run(out);
        }
        Operand::Quants(panels) => q8::Product { level, size: [m, n, k], panels, epilogue }.run(x, out),
    }
}

/// The rows of a contiguous matrix.
struct Rectangle<'a> {
    x: &'a [f32],
    k: usize,
}

impl Rows for Rectangle<'_> {
    fn taps(&self) -> usize {
        1
    }

    fn channels(&self) -> usize {
        self.k
    }

    fn piece(&self, row: usize, _tap: usize) -> Option<&[f32]> {
        self.x.get(row * self.k..(row + 1) * self.k)
    }
}
