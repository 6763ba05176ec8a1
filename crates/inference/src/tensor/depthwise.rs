//! `depthwise`: a convolution in which every channel has a kernel of its own, and its activation.

use super::{Activation, Conv2d, Storage, Tensor, work};
use crate::Result;
use easel_cpu::Floats;

impl Tensor {
    /// Convolution of each channel of `self` `[n, h, w, c]` with its own kernel of `weight` `[kh, kw, c]` and bias `[c]`:
    /// `[n, h', w', c]`. The padding is the same on all sides, and nothing is stretched.
    pub fn depthwise(&self, weight: &Self, bias: &Self, conv: Conv2d, activation: Activation) -> Result<Self> {
        const OP: &str = "depthwise";
        let input = self.dims(OP)?;
        let [kernel_height, kernel_width, channels] = weight.dims(OP)?;
        let plain = conv.stretch_to.is_none() && conv.padding_before == conv.padding_after;
        let fits = plain && bias.shape() == [channels] && input[3] == channels;
        let shape = conv.of(input, [channels, kernel_height, kernel_width, input[3]]);
        let Some(shape) = shape.filter(|_| fits) else {
            let expected = format!("[n, h, w, {channels}] of at least {kernel_height}x{kernel_width} with padding");
            return Err(self.shape_error(OP, expected));
        };
        let out_shape = [input[0], shape.output[0], shape.output[1], channels];
        work::count([out_shape.iter().product(), kernel_height * kernel_width]);
        match &self.storage {
            Storage::Cpu(x) => {
                let weight = weight.host(OP)?.widened(OP)?;
                let bias = bias.host(OP)?.widened(OP)?;
                let mut out = Floats::take(out_shape.iter().product());
                easel_cpu::depthwise::depthwise(x.f32(OP)?, &shape, &weight, &bias, activation, &mut out);
                Ok(Self::made(out, &out_shape))
            }
            Storage::Gpu(x) => x.depthwise(weight, bias, conv, activation),
            Storage::Candle(x) => x.depthwise(weight, bias, conv, activation),
            Storage::Outline(x) => Ok(x.made(&out_shape)),
        }
    }
}
