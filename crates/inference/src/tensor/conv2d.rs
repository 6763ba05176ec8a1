//! `conv2d`: a channels-last convolution with nearest-neighbour upsampling folded in, and its epilogue.

use super::linear::check_epilogue;
use super::{Epilogue, Storage, Tensor, backend, cpu};
use crate::Result;
use easel_cpu::conv2d::Conv2dShape;

/// Stride, padding and upsampling of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Step in both directions.
    pub stride: usize,
    /// Zeros above and to the left.
    pub padding_before: usize,
    /// Zeros below and to the right.
    pub padding_after: usize,
    /// Height and width that the input is stretched to (nearest neighbour) before the convolution.
    pub stretch_to: Option<[usize; 2]>,
}

impl Conv2d {
    /// Stride 1 and the same padding on all sides.
    pub fn padded(padding: usize) -> Self {
        Self { stride: 1, padding_before: padding, padding_after: padding, stretch_to: None }
    }
}

impl Tensor {
    /// Convolution of `self` `[n, h, w, in]` with weight `[out, kh, kw, in]` and bias `[out]`: `[n, h', w', out]`.
    pub fn conv2d(&self, weight: &Self, bias: Option<&Self>, conv: Conv2d, epilogue: Epilogue<'_>) -> Result<Self> {
        const OP: &str = "conv2d";
        let shape = self.conv2d_shape(weight, conv)?;
        let out_shape = [shape.batch, shape.output[0], shape.output[1], shape.out_channels];
        check_epilogue(OP, &out_shape, bias, &epilogue)?;
        match &self.storage {
            Storage::Cpu(x) => {
                let x = cpu::Host::open(OP, x)?;
                let weight = cpu::Host::open(OP, weight.candle())?;
                let bias = bias.map(|bias| cpu::widened(OP, bias)).transpose()?;
                let residual = epilogue.residual.map(|r| cpu::Host::open(OP, r.candle())).transpose()?;
                let mut out = vec![0.0; out_shape.iter().product()];
                cpu::with_optional(OP, bias.as_ref(), |bias| {
                    cpu::with_optional(OP, residual.as_ref(), |residual| {
                        x.with_f32(OP, |x| {
                            weight.with_weight(OP, |weight| {
                                let activation = epilogue.activation;
                                easel_cpu::conv2d::conv2d(x, &shape, weight, bias, residual, activation, &mut out);
                            })
                        })?
                    })
                })?;
                cpu::finish(OP, out, &out_shape)
            }
            Storage::Candle(x) => {
                let y = conv2d_candle(x, weight.candle(), bias.map(Self::candle), conv).map_err(backend(OP))?;
                Self { storage: Storage::Candle(y) }.apply_epilogue(&epilogue)
            }
        }
    }

    fn conv2d_shape(&self, weight: &Self, conv: Conv2d) -> Result<Conv2dShape> {
        const OP: &str = "conv2d";
        let [batch, h, w, in_channels] = self.dims(OP)?;
        let [out_channels, kh, kw, weight_in] = weight.dims(OP)?;
        let stretched = conv.stretch_to.unwrap_or([h, w]);
        let padding = conv.padding_before + conv.padding_after;
        let fits = stretched[0] + padding >= kh && stretched[1] + padding >= kw;
        let empty = self.elements() == 0 || weight.elements() == 0 || stretched.contains(&0);
        if weight_in != in_channels || !fits || empty || conv.stride == 0 {
            let expected = format!("[n, h, w, {weight_in}] of at least {kh}x{kw} with padding");
            return Err(self.shape_error(OP, expected));
        }
        let output = [(stretched[0] + padding - kh) / conv.stride + 1, (stretched[1] + padding - kw) / conv.stride + 1];
        Ok(Conv2dShape {
            batch,
            input: [h, w],
            stretched,
            in_channels,
            out_channels,
            kernel: [kh, kw],
            stride: conv.stride,
            padding_before: [conv.padding_before; 2],
            output,
        })
    }
}

/// The same convolution with candle's kernels, which want `[n, c, h, w]`.
fn conv2d_candle(
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
