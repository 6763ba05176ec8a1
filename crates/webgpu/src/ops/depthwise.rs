//! `depthwise`: a convolution in which every channel has a kernel of its own.

use super::{
    Activation, Conv2d, Launch, activation_constant, activation_format, width, width_constant, words, writable,
};
use crate::shader::{Constant, Format, Kernel};
use crate::{Array, Context, Result};

const OP: &str = "depthwise";

/// Convolution of each channel of `x` `[n, h, w, c]` with its own kernel of `weight` `[kh, kw, c]` and bias `[c]`, then the
/// activation: `[n, h', w', c]`. The padding is the same on all sides, and nothing is stretched.
///
/// # Errors
/// If a shape or format does not fit.
pub fn depthwise(
    context: &Context,
    x: &Array,
    weight: &Array,
    bias: &Array,
    conv: Conv2d,
    activation: Activation,
) -> Result<Array> {
    let input = x.dims(OP)?;
    let [kernel_height, kernel_width, channels] = weight.dims(OP)?;
    let shape = conv.of(input, [channels, kernel_height, kernel_width, input[3]]);
    let fits = bias.shape() == [channels] && conv.stretch_to.is_none();
    let Some(shape) = shape.filter(|_| fits && input[3] == channels) else {
        return Err(x.shape_error(OP, format!("[n, h, w, {channels}] of at least {kernel_height}x{kernel_width}")));
    };
    let [out_height, out_width] = shape.output;
    let out = [input[0], out_height, out_width, channels];
    let y = Array::alloc(context, &out, writable(context, activation_format(OP, x)?)?)?;
    let width = width(&[channels]);
    let count = y.elements() / width;
    let [_, height, across, _] = input;
    let sizes = [count, channels / width, height, across, out_height, out_width];
    let geometry = [kernel_height, kernel_width, conv.stride, conv.padding_before];
    let uniforms = [words(sizes).as_slice(), &words(geometry)].concat();
    let kernel = kernel([x.format(), weight.format(), bias.format(), y.format()], activation, width);
    Launch { kernel, inputs: &[x, weight, bias], outputs: &[&y], uniforms: &uniforms }.run_each(context, count)?;
    Ok(y)
}

pub(super) fn kernel(formats: [Format; 4], activation: Activation, width: usize) -> Kernel {
    let [x, weight, bias, y] = formats.map(Constant::Format);
    let constants =
        vec![("X", x), ("W", weight), ("B", bias), ("Y", y), activation_constant(activation), width_constant(width)];
    Kernel { name: OP, source: include_str!("../kernels/depthwise.wgsl"), constants }
}
