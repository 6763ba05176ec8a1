//! Group norm and layer norm with `f32` input and statistics in `f64`.

use crate::Activation;
use crate::parallel::for_each_chunk;
use crate::simd::vectorised;

/// Layer norm over the last axis of `x[rows, width]`: `(x - mean) / sqrt(var + eps) * weight + bias`.
pub fn layer_norm(x: &[f32], width: usize, eps: f32, weight: Option<&[f32]>, bias: Option<&[f32]>, out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    const ROWS: usize = 16;
    let ones = vec![1.0; if weight.is_none() { width } else { 0 }];
    let zeros = vec![0.0; if bias.is_none() { width } else { 0 }];
    let (weight, bias) = (weight.unwrap_or(&ones), bias.unwrap_or(&zeros));
    for_each_chunk(out, ROWS * width, |i, out| {
        for (x, out) in x[i * ROWS * width..].chunks(width).zip(out.chunks_mut(width)) {
            norm_row(x, eps, weight, bias, out);
        }
    });
}

vectorised! {
    fn norm_row(x: &[f32], eps: f32, weight: &[f32], bias: &[f32], out: &mut [f32]) {
        let (mean, inverse) = Moments::of(x).finish(eps);
        for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
            *out = (x - mean) * inverse * weight + bias;
        }
    }
}

/// Group norm over `x[batch, pixels, channels]` (<https://arxiv.org/abs/1803.08494>) with an activation.
#[allow(clippy::too_many_arguments)]
pub fn group_norm(
    x: &[f32],
    [batch, pixels, channels]: [usize; 3],
    groups: usize,
    eps: f32,
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    out: &mut [f32],
) {
    assert_eq!(x.len(), batch * pixels * channels);
    assert_eq!((out.len(), channels % groups), (x.len(), 0));
    if x.is_empty() {
        return;
    }
    let (mean, scale) = group_statistics(x, [batch, pixels, channels], groups, eps, weight);
    const PIXELS: usize = 64;
    // Chunks never cross a picture: the scale belongs to one.
    for (b, out) in out.chunks_mut(pixels * channels).enumerate() {
        let x = &x[b * pixels * channels..];
        let (mean, scale) = (&mean[b * channels..][..channels], &scale[b * channels..][..channels]);
        for_each_chunk(out, PIXELS * channels, |i, out| {
            let x = &x[i * PIXELS * channels..];
            norm_pixels(x, mean, scale, bias, out);
            activation.apply(out);
        });
    }
}

vectorised! {
    /// `(x - mean) * scale + bias` for every pixel of `x`; there may be more of them than `out` has. The mean is taken away
    /// first, because `x * scale` may be so large that its rounding drowns the result.
    fn norm_pixels(x: &[f32], mean: &[f32], scale: &[f32], bias: &[f32], out: &mut [f32]) {
        for (x, out) in x.chunks(scale.len()).zip(out.chunks_mut(scale.len())) {
            for ((((out, x), mean), scale), bias) in out.iter_mut().zip(x).zip(mean).zip(scale).zip(bias) {
                *out = (x - mean) * scale + bias;
            }
        }
    }
}

/// For each channel the mean of its group, and its weight times the inverse deviation: `[batch, channels]` each.
fn group_statistics(
    x: &[f32],
    [batch, pixels, channels]: [usize; 3],
    groups: usize,
    eps: f32,
    weight: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let width = channels / groups;
    let blocks = pixels.div_ceil(BLOCK);
    let partial = channel_sums(x, [batch, pixels, channels]);
    let (mut means, mut scale) = (vec![0.0; batch * channels], vec![0.0; batch * channels]);
    for b in 0..batch {
        for group in 0..groups {
            let mut moments = Moments { count: (pixels * width) as f64, sum: 0.0, squares: 0.0 };
            for block in 0..blocks {
                let (sums, squares) = partial[(b * blocks + block) * 2 * channels..][..2 * channels].split_at(channels);
                moments.sum += sums[group * width..][..width].iter().sum::<f64>();
                moments.squares += squares[group * width..][..width].iter().sum::<f64>();
            }
            let (mean, inverse) = moments.finish(eps);
            for c in group * width..(group + 1) * width {
                means[b * channels + c] = mean;
                scale[b * channels + c] = weight[c] * inverse;
            }
        }
    }
    (means, scale)
}

/// Pixels that are summed by one task.
const BLOCK: usize = 256;

/// For every block of pixels the sum of each channel, then the sum of its squares: `[batch, blocks, 2, channels]`.
/// Channels lie next to each other, so this is where the vectors are, not along the pixels.
fn channel_sums(x: &[f32], [batch, pixels, channels]: [usize; 3]) -> Vec<f64> {
    let blocks = pixels.div_ceil(BLOCK);
    let mut partial = vec![0.0; batch * blocks * 2 * channels];
    for_each_chunk(&mut partial, 2 * channels, |i, partial| {
        let first = i % blocks * BLOCK;
        let count = BLOCK.min(pixels - first);
        let x = &x[(i / blocks * pixels + first) * channels..][..count * channels];
        let (sums, squares) = partial.split_at_mut(channels);
        add_pixels(x, sums, squares);
    });
    partial
}

vectorised! {
    fn add_pixels(x: &[f32], sums: &mut [f64], squares: &mut [f64]) {
        for pixel in x.chunks_exact(sums.len()) {
            for ((sum, square), x) in sums.iter_mut().zip(squares.iter_mut()).zip(pixel) {
                let x = f64::from(*x);
                *sum += x;
                *square += x * x;
            }
        }
    }
}

/// Count, sum and sum of squares.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    #[inline(always)]
    fn of(xs: &[f32]) -> Self {
        /// So many running sums, because a single one would chain every addition to the one before it.
        const LANES: usize = 8;
        let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
        for chunk in xs.chunks(LANES) {
            for ((sum, square), x) in sums.iter_mut().zip(squares.iter_mut()).zip(chunk) {
                let x = f64::from(*x);
                *sum += x;
                *square += x * x;
            }
        }
        Self { count: xs.len() as f64, sum: sums.iter().sum(), squares: squares.iter().sum() }
    }

    /// Mean and `1 / sqrt(variance + eps)`, with the biased variance that PyTorch uses.
    #[inline(always)]
    fn finish(self, eps: f32) -> (f32, f32) {
        let mean = self.sum / self.count;
        let variance = self.squares / self.count - mean * mean;
        // Not `f64::max`: it would turn a NaN into 0 and hide a broken model.
        let variance = if variance < 0.0 { 0.0 } else { variance };
        (mean as f32, (1.0 / (variance + f64::from(eps)).sqrt()) as f32)
    }
}
