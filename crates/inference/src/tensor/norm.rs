//! `group_norm` and `layer_norm`, with the activation that follows them.

use super::{Activation, Storage, Tensor, backend, cpu};
use crate::Result;
use candle_core::{D, DType};

impl Tensor {
    /// Group norm over the last axis of `[n, .., c]` in `groups`, then the activation.
    pub fn group_norm(
        &self,
        groups: usize,
        eps: f64,
        weight: &Self,
        bias: &Self,
        activation: Activation,
    ) -> Result<Self> {
        const OP: &str = "group_norm";
        let (channels, batch) = (*self.shape().last().unwrap_or(&0), *self.shape().first().unwrap_or(&0));
        let fits = groups > 0 && channels % groups == 0 && self.elements() > 0;
        if !fits || weight.shape() != [channels] || bias.shape() != [channels] {
            let expected = format!("channels divisible by {groups} and weights of shape {:?}", weight.shape());
            return Err(self.shape_error(OP, expected));
        }
        let pixels = self.elements() / batch / channels;
        match &self.storage {
            Storage::Cpu(x) => {
                let (weight, bias) = (cpu::widened(OP, weight)?, cpu::widened(OP, bias)?);
                let x = cpu::Host::open(OP, x)?;
                let mut out = vec![0.0; self.elements()];
                x.with_f32(OP, |x| {
                    weight.with_f32(OP, |w| {
                        bias.with_f32(OP, |b| {
                            let shape = [batch, pixels, channels];
                            easel_cpu::norm::group_norm(x, shape, groups, eps as f32, w, b, activation, &mut out);
                        })
                    })
                })???;
                cpu::finish(OP, out, self.shape())
            }
            Storage::Candle(x) => {
                let normed = || {
                    let x = x.to_dtype(DType::F32)?.reshape((batch, pixels, groups, channels / groups))?;
                    let centred = x.broadcast_sub(&x.mean_keepdim((1, 3))?)?;
                    let variance = centred.sqr()?.mean_keepdim((1, 3))?;
                    let y = centred.broadcast_div(&(variance + eps)?.sqrt()?)?.reshape(self.shape())?;
                    y.broadcast_mul(&weight.candle().to_dtype(DType::F32)?)?
                        .broadcast_add(&bias.candle().to_dtype(DType::F32)?)
                };
                let normed = normed().and_then(|y| y.to_dtype(x.dtype())).map_err(backend(OP))?;
                Self { storage: Storage::Candle(normed) }.activation(activation)
            }
        }
    }

    /// Layer norm over the last axis, with weight and bias of that axis' size.
    pub fn layer_norm(&self, eps: f64, weight: &Self, bias: &Self) -> Result<Self> {
        const OP: &str = "layer_norm";
        let width = *self.shape().last().unwrap_or(&0);
        if width == 0 || weight.shape() != [width] || bias.shape() != [width] {
            return Err(self.shape_error(OP, format!("a last axis of {:?}", weight.shape())));
        }
        match &self.storage {
            Storage::Cpu(x) => {
                let (weight, bias) = (cpu::widened(OP, weight)?, cpu::widened(OP, bias)?);
                let x = cpu::Host::open(OP, x)?;
                let mut out = vec![0.0; self.elements()];
                x.with_f32(OP, |x| {
                    weight.with_f32(OP, |w| {
                        bias.with_f32(OP, |b| {
                            easel_cpu::norm::layer_norm(x, width, eps as f32, Some(w), Some(b), &mut out);
                        })
                    })
                })???;
                cpu::finish(OP, out, self.shape())
            }
            Storage::Candle(x) => {
                let normed = || {
                    let wide = x.to_dtype(DType::F32)?;
                    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
                    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
                    let y = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
                    y.broadcast_mul(&weight.candle().to_dtype(DType::F32)?)?
                        .broadcast_add(&bias.candle().to_dtype(DType::F32)?)?
                        .to_dtype(x.dtype())
                };
                Ok(Self { storage: Storage::Candle(normed().map_err(backend(OP))?) })
            }
        }
    }
}
