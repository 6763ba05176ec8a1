//! Channels-last convolution as a matrix product whose rows are patches of the picture, which are read in place.

use crate::gemm::{Epilogue, Product, Rows, to_pairs};
use crate::linear::linear;
use crate::weight::Operand;
use crate::winograd;
use crate::{Activation, Matrix};

/// Stride, padding and upsampling of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Stride in both directions.
    pub stride: usize,
    /// Zeros above and to the left.
    pub padding_before: usize,
    /// Zeros below and to the right.
    pub padding_after: usize,
    /// Height and width to which the input is upsampled (nearest neighbour) before the convolution.
    pub stretch_to: Option<[usize; 2]>,
}

impl Conv2d {
    /// Stride 1 and the same padding on all sides.
    pub fn padded(padding: usize) -> Self {
        Self { stride: 1, padding_before: padding, padding_after: padding, stretch_to: None }
    }

    /// The convolution of an input `[n, h, w, in]` with a weight `[out, kh, kw, in]`; `None` if their shapes do not fit
    /// or the output is empty.
    pub fn of(self, input: [usize; 4], weight: [usize; 4]) -> Option<Conv2dShape> {
        let [batch, height, width, in_channels] = input;
        let [out_channels, kernel_height, kernel_width, weight_in] = weight;
        let stretched = self.stretch_to.unwrap_or([height, width]);
        let kernel = [kernel_height, kernel_width];
        let padding = self.padding_before + self.padding_after;
        let is_empty = input.contains(&0) || weight.contains(&0) || stretched.contains(&0);
        let fits = [0, 1].iter().all(|&axis| stretched[axis] + padding >= kernel[axis]);
        if weight_in != in_channels || is_empty || !fits || self.stride == 0 {
            return None;
        }
        Some(Conv2dShape {
            batch,
            input: [height, width],
            stretched,
            in_channels,
            out_channels,
            kernel,
            stride: self.stride,
            padding_before: [self.padding_before; 2],
            output: [0, 1].map(|axis| (stretched[axis] + padding - kernel[axis]) / self.stride + 1),
        })
    }
}

/// A convolution with all its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Pictures in the batch.
    pub batch: usize,
    /// Height and width of the input as stored.
    pub input: [usize; 2],
    /// Height and width to which the input is upsampled (nearest neighbour) before the convolution.
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

    /// Whether every row of every patch is contiguous: without padding or upsampling.
    fn has_whole_rows(&self) -> bool {
        let reach = |i: usize| self.output[i].saturating_sub(1) * self.stride + self.kernel[i];
        self.padding_before == [0, 0]
            && self.input == self.stretched
            && reach(0) <= self.input[0]
            && reach(1) <= self.input[1]
    }
}

/// `out[b, oh, ow, o] = act(sum(x[b, ., ., c] * weight[o, kh, kw, c]) + bias[o] + residual[b, oh, ow, o])`.
pub fn conv2d<'a>(
    x: &[f32],
    shape: &Conv2dShape,
    weight: impl Into<Matrix<'a>>,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
) {
    let m = shape.pixels();
    let n = shape.out_channels;
    let k = shape.patch();
    assert_eq!(out.len(), m * n);
    if out.is_empty() {
        return;
    }
    if shape.is_pointwise() {
        return linear(x, [m, n, k], weight, bias, residual, activation, out);
    }
    let (level, operand) = weight.into().open(n, k);
    let rows = Patches::new(x, shape);
    let epilogue = Epilogue { bias, residual, activation };
    match operand {
        Operand::Floats(panels) if winograd::pays(level, shape) => {
            winograd::convolve(level, &rows, panels, epilogue, out)
        }
        Operand::Floats(panels) => {
            Product { level, m, n, rows: &rows, panels, pairs: false, epilogue }.run(out);
        }
        Operand::Pairs(panels) => {
            assert!(shape.in_channels.is_multiple_of(2), "pairs lie within a pixel");
            let x = to_pairs(x);
            let shape = Conv2dShape { in_channels: shape.in_channels / 2, ..*shape };
            Product { level, m, n, rows: &Patches::new(&x, &shape), panels, pairs: true, epilogue }.run(out);
        }
        Operand::Integers(_) => panic!("convolutions have no kernels in integers"),
    }
}

/// The patches under the output pixels, in one piece per kernel position, or per kernel row if that is contiguous.
pub(crate) struct Patches<'a> {
    x: &'a [f32],
    pub(crate) shape: &'a Conv2dShape,
    whole_rows: bool,
}

impl<'a> Patches<'a> {
    pub(crate) fn new(x: &'a [f32], shape: &'a Conv2dShape) -> Self {
        assert_eq!(x.len(), shape.batch * shape.input[0] * shape.input[1] * shape.in_channels);
        Self { x, shape, whole_rows: shape.has_whole_rows() }
    }

    /// The stored row or column under position `kernel` of the window of output `out`; `None` in the padding.
    #[inline(always)]
    fn stored(&self, axis: usize, out: usize, kernel: usize) -> Option<usize> {
        let at = (out * self.shape.stride + kernel).checked_sub(self.shape.padding_before[axis])?;
        let from = self.shape.input[axis];
        let to = self.shape.stretched[axis];
        if at >= to {
            return None;
        }
        Some(if from == to { at } else { nearest(from, to, at) })
    }

    /// The channels under kernel position `kernel` of the window of output `at`; `None` in the padding.
    #[inline(always)]
    pub(crate) fn pixel(&self, picture: usize, at: [usize; 2], kernel: [usize; 2]) -> Option<&'a [f32]> {
        let row = self.stored(0, at[0], kernel[0])?;
        let column = self.stored(1, at[1], kernel[1])?;
        let pixel = (picture * self.shape.input[0] + row) * self.shape.input[1] + column;
        Some(&self.x[pixel * self.shape.in_channels..])
    }
}

impl Rows for Patches<'_> {
    #[inline(always)]
    fn taps(&self) -> usize {
        if self.whole_rows { self.shape.kernel[0] } else { self.shape.kernel[0] * self.shape.kernel[1] }
    }

    #[inline(always)]
    fn channels(&self) -> usize {
        if self.whole_rows { self.shape.kernel[1] * self.shape.in_channels } else { self.shape.in_channels }
    }

    #[inline(always)]
    fn piece(&self, pixel: usize, tap: usize) -> Option<&[f32]> {
        let [oh, ow] = self.shape.output;
        let columns = self.shape.kernel[1];
        let kernel = if self.whole_rows { [tap, 0] } else { [tap / columns, tap % columns] };
        let stored = self.pixel(pixel / (oh * ow), [pixel / ow % oh, pixel % ow], kernel)?;
        Some(&stored[..self.channels()])
    }
}

/// The source of an upsampled coordinate, rounded as in PyTorch's `nearest`.
#[inline(always)]
fn nearest(from: usize, to: usize, at: usize) -> usize {
    let scale = from as f32 / to as f32;
    ((at as f32 * scale) as usize).min(from - 1)
}
