//! Fully connected layer: `act(x W^T + bias + residual)`.

use crate::gemm::{Epilogue, Packed, Panels, Product, Rows};
use crate::{Activation, Level, Weight};

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
    let (rows, panels) = (Matrix { x, k }, Panels::Rows(weight));
    let epilogue = Epilogue { bias, residual, activation };
    Product { level: Level::current(), m, n, rows: &rows, panels, epilogue }.run(out);
}

/// A weight matrix `[n, k]` in the order in which the kernel reads it, for layers that run more than once.
///
/// It belongs to the instruction set that was current when it was made, and keeps the type of the weight.
pub struct PackedLinear(pub(crate) Packed);

impl PackedLinear {
    /// Packs `weight[n, k]`.
    pub fn new(weight: Weight<'_>, [n, k]: [usize; 2]) -> Self {
        Self(Packed::new(weight, n, k))
    }

    /// What [`linear`] computes with the weight that this was made of, bit for bit.
    pub fn run(
        &self,
        x: &[f32],
        m: usize,
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        activation: Activation,
        out: &mut [f32],
    ) {
        let Packed { level, n, k, .. } = self.0;
        assert_eq!(x.len(), m * k);
        let (rows, panels) = (Matrix { x, k }, self.0.panels());
        let epilogue = Epilogue { bias, residual, activation };
        Product { level, m, n, rows: &rows, panels, epilogue }.run(out);
    }
}

/// The rows of a contiguous matrix.
struct Matrix<'a> {
    x: &'a [f32],
    k: usize,
}

impl Rows for Matrix<'_> {
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
