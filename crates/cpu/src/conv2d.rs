//! Channels-last convolution as a matrix product whose rows are patches of the picture, read in place.

use crate::gemm::{Epilogue, Packed, Panels, Product, Rows};
use crate::linear::linear;
use crate::winograd;
use crate::{Activation, Level, PackedLinear, Weight};

/// The geometry of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Pictures in the batch.
    pub batch: usize,
    /// Height and width of the input as stored.
    pub input: [usize; 2],
    /// Height and width that the input is stretched to (nearest neighbour) before the convolution.
    pub stretched: [usize; 2],
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Step between output pixels, in both directions.
    pub stride: usize,
    /// Rows of zeros above and columns of zeros to the left.
    pub padding_before: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
}

impl Conv2dShape {
    fn patch(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.in_channels
    }

    fn pixels(&self) -> usize {
        self.batch * self.output[0] * self.output[1]
    }

    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1]
            && self.stride == 1
            && self.padding_before == [0, 0]
            && self.input == self.stretched
            && self.output == self.input
    }

    /// Whether every row of every patch is one piece of memory: nothing is padded and nothing is stretched.
    fn has_whole_rows(&self) -> bool {
        let reach = |i: usize| self.output[i].saturating_sub(1) * self.stride + self.kernel[i];
        self.padding_before == [0, 0]
            && self.input == self.stretched
            && reach(0) <= self.input[0]
            && reach(1) <= self.input[1]
    }
}

/// `out[b, oh, ow, o] = act(sum(x[b, ., ., c] * weight[o, kh, kw, c]) + bias[o] + residual[b, oh, ow, o])`.
pub fn conv2d(
    x: &[f32],
    shape: &Conv2dShape,
    weight: Weight<'_>,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
) {
    let (n, k) = (shape.out_channels, shape.patch());
    assert_eq!((weight.len(), out.len()), (n * k, shape.pixels() * n));
    if shape.is_pointwise() {
        return linear(x, [shape.pixels(), n, k], weight, bias, residual, activation, out);
    }
    let rows = Patches::new(x, shape);
    let epilogue = Epilogue { bias, residual, activation };
    convolve(Level::current(), &rows, Panels::Rows(weight), epilogue, out);
}

/// The way that suits the shape.
fn convolve(level: Level, rows: &Patches<'_>, panels: Panels<'_>, epilogue: Epilogue<'_>, out: &mut [f32]) {
    if winograd::pays(rows) {
        winograd::convolve(level, rows, panels, epilogue, out);
    } else {
        Product { level, m: rows.shape.pixels(), n: rows.shape.out_channels, rows, panels, epilogue }.run(out);
    }
}

/// A convolution's weight `[out, kh, kw, in]` in the order in which the kernel reads it, for layers that run more than
/// once.
///
/// It belongs to the instruction set that was current when it was made, and keeps the type of the weight.
pub struct PackedConv {
    weight: PackedLinear,
    kernel: [usize; 2],
}

impl PackedConv {
    /// Packs `weight[out_channels, kernel height, kernel width, in_channels]`.
    pub fn new(weight: Weight<'_>, out_channels: usize, kernel: [usize; 2], in_channels: usize) -> Self {
        Self { weight: PackedLinear::new(weight, [out_channels, kernel[0] * kernel[1] * in_channels]), kernel }
    }

    /// What [`conv2d`] computes with the weight that this was made of, bit for bit.
    pub fn run(
        &self,
        x: &[f32],
        shape: &Conv2dShape,
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        activation: Activation,
        out: &mut [f32],
    ) {
        let Packed { level, n, k, .. } = self.weight.0;
        assert_eq!((shape.kernel, shape.out_channels, shape.patch()), (self.kernel, n, k));
        if shape.is_pointwise() {
            return self.weight.run(x, shape.pixels(), bias, residual, activation, out);
        }
        let rows = Patches::new(x, shape);
        let epilogue = Epilogue { bias, residual, activation };
        assert_eq!(out.len(), shape.pixels() * n);
        convolve(level, &rows, self.weight.0.panels(), epilogue, out);
    }
}

/// The patches under the output pixels, one piece per kernel position, or per kernel row where that is contiguous.
pub(crate) struct Patches<'a> {
    x: &'a [f32],
    pub(crate) shape: &'a Conv2dShape,
    /// For every stretched row and column the one that is stored.
    source: [Vec<usize>; 2],
    whole_rows: bool,
}

impl<'a> Patches<'a> {
    fn new(x: &'a [f32], shape: &'a Conv2dShape) -> Self {
        assert_eq!(x.len(), shape.batch * shape.input[0] * shape.input[1] * shape.in_channels);
        let source = [0, 1].map(|i| nearest(shape.input[i], shape.stretched[i]));
        Self { x, shape, source, whole_rows: shape.has_whole_rows() }
    }

    /// The stored row or column under position `kernel` of the window of output `out`; `None` in the padding.
    fn stored(&self, axis: usize, out: usize, kernel: usize) -> Option<usize> {
        let at = (out * self.shape.stride + kernel).checked_sub(self.shape.padding_before[axis])?;
        self.source[axis].get(at).copied()
    }

    /// The channels under kernel position `kernel` of the window of output `at`; `None` in the padding.
    #[inline]
    pub(crate) fn pixel(&self, picture: usize, at: [usize; 2], kernel: [usize; 2]) -> Option<&'a [f32]> {
        let row = self.stored(0, at[0], kernel[0])?;
        let column = self.stored(1, at[1], kernel[1])?;
        let pixel = (picture * self.shape.input[0] + row) * self.shape.input[1] + column;
        Some(&self.x[pixel * self.shape.in_channels..])
    }
}

impl Rows for Patches<'_> {
    fn taps(&self) -> usize {
        if self.whole_rows { self.shape.kernel[0] } else { self.shape.kernel[0] * self.shape.kernel[1] }
    }

    fn channels(&self) -> usize {
        if self.whole_rows { self.shape.kernel[1] * self.shape.in_channels } else { self.shape.in_channels }
    }

    fn piece(&self, pixel: usize, tap: usize) -> Option<&[f32]> {
        let [oh, ow] = self.shape.output;
        let columns = self.shape.kernel[1];
        let kernel = if self.whole_rows { [tap, 0] } else { [tap / columns, tap % columns] };
        let stored = self.pixel(pixel / (oh * ow), [pixel / ow % oh, pixel % ow], kernel)?;
        Some(&stored[..self.channels()])
    }
}

/// For every stretched coordinate the source coordinate, as PyTorch's `nearest` rounds it.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    let scale = from as f32 / to as f32;
    (0..to).map(|i| ((i as f32 * scale) as usize).min(from.saturating_sub(1))).collect()
}
