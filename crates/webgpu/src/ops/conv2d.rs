//! `conv2d`: a channels-last convolution with nearest-neighbour upsampling folded in, and its epilogue.

use super::linear::{Formats, Part, Product, first_part};
use super::pieces::aligned;
use super::tile::Tile;
use super::{Conv2d, Epilogue, Launch, linear, width};
use crate::shader::{Constant, Kernel};
use crate::{Array, Context, Result};
use std::ops::Range;

const OP: &str = "conv2d";

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
    let geometry = Geometry::new(x, weight, conv)?;
    let [out_height, out_width] = geometry.output;
    let channels = geometry.kernel[2];
    if geometry.kernel[..2] == [1, 1] && conv == Conv2d::padded(0) {
        let flat: Result<Vec<_>> = weight.iter().map(|part| part.reshape(&[part.shape()[0], channels])).collect();
        return linear(context, x, &flat?, bias, epilogue);
    }
    let out_channels = weight.iter().map(|part| part.shape()[0]).sum();
    let shape = [x.shape()[0], out_height, out_width, out_channels];
    let product = Product::new(OP, context, x, bias, epilogue, &shape, width(&[channels]))?;
    for lines in geometry.pieces(&product) {
        let source = geometry.source(x, &lines);
        let row = geometry.input[1] * channels;
        let operand = x.part(source.start * row, source.len() * row)?;
        let rows = lines.start * out_width..lines.end * out_width;
        let first = [lines.start, source.start];
        product.for_each_part(weight, &operand, &rows, |part| geometry.run(&product, part, first))?;
    }
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
    fn new(x: &Array, weight: &[Array], conv: Conv2d) -> Result<Self> {
        let input = x.dims(OP)?;
        let [_, kernel_height, kernel_width, _] = first_part(OP, weight)?.dims(OP)?;
        let kernel = [kernel_height, kernel_width, input[3]];
        if let Some(part) = weight.iter().find(|part| part.shape().len() != 4 || part.shape()[1..] != kernel) {
            return Err(
                part.shape_error(OP, format!("a weight of shape [out, {kernel_height}, {kernel_width}, {}]", input[3]))
            );
        }
        // No part may be empty.
        let outputs = weight.iter().map(|part| part.shape()[0]).min().unwrap_or(0);
        let Some(shape) = conv.of(input, [outputs, kernel_height, kernel_width, input[3]]) else {
            let expected = format!("[n, h, w, c] of at least {kernel_height}x{kernel_width} with padding");
            return Err(x.shape_error(OP, expected));
        };
        Ok(Self { input: shape.input, stretched: shape.stretched, kernel, output: shape.output, conv })
    }

    /// Runs of output lines, counted over the whole batch, whose output and input both fit the binding limit.
    fn pieces(&self, product: &Product<'_>) -> Vec<Range<usize>> {
        let limit = product.context.capabilities().limits.storage_binding;
        let line = product.y.bytes_of(self.output[1] * product.stride());
        let lines = product.y.elements() / (self.output[1] * product.stride());
        let row = product.x.bytes_of(self.input[1] * self.kernel[2]);
        // An offset that is aligned for two-byte elements is aligned for all formats.
        let narrow = 2 * (self.output[1] * product.stride()) as u64;
        let fits = |piece: &Range<usize>| {
            piece.len() as u64 * line <= limit && self.source(product.x, piece).len() as u64 * row <= limit
        };
        let mut pieces = Vec::new();
        let mut start = 0;
        while start < lines {
            let mut end = lines;
            // Halving ends at the smallest aligned run of lines. If that does not fit, the dispatch refuses it.
            while !fits(&(start..end)) {
                match aligned(start + (end - start) / 2, narrow) {
                    middle if middle > start => end = middle,
                    _ => break,
                }
            }
            pieces.push(start..end);
            start = end;
        }
        pieces
    }

    /// The stored rows that these output lines read, counted over the whole batch and beginning at an aligned row.
    fn source(&self, x: &Array, lines: &Range<usize>) -> Range<usize> {
        let [height, width] = self.input;
        let [out_height, _] = self.output;
        let row = |line: usize, tap: usize| {
            let place = (line % out_height * self.conv.stride + tap).saturating_sub(self.conv.padding_before);
            line / out_height * height + (place * height / self.stretched[0]).min(height - 1)
        };
        let first = row(lines.start, 0).saturating_sub(1);
        let end = (row(lines.end - 1, self.kernel[0] - 1) + 2).min(x.shape()[0] * height);
        aligned(first, x.bytes_of(width * self.kernel[2]))..end
    }

    /// Records a part of the result. `first` has its first output line and first stored row.
    fn run(&self, product: &Product<'_>, part: Part<'_>, first: [usize; 2]) -> Result<()> {
        let Part { inputs, y, weight, column, rows: m } = part;
        let n = weight.shape()[0];
        let k = self.kernel.iter().product();
        let tile = Tile::choose(product.context.capabilities(), product.formats(weight), m, n);
        let [tiles_m, tiles_n] = tile.count(m, n);
        let scale = |axis: usize| (self.input[axis] as f32 / self.stretched[axis] as f32).to_bits();
        let [h, w] = self.input;
        let [stretched_h, stretched_w] = self.stretched;
        let [out_h, out_w] = self.output;
        let [kernel_h, kernel_w, channels] = self.kernel;
        let Conv2d { stride, padding_before, .. } = self.conv;
        tile.cover(product.context, [m, n, k], |first_tile, count, work| {
            let sizes = [m, n, product.stride(), column, tile.steps(k), tiles_m, tiles_n, first_tile];
            let mut uniforms = super::words(sizes).to_vec();
            uniforms.extend(super::words([h, w, stretched_h, stretched_w]));
            uniforms.extend([scale(0), scale(1)]);
            uniforms.extend(super::words([channels, kernel_h, kernel_w, stride, padding_before, out_h, out_w]));
            uniforms.extend(super::words(first));
            let kernel = kernel(product.formats(weight), tile, self.input != self.stretched);
            let launch = Launch { kernel, inputs, outputs: &[y], uniforms: &uniforms };
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
