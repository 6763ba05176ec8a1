//! Fully connected layer: `act(x W^T + bias + residual)`.

use crate::activation::geglu;
use crate::gemm::{Epilogue, Product, Rows, to_pairs};
use crate::weight::Operand;
use crate::{Activation, Floats, Matrix, integers};

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
        Operand::Integers(panels) => integers::Product { level, size: [m, n, k], panels, epilogue }.run(x, out),
    }
}

/// GEGLU of `x[m, k] * weight[n, k]^T + bias[n]`: `out[m, n / 2]`. The product, which is twice as wide as the result
/// and often the largest of a network, is computed a few rows at a time, which stay in the cache.
pub fn linear_geglu<'a>(
    x: &[f32],
    [m, n, k]: [usize; 3],
    weight: impl Into<Matrix<'a>>,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    assert!(n.is_multiple_of(2) && x.len() == m * k && out.len() == m * (n / 2));
    if out.is_empty() {
        return;
    }
    let weight = weight.into();
    let rows = rows_at_once(m, n);
    let mut product = Floats::take(rows * n);
    for first in (0..m).step_by(rows) {
        let rows = rows.min(m - first);
        let x = &x[first * k..][..rows * k];
        let product = &mut product[..rows * n];
        linear(x, [rows, n, k], weight, bias, None, Activation::None, product);
        geglu(product, n / 2, &mut out[first * (n / 2)..][..rows * (n / 2)]);
    }
}

/// The rows of the product `[m, n]` that are computed at a time before GEGLU.
pub(crate) fn rows_at_once(m: usize, n: usize) -> usize {
    /// Floats of the product: 8 MiB.
    const AT_ONCE: usize = 2 << 20;
    /// The fewest rows, so that reading the weights is worthwhile.
    const ROWS: usize = 144;
    m.div_ceil(m.div_ceil((AT_ONCE / n).max(ROWS)))
}

/// The rows of a contiguous matrix.
struct Rectangle<'a> {
    x: &'a [f32],
    k: usize,
}

impl Rows for Rectangle<'_> {
    #[inline(always)]
    fn taps(&self) -> usize {
        1
    }

    #[inline(always)]
    fn channels(&self) -> usize {
        self.k
    }

    #[inline(always)]
    fn piece(&self, row: usize, _tap: usize) -> Option<&[f32]> {
        self.x.get(row * self.k..(row + 1) * self.k)
    }
}
