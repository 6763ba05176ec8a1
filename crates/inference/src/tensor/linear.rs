//! `linear`: a fully connected layer with its epilogue.

use super::{Activation, Storage, Tensor, host, work};
use crate::Result;
use easel_cpu::Floats;

/// The operations on a product before it is stored: `activation(product + bias + residual)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to the product; in the shape of the result.
    pub residual: Option<&'a Tensor>,
    /// Applied last.
    pub activation: Activation,
}

impl<'a> Epilogue<'a> {
    /// Adds `residual`.
    pub fn residual(residual: &'a Tensor) -> Self {
        Self { residual: Some(residual), activation: Activation::None }
    }

    /// Applies `activation`.
    pub fn activation(activation: Activation) -> Self {
        Self { residual: None, activation }
    }
}

impl Tensor {
    /// `activation(x W^T + bias + residual)` with `self` `[.., in]`, weight `[out, in]`, bias `[out]`: `[.., out]`.
    pub fn linear(&self, weight: &Self, bias: Option<&Self>, epilogue: Epilogue<'_>) -> Result<Self> {
        const OP: &str = "linear";
        let ([m, n, k], shape) = self.product(OP, weight)?;
        check_epilogue(OP, &shape, bias, &epilogue)?;
        work::count([m, n, k]);
        match &self.storage {
            Storage::Cpu(x) => {
                let x = x.f32(OP)?;
                let weight = weight.host(OP)?.matrix(OP)?;
                let bias = host::optional(OP, bias)?;
                let residual = host::optional(OP, epilogue.residual)?;
                let mut out = Floats::take(m * n);
                let bias = bias.as_deref();
                let residual = residual.as_deref();
                easel_cpu::linear::linear(x, [m, n, k], weight, bias, residual, epilogue.activation, &mut out);
                Ok(Self::made(out, &shape))
            }
            Storage::Gpu(x) => x.linear(weight, bias, epilogue),
            Storage::Candle(x) => x.linear(weight, bias, epilogue),
            Storage::Outline(x) => x.linear(weight, [m, n, k], &shape),
        }
    }

    /// [`linear`](Self::linear) to `[.., 2 * width]`, then [`geglu`](Self::geglu) to `[.., width]`.
    pub fn linear_geglu(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        const OP: &str = "linear_geglu";
        let ([m, n, k], mut shape) = self.product(OP, weight)?;
        check_epilogue(OP, &shape, bias, &Epilogue::default())?;
        match shape.last_mut().filter(|width| **width > 0 && width.is_multiple_of(2)) {
            Some(width) => *width /= 2,
            None => return Err(weight.shape_error(OP, "an even number of rows")),
        }
        if let Storage::Outline(x) = &self.storage {
            return x.linear_geglu(weight, [m, n, k], &shape);
        }
        let Storage::Cpu(x) = &self.storage else { return self.linear(weight, bias, Epilogue::default())?.geglu() };
        work::count([m, n, k]);
        let x = x.f32(OP)?;
        let weight = weight.host(OP)?.matrix(OP)?;
        let bias = host::optional(OP, bias)?;
        let mut out = Floats::take(m * (n / 2));
        easel_cpu::linear::linear_geglu(x, [m, n, k], weight, bias.as_deref(), &mut out);
        Ok(Self::made(out, &shape))
    }

    /// The sizes `[m, n, k]` and the shape of the product with `weight` `[n, k]`.
    fn product(&self, op: &'static str, weight: &Self) -> Result<([usize; 3], Vec<usize>)> {
        let [n, k] = weight.dims(op)?;
        let mut shape = self.shape().to_vec();
        match shape.split_last_mut() {
            Some((last, rest)) if *last == k => {
                *last = n;
                let m = rest.iter().product();
                Ok(([m, n, k], shape))
            }
            _ => Err(self.shape_error(op, format!("[.., {k}] for a weight of shape [{n}, {k}]"))),
        }
    }
}

/// Checks bias and residual against the shape of the result.
pub(super) fn check_epilogue(
    op: &'static str,
    shape: &[usize],
    bias: Option<&Tensor>,
    epilogue: &Epilogue<'_>,
) -> Result<()> {
    let out = shape.last().copied().unwrap_or(0);
    if let Some(bias) = bias.filter(|bias| bias.shape() != [out]) {
        return Err(bias.shape_error(op, format!("a bias of shape [{out}]")));
    }
    match epilogue.residual.filter(|residual| residual.shape() != shape) {
        Some(residual) => Err(residual.shape_error(op, format!("a residual of shape {shape:?}"))),
        None => Ok(()),
    }
}
