//! The ops on candle tensors: candle-nn's fused kernels where they exist (layer norm, softmax, attention on Metal),
//! otherwise compositions of candle's ops.
//!
//! candle-flash-attn is not used on CUDA: it only takes 16-bit activations, and activations are `f32` here.

use super::attention::{attention, distances, rope};
use super::{Candle, backend, made, operand, optional};
use crate::Result;
use crate::tensor::{Activation, Conv2d, Epilogue, Scores, Tensor, host};
use candle_core::{D, DType};
use easel_cpu::elementwise::Binary;

impl Candle {
    pub(in crate::tensor) fn linear(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        epilogue: Epilogue<'_>,
    ) -> Result<Tensor> {
        const OP: &str = "linear";
        let weight = operand(OP, weight)?;
        let bias = optional(OP, bias)?;
        with_epilogue(made(OP, product(&self.0, weight, bias))?, &epilogue)
    }

    pub(in crate::tensor) fn conv2d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        conv: Conv2d,
        epilogue: Epilogue<'_>,
    ) -> Result<Tensor> {
        const OP: &str = "conv2d";
        let weight = operand(OP, weight)?;
        let bias = optional(OP, bias)?;
        with_epilogue(made(OP, convolution(&self.0, weight, bias, conv))?, &epilogue)
    }

    pub(in crate::tensor) fn depthwise(
        &self,
        weight: &Tensor,
        bias: &Tensor,
        conv: Conv2d,
        activation: Activation,
    ) -> Result<Tensor> {
        const OP: &str = "depthwise";
        made(OP, depthwise(&self.0, operand(OP, weight)?, operand(OP, bias)?, conv))?.activation(activation)
    }

    pub(in crate::tensor) fn attention(
        &self,
        key: &Tensor,
        value: &Tensor,
        heads: usize,
        scores: Scores<'_>,
    ) -> Result<Tensor> {
        const OP: &str = "attention";
        let relative = scores.relative.map(|relative| -> Result<candle_core::Tensor> {
            let positions = [operand(OP, relative.rows)?, operand(OP, relative.columns)?];
            distances(relative.grid, positions).map_err(backend(OP))
        });
        let relative = relative.transpose()?;
        let bias = optional(OP, scores.bias)?.or(relative.as_ref());
        made(OP, attention(&self.0, [operand(OP, key)?, operand(OP, value)?], heads, scores, bias))
    }

    pub(in crate::tensor) fn rope(&self, angles: &Tensor) -> Result<Tensor> {
        const OP: &str = "rope";
        made(OP, rope(&self.0, operand(OP, angles)?))
    }

    pub(in crate::tensor) fn group_norm(
        &self,
        groups: usize,
        eps: f64,
        [weight, bias]: [&Tensor; 2],
        activation: Activation,
    ) -> Result<Tensor> {
        const OP: &str = "group_norm";
        let weight = operand(OP, weight)?;
        let bias = operand(OP, bias)?;
        made(OP, group_norm(&self.0, groups, eps, [weight, bias]))?.activation(activation)
    }

    pub(in crate::tensor) fn layer_norm(&self, eps: f64, [weight, bias]: [&Tensor; 2]) -> Result<Tensor> {
        const OP: &str = "layer_norm";
        let weight = operand(OP, weight)?;
        let bias = operand(OP, bias)?;
        made(OP, layer_norm(&self.0, eps, [weight, bias]))
    }

    pub(in crate::tensor) fn modulated_norm(&self, eps: f64, [scale, shift]: [&Tensor; 2]) -> Result<Tensor> {
        const OP: &str = "modulated_norm";
        let scale = operand(OP, scale)?;
        let shift = operand(OP, shift)?;
        made(OP, modulated_norm(&self.0, eps, [scale, shift]))
    }

    pub(in crate::tensor) fn rms_norm(&self, eps: f64, weight: &Tensor) -> Result<Tensor> {
        const OP: &str = "rms_norm";
        made(OP, rms_norm(&self.0, eps, operand(OP, weight)?))
    }

    pub(in crate::tensor) fn activation(&self, activation: Activation) -> Result<Tensor> {
        let x = &self.0;
        let y = match activation {
            Activation::None => Ok(x.clone()),
            Activation::Relu => x.relu(),
            Activation::Silu => x.silu(),
            Activation::Gelu => x.gelu_erf(),
            Activation::GeluTanh => x.gelu(),
            Activation::QuickGelu => (x * 1.702).and_then(|y| sigmoid(&y)).and_then(|gate| x * gate),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => sigmoid(x),
        };
        made("activation", y)
    }

    pub(in crate::tensor) fn geglu(&self) -> Result<Tensor> {
        made("geglu", geglu(&self.0))
    }

    pub(in crate::tensor) fn embedding(&self, ids: &Tensor) -> Result<Tensor> {
        const OP: &str = "embedding";
        made(OP, rows(&self.0, operand(OP, ids)?))
    }

    pub(in crate::tensor) fn binary(&self, op: &'static str, operation: Binary, other: &Tensor) -> Result<Tensor> {
        let x = &self.0;
        let y = operand(op, other)?;
        if !x.device().same_device(y.device()) {
            return Err(host::elsewhere(op, other, self.home().name()));
        }
        let y = y.to_dtype(x.dtype()).map_err(backend(op))?;
        let result = match operation {
            Binary::Add => x.broadcast_add(&y),
            Binary::Sub => x.broadcast_sub(&y),
            Binary::Mul => x.broadcast_mul(&y),
            Binary::Div => x.broadcast_div(&y),
        };
        made(op, result)
    }

    pub(in crate::tensor) fn affine(&self, scale: f64, offset: f64) -> Result<Tensor> {
        made("affine", self.0.affine(scale, offset))
    }

    pub(in crate::tensor) fn clamp(&self, low: f32, high: f32) -> Result<Tensor> {
        made("clamp", self.0.clamp(low, high))
    }

    pub(in crate::tensor) fn exp(&self) -> Result<Tensor> {
        made("exp", self.0.exp())
    }

    /// Mean and standard deviation, in the shape `keep`.
    pub(in crate::tensor) fn mean_and_std(&self, keep: &[usize]) -> Result<(Tensor, Tensor)> {
        const OP: &str = "mean_and_std";
        let flat = self.0.reshape((keep[0], ())).map_err(backend(OP))?;
        let mean = flat.mean_keepdim(1).and_then(|mean| mean.reshape(keep));
        let std = flat.var_keepdim(1).and_then(|variance| variance.sqrt()?.reshape(keep));
        Ok((made(OP, mean)?, made(OP, std)?))
    }

    /// See [`Tensor::dynamic_threshold`]; the quantile is at `fraction` between element `low` and the next.
    pub(in crate::tensor) fn dynamic_threshold(&self, low: usize, fraction: f64, max: f64) -> Result<Tensor> {
        made("dynamic_threshold", dynamic_threshold(&self.0, low, fraction, max))
    }

    pub(in crate::tensor) fn reshape(&self, shape: &[usize]) -> Result<Tensor> {
        made("reshape", self.0.reshape(shape))
    }

    pub(in crate::tensor) fn permute(&self, axes: &[usize]) -> Result<Tensor> {
        made("permute", self.0.permute(axes).and_then(|x| x.contiguous()))
    }

    pub(in crate::tensor) fn narrow(&self, axis: usize, start: usize, length: usize) -> Result<Tensor> {
        made("narrow", self.0.narrow(axis, start, length).and_then(|x| x.contiguous()))
    }

    pub(in crate::tensor) fn concat(&self, tensors: &[&Tensor], axis: usize) -> Result<Tensor> {
        const OP: &str = "concat";
        let parts = tensors.iter().map(|tensor| operand(OP, tensor)).collect::<Result<Vec<_>>>()?;
        made(OP, candle_core::Tensor::cat(&parts, axis).and_then(|x| x.contiguous()))
    }
}

/// The epilogue as separate ops.
fn with_epilogue(product: Tensor, epilogue: &Epilogue<'_>) -> Result<Tensor> {
    match epilogue.residual {
        Some(residual) => product.add(residual)?.activation(epilogue.activation),
        None => product.activation(epilogue.activation),
    }
}

/// A product with a weight `[out, in]`, widened or narrowed to the type of `x`.
fn product(
    x: &candle_core::Tensor,
    weight: &candle_core::Tensor,
    bias: Option<&candle_core::Tensor>,
) -> candle_core::Result<candle_core::Tensor> {
    let mut shape = x.dims().to_vec();
    let width = shape.pop().unwrap_or(0);
    shape.push(weight.dim(0)?);
    let weight = weight.to_dtype(x.dtype())?;
    let rows = x.elem_count() / width.max(1);
    let product = x.reshape((rows, width))?.matmul(&weight.t()?)?.reshape(shape)?;
    match bias {
        Some(bias) => product.broadcast_add(&bias.to_dtype(x.dtype())?),
        None => Ok(product),
    }
}

/// A convolution with candle's kernels, which take `[n, c, h, w]`.
fn convolution(
    x: &candle_core::Tensor,
    weight: &candle_core::Tensor,
    bias: Option<&candle_core::Tensor>,
    conv: Conv2d,
) -> candle_core::Result<candle_core::Tensor> {
    let mut x = x.permute((0, 3, 1, 2))?;
    if let Some([h, w]) = conv.stretch_to {
        x = x.contiguous()?.upsample_nearest2d(h, w)?;
    }
    for axis in [2, 3] {
        x = x.pad_with_zeros(axis, conv.padding_before, conv.padding_after)?;
    }
    let weight = weight.to_dtype(x.dtype())?.permute((0, 3, 1, 2))?.contiguous()?;
    let y = x.contiguous()?.conv2d(&weight, 0, conv.stride, 1, 1)?.permute((0, 2, 3, 1))?.contiguous()?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?),
        None => Ok(y),
    }
}

/// A convolution with as many groups as channels; `weight` is `[kh, kw, c]`.
fn depthwise(
    x: &candle_core::Tensor,
    weight: &candle_core::Tensor,
    bias: &candle_core::Tensor,
    conv: Conv2d,
) -> candle_core::Result<candle_core::Tensor> {
    let channels = x.dim(3)?;
    let weight = weight.to_dtype(x.dtype())?.permute((2, 0, 1))?.unsqueeze(1)?.contiguous()?;
    let x = x.permute((0, 3, 1, 2))?.contiguous()?;
    let y = x.conv2d(&weight, conv.padding_before, conv.stride, 1, channels)?.permute((0, 2, 3, 1))?.contiguous()?;
    y.broadcast_add(&bias.to_dtype(y.dtype())?)
}

fn group_norm(
    x: &candle_core::Tensor,
    groups: usize,
    eps: f64,
    [weight, bias]: [&candle_core::Tensor; 2],
) -> candle_core::Result<candle_core::Tensor> {
    let batch = x.dim(0)?;
    let channels = x.dim(D::Minus1)?;
    let pixels = x.elem_count() / batch / channels;
    let wide = x.to_dtype(DType::F32)?.reshape((batch, pixels, groups, channels / groups))?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim((1, 3))?)?;
    let variance = centred.sqr()?.mean_keepdim((1, 3))?;
    let y = centred.broadcast_div(&(variance + eps)?.sqrt()?)?.reshape(x.shape())?;
    let y = y.broadcast_mul(&weight.to_dtype(DType::F32)?)?.broadcast_add(&bias.to_dtype(DType::F32)?)?;
    y.to_dtype(x.dtype())
}

/// Rows with mean 0 and variance 1, in `f32`.
fn normal_rows(x: &candle_core::Tensor, eps: f64) -> candle_core::Result<candle_core::Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + eps)?.sqrt()?)
}

/// `scale` and `shift` are `[n, width]`, one row per entry of the batch.
fn modulated_norm(
    x: &candle_core::Tensor,
    eps: f64,
    [scale, shift]: [&candle_core::Tensor; 2],
) -> candle_core::Result<candle_core::Tensor> {
    let factor = (scale.to_dtype(DType::F32)? + 1.0)?.unsqueeze(1)?;
    let shift = shift.to_dtype(DType::F32)?.unsqueeze(1)?;
    normal_rows(x, eps)?.broadcast_mul(&factor)?.broadcast_add(&shift)?.to_dtype(x.dtype())
}

fn rms_norm(
    x: &candle_core::Tensor,
    eps: f64,
    weight: &candle_core::Tensor,
) -> candle_core::Result<candle_core::Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let square = wide.sqr()?.mean_keepdim(D::Minus1)?;
    let y = wide.broadcast_div(&(square + eps)?.sqrt()?)?;
    y.broadcast_mul(&weight.to_dtype(DType::F32)?)?.to_dtype(x.dtype())
}

fn layer_norm(
    x: &candle_core::Tensor,
    eps: f64,
    [weight, bias]: [&candle_core::Tensor; 2],
) -> candle_core::Result<candle_core::Tensor> {
    let weight = weight.to_dtype(x.dtype())?;
    let bias = bias.to_dtype(x.dtype())?;
    candle_nn::ops::layer_norm(&x.contiguous()?, &weight, &bias, eps as f32)
}

/// The left half times the GELU of the right half.
fn geglu(x: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
    let width = x.dim(D::Minus1)? / 2;
    let gate = x.narrow(D::Minus1, width, width)?.contiguous()?.gelu_erf()?;
    x.narrow(D::Minus1, 0, width)? * gate
}

/// Rows of a table as `f32`.
fn rows(table: &candle_core::Tensor, ids: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
    let mut shape = ids.dims().to_vec();
    shape.push(table.dim(1)?);
    table.index_select(&ids.flatten_all()?, 0)?.to_dtype(DType::F32)?.reshape(shape)
}

fn dynamic_threshold(
    x: &candle_core::Tensor,
    low: usize,
    fraction: f64,
    max: f64,
) -> candle_core::Result<candle_core::Tensor> {
    let flat = x.reshape((x.dim(0)?, ()))?.contiguous()?;
    let last = flat.dim(1)? - 1;
    let (sorted, _) = flat.abs()?.sort_last_dim(true)?;
    let below = sorted.narrow(1, low, 1)?;
    let above = sorted.narrow(1, (low + 1).min(last), 1)?;
    let quantile = (&below + (above - &below)?.affine(fraction, 0.0)?)?;
    let limit = quantile.maximum(1.0)?.minimum(max)?;
    let limited = flat.broadcast_minimum(&limit)?.broadcast_maximum(&limit.neg()?)?;
    limited.broadcast_div(&limit)?.reshape(x.shape())
}

fn sigmoid(x: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}
