//! `conv2d`: a channels-last convolution with nearest-neighbour upsampling folded in, and its epilogue.

use super::linear::check_epilogue;
use super::{DType, Epilogue, Storage, Tensor, host, work};
use crate::Result;
use easel_cpu::Floats;
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
        work::count([out_shape.iter().product(), weight.elements() / shape.out_channels.max(1)]);
        match &self.storage {
            Storage::Cpu(x) => {
                if weight.dtype() == DType::Q8_0 {
                    return Err(host::unsupported(OP, DType::Q8_0));
                }
                let x = x.f32(OP)?;
                let weight = weight.host(OP)?.matrix(OP)?;
                let bias = host::optional(OP, bias)?;
                let residual = host::optional(OP, epilogue.residual)?;
                let mut out = Floats::take(out_shape.iter().product());
                let bias = bias.as_deref();
                let residual = residual.as_deref();
                easel_cpu::conv2d::conv2d(x, &shape, weight, bias, residual, epilogue.activation, &mut out);
                Ok(Self::made(out, &out_shape))
            }
            Storage::Gpu(x) => x.conv2d(weight, bias, conv, epilogue),
            Storage::Candle(x) => x.conv2d(weight, bias, conv, epilogue),
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
