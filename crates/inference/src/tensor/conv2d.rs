//! `conv2d`: a channels-last convolution with nearest-neighbour upsampling folded in, and its epilogue.

use super::linear::check_epilogue;
use super::{Epilogue, Storage, Tensor, host, work};
use crate::Result;
use easel_cpu::Floats;
use easel_cpu::conv2d::Conv2dShape;

pub use easel_cpu::conv2d::Conv2d;

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
                if weight.dtype().is_blocks() {
                    return Err(host::unsupported(OP, weight.dtype()));
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
            Storage::Outline(x) => x.conv2d(weight, &shape, &out_shape),
        }
    }

    fn conv2d_shape(&self, weight: &Self, conv: Conv2d) -> Result<Conv2dShape> {
        const OP: &str = "conv2d";
        let weight = weight.dims(OP)?;
        let shape = conv.of(self.dims(OP)?, weight);
        shape.ok_or_else(|| {
            let [_, kh, kw, inputs] = weight;
            self.shape_error(OP, format!("[n, h, w, {inputs}] of at least {kh}x{kw} with padding"))
        })
    }
}
