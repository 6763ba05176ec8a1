//! Depthwise convolution: every channel has a small kernel of its own (<https://arxiv.org/abs/1704.04861>).

use crate::conv2d::Conv2dShape;
use crate::parallel::for_each_chunk;
use crate::simd::{Kernel, Simd, map};
use crate::{Activation, Level};

/// `out[b, oh, ow, c] = act(sum(x[b, ., ., c] * weight[kh, kw, c]) + bias[c])`. The shape has as many input as output
/// channels, and nothing is stretched.
pub fn depthwise(
    x: &[f32],
    shape: &Conv2dShape,
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    out: &mut [f32],
) {
    let Conv2dShape { batch, input: [height, width], output: [out_height, out_width], kernel, .. } = *shape;
    let channels = shape.in_channels;
    assert!(shape.out_channels == channels && shape.input == shape.stretched);
    assert_eq!((x.len(), out.len()), (batch * height * width * channels, batch * out_height * out_width * channels));
    assert_eq!((weight.len(), bias.len()), (kernel[0] * kernel[1] * channels, channels));
    if out.is_empty() {
        return;
    }
    let level = Level::current();
    let picture = height * width * channels;
    for_each_chunk(out, out_width * channels, |line, out| {
        let x = &x[line / out_height * picture..][..picture];
        level.run(Line { x, shape, weight, bias, row: line % out_height, out: &mut *out });
        activation.apply(out);
    });
}

/// One line of the result.
struct Line<'a> {
    /// One picture.
    x: &'a [f32],
    shape: &'a Conv2dShape,
    weight: &'a [f32],
    bias: &'a [f32],
    row: usize,
    out: &'a mut [f32],
}

impl Kernel for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, shape, weight, bias, row, out } = self;
        let Conv2dShape { input: [height, width], kernel, stride, padding_before, .. } = *shape;
        let channels = shape.in_channels;
        for column in 0..shape.output[1] {
            let sums = &mut out[column * channels..][..channels];
            map!(s, bias => sums, |b| b);
            for tap in 0..kernel[0] * kernel[1] {
                // Below zero wraps to far beyond the picture: padding either way.
                let y = (row * stride + tap / kernel[1]).wrapping_sub(padding_before[0]);
                let at = (column * stride + tap % kernel[1]).wrapping_sub(padding_before[1]);
                if y >= height || at >= width {
                    continue;
                }
                let pixel = &x[(y * width + at) * channels..][..channels];
                let weight = &weight[tap * channels..][..channels];
                add_products(s, pixel, weight, sums);
            }
        }
    }
}

/// `sums += x * weight`.
#[inline(always)]
fn add_products<S: Simd>(s: S, x: &[f32], weight: &[f32], sums: &mut [f32]) {
    let whole = sums.len() / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: all three have as many elements, and a vector at `at`.
        unsafe {
            let sum = s.load(sums.as_ptr().add(at));
            let sum = s.mul_add(s.load(x.as_ptr().add(at)), s.load(weight.as_ptr().add(at)), sum);
            s.store(sums.as_mut_ptr().add(at), sum);
        }
    }
    for i in whole..sums.len() {
        sums[i] += x[i] * weight[i];
    }
}
