//! `conv2d`: a channels-last convolution with nearest-neighbour upsampling folded in, and its epilogue.

use super::linear::{Formats, Product, first_part};
use super::tile::Tile;
use super::{Epilogue, Launch, linear, width};
use crate::shader::{Constant, Kernel};
use crate::{Array, Context, Result};

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

/// Convolution of `x` `[n, h, w, in]` with bias `[out]` and weight `[out, kh, kw, in]`, in one or more parts along `out`:
/// `[n, h', w', out]`.
///
/// # Errors
/// If a shape or format does not fit.
pub fn conv2d(
    context: &Context,
    x: &Array,
    weight: &[Array],
    bias: Option<&Array>,
    conv: Conv2d,
    epilogue: Epilogue<'_>,
) -> Result<Array> {
    const OP: &str = "conv2d";
    let [batch, height, width_, channels] = x.dims(OP)?;
    let [_, kernel_height, kernel_width, _] = first_part(OP, weight)?.dims(OP)?;
    let kernel = [kernel_height, kernel_width, channels];
    if let Some(part) = weight.iter().find(|part| part.shape().len() != 4 || part.shape()[1..] != kernel) {
        return Err(
            part.shape_error(OP, format!("a weight of shape [out, {kernel_height}, {kernel_width}, {channels}]"))
        );
    }
    let out_channels = weight.iter().map(|part| part.shape()[0]).sum();
    let stretched = conv.stretch_to.unwrap_or([height, width_]);
    let padding = conv.padding_before + conv.padding_after;
    let fits = stretched[0] + padding >= kernel_height && stretched[1] + padding >= kernel_width;
    let empty = x.elements() == 0 || out_channels == 0 || kernel.contains(&0) || stretched.contains(&0);
    if !fits || empty || conv.stride == 0 {
        return Err(x.shape_error(OP, format!("[n, h, w, c] of at least {kernel_height}x{kernel_width} with padding")));
    }
    let output = [kernel_height, kernel_width];
    let output = [0, 1].map(|axis| (stretched[axis] + padding - output[axis]) / conv.stride + 1);
    let shape = [batch, output[0], output[1], out_channels];
    let pointwise = kernel[..2] == [1, 1] && conv == Conv2d::padded(0);
    if pointwise {
        let flat: Result<Vec<_>> = weight.iter().map(|part| part.reshape(&[part.shape()[0], channels])).collect();
        return linear(context, x, &flat?, bias, epilogue);
    }
    let product = Product::new(OP, context, x, bias, epilogue, &shape, width(&[channels]))?;
    let geometry = Geometry { input: [height, width_], stretched, kernel, output, conv };
    product.for_each_part(weight, |inputs, column, part| geometry.run(&product, inputs, column, part))?;
    Ok(product.y)
}

struct Geometry {
    input: [usize; 2],
    stretched: [usize; 2],
    /// Height, width, channels.
    kernel: [usize; 3],
    output: [usize; 2],
    conv: Conv2d,
}

impl Geometry {
    fn run(&self, product: &Product<'_>, inputs: &[&Array], column: usize, weight: &Array) -> Result<()> {
        let (m, n) = (product.y.elements() / product.stride(), weight.shape()[0]);
        let k = self.kernel.iter().product();
        let tile = Tile::choose(product.context.capabilities(), product.formats(weight), m, n);
        let [tiles_m, tiles_n] = tile.count(m, n);
        let scale = |axis: usize| (self.input[axis] as f32 / self.stretched[axis] as f32).to_bits();
        let ([h, w], [stretched_h, stretched_w], [out_h, out_w]) = (self.input, self.stretched, self.output);
        let [kernel_h, kernel_w, channels] = self.kernel;
        let Conv2d { stride, padding_before, .. } = self.conv;
        tile.cover(product.context, [m, n, k], |first, count, work| {
            let sizes = [m, n, product.stride(), column, tile.steps(k), tiles_m, tiles_n, first];
            let mut uniforms = super::words(sizes).to_vec();
            uniforms.extend(super::words([h, w, stretched_h, stretched_w]));
            uniforms.extend([scale(0), scale(1)]);
            uniforms.extend(super::words([channels, kernel_h, kernel_w, stride, padding_before, out_h, out_w]));
            let kernel = kernel(product.formats(weight), tile, self.input != self.stretched);
            let launch = Launch { kernel, inputs, outputs: &[&product.y], uniforms: &uniforms };
            launch.run(product.context, count, work)
        })
    }
}

pub(super) fn kernel(formats: Formats, tile: Tile, stretch: bool) -> Kernel {
    let mut constants = formats.constants();
    constants.extend(tile.constants());
    constants.push(("STRETCH", Constant::Bool(stretch)));
    Kernel { name: "conv2d", source: include_str!("../kernels/conv2d.wgsl"), constants }
}
