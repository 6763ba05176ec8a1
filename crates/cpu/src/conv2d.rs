//! Channels-last convolution as a matrix product over gathered patches ("im2col"), a block of output pixels at a time.
//!
//! The patches of one block stay in cache and no block is larger than a few MiB, whatever the size of the picture.

use crate::linear::{Matrix, begin_with, linear, product_add};
use crate::parallel::for_each_chunk;
use crate::{Activation, Weight};

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

    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1]
            && self.stride == 1
            && self.padding_before == [0, 0]
            && self.input == self.stretched
            && self.output == self.input
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
    let pixels = shape.batch * shape.output[0] * shape.output[1];
    assert_eq!(x.len(), shape.batch * shape.input[0] * shape.input[1] * shape.in_channels);
    assert_eq!((weight.len(), out.len()), (n * k, pixels * n));
    if shape.is_pointwise() {
        return linear(x, [pixels, n, k], weight, bias, residual, activation, out);
    }
    if out.is_empty() {
        return;
    }
    begin_with(out, n, bias, residual);
    let columns = nearest(shape.input[1], shape.stretched[1]);
    let rows = nearest(shape.input[0], shape.stretched[0]);
    let mut scratch = Vec::new();
    let block = weight.rows_per_block(n, k);
    for first in (0..n).step_by(block) {
        let channels = block.min(n - first);
        let w = weight.widen(first * k, channels * k, &mut scratch);
        let last = first + channels == n;
        let per_task = pixels_per_task(pixels, k);
        for_each_chunk(out, per_task * n, |task, out| {
            let count = out.len() / n;
            let mut patches = vec![0.0; count * k];
            for (i, patch) in patches.chunks_exact_mut(k).enumerate() {
                gather(x, shape, &rows, &columns, task * per_task + i, patch);
            }
            let lhs = Matrix { data: &patches, row: k, column: 1 };
            let rhs = Matrix { data: w, row: 1, column: k };
            product_add([count, channels, k], lhs, rhs, &mut out[first..], n, gemm::Parallelism::None);
            if last {
                activation.apply(out);
            }
        });
    }
}

/// Enough pixels to make a good matrix product, few enough for the patches to stay within 2 MiB and all threads busy.
fn pixels_per_task(pixels: usize, k: usize) -> usize {
    let by_memory = (512 * 1024 / k.max(1)).max(48);
    by_memory.min(pixels.div_ceil(crate::parallel::threads()).max(48))
}

/// For every stretched coordinate the source coordinate, as PyTorch's `nearest` rounds it.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    let scale = from as f32 / to as f32;
    (0..to).map(|i| ((i as f32 * scale) as usize).min(from.saturating_sub(1))).collect()
}

/// Copies the input patch under output pixel number `pixel` into `patch` `[kh, kw, c]`, zeros outside the picture.
fn gather(x: &[f32], shape: &Conv2dShape, rows: &[usize], columns: &[usize], pixel: usize, patch: &mut [f32]) {
    let [oh, ow] = shape.output;
    let c = shape.in_channels;
    let (b, y, xo) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
    let picture = &x[b * shape.input[0] * shape.input[1] * c..][..shape.input[0] * shape.input[1] * c];
    for (ky, line) in patch.chunks_exact_mut(shape.kernel[1] * c).enumerate() {
        let Some(row) = (y * shape.stride + ky).checked_sub(shape.padding_before[0]).and_then(|i| rows.get(i)) else {
            line.fill(0.0);
            continue;
        };
        for (kx, cell) in line.chunks_exact_mut(c).enumerate() {
            match (xo * shape.stride + kx).checked_sub(shape.padding_before[1]).and_then(|i| columns.get(i)) {
                Some(column) => cell.copy_from_slice(&picture[(row * shape.input[1] + column) * c..][..c]),
                None => cell.fill(0.0),
            }
        }
    }
}
