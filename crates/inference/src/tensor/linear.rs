//! `linear`: a fully connected layer with its epilogue.

use super::{Activation, Storage, Tensor, backend, cpu, work};
use crate::Result;

/// What happens to a product before it is stored: `activation(product + bias + residual)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to the product; has the shape of the result.
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
        let [n, k] = weight.dims(OP)?;
        let mut shape = self.shape().to_vec();
        let m = match shape.split_last_mut() {
            Some((last, rest)) if *last == k => {
                *last = n;
                rest.iter().product()
            }
            _ => return Err(self.shape_error(OP, format!("[.., {k}] for a weight of shape [{n}, {k}]"))),
        };
        check_epilogue(OP, &shape, bias, &epilogue)?;
        work::count([m, n, k]);
        match &self.storage {
            Storage::Cpu(x) => {
                let x = cpu::Host::open(OP, x)?;
                let weight = cpu::Host::open(OP, weight.candle())?;
                let bias = bias.map(|bias| cpu::widened(OP, bias)).transpose()?;
                let residual = epilogue.residual.map(|r| cpu::Host::open(OP, r.candle())).transpose()?;
                let mut out = vec![0.0; m * n];
                cpu::with_optional(OP, bias.as_ref(), |bias| {
                    cpu::with_optional(OP, residual.as_ref(), |residual| {
                        x.with_f32(OP, |x| {
                            weight.with_weight(OP, |weight| {
                                let activation = epilogue.activation;
                                easel_cpu::linear::linear(x, [m, n, k], weight, bias, residual, activation, &mut out);
                            })
                        })?
                    })
                })?;
                cpu::finish(OP, out, &shape)
            }
            Storage::Candle(x) => {
                let product = || {
                    let weight = weight.candle().to_dtype(x.dtype())?;
                    let product = x.reshape((m, k))?.matmul(&weight.t()?)?.reshape(shape.as_slice())?;
                    match bias {
                        Some(bias) => product.broadcast_add(&bias.candle().to_dtype(x.dtype())?),
                        None => Ok(product),
                    }
                };
                let product = Self { storage: Storage::Candle(product().map_err(backend(OP))?) };
                product.apply_epilogue(&epilogue)
            }
        }
    }

    /// The epilogue as separate ops, for devices without a fused one.
    pub(super) fn apply_epilogue(&self, epilogue: &Epilogue<'_>) -> Result<Self> {
        match epilogue.residual {
            Some(residual) => self.add(residual)?.activation(epilogue.activation),
            None => self.activation(epilogue.activation),
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
