//! Group norm and layer norm with `f32` input and statistics in `f64` partial sums.

use crate::Activation;
use crate::parallel::for_each_chunk;

/// Layer norm over the last axis of `x[rows, width]`: `(x - mean) / sqrt(var + eps) * weight + bias`.
pub fn layer_norm(x: &[f32], width: usize, eps: f32, weight: Option<&[f32]>, bias: Option<&[f32]>, out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    const ROWS: usize = 16;
    for_each_chunk(out, ROWS * width, |i, out| {
        for (x, out) in x[i * ROWS * width..].chunks(width).zip(out.chunks_mut(width)) {
            let (mean, inverse) = Moments::of(x).finish(eps);
            for (j, (out, x)) in out.iter_mut().zip(x).enumerate() {
                let y = (x - mean) * inverse;
                *out = y * weight.map_or(1.0, |w| w[j]) + bias.map_or(0.0, |b| b[j]);
            }
        }
    });
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
    let (scale, shift) = group_affine(x, [batch, pixels, channels], groups, eps, weight, bias);
    const PIXELS: usize = 64;
    // Chunks never cross a picture: the scale belongs to one.
    for (b, out) in out.chunks_mut(pixels * channels).enumerate() {
        let x = &x[b * pixels * channels..];
        let (scale, shift) = (&scale[b * channels..][..channels], &shift[b * channels..][..channels]);
        for_each_chunk(out, PIXELS * channels, |i, out| {
            let x = &x[i * PIXELS * channels..];
            for (x, out) in x.chunks(channels).zip(out.chunks_mut(channels)) {
                for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(scale).zip(shift) {
                    *out = x * scale + shift;
                }
            }
            activation.apply(out);
        });
    }
}

/// The norm as one multiplication and one addition per channel: `[batch, channels]` each.
fn group_affine(
    x: &[f32],
    [batch, pixels, channels]: [usize; 3],
    groups: usize,
    eps: f32,
    weight: &[f32],
    bias: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    const PIXELS: usize = 256;
    let blocks = pixels.div_ceil(PIXELS);
    let mut partial = vec![Moments::default(); batch * blocks * groups];
    for_each_chunk(&mut partial, groups, |i, partial| {
        let first = i % blocks * PIXELS;
        let count = PIXELS.min(pixels - first);
        let x = &x[(i / blocks * pixels + first) * channels..][..count * channels];
        for pixel in x.chunks_exact(channels) {
            for (moments, x) in partial.iter_mut().zip(pixel.chunks_exact(channels / groups)) {
                x.iter().for_each(|x| moments.add(*x));
            }
        }
    });
    let (mut scale, mut shift) = (vec![0.0; batch * channels], vec![0.0; batch * channels]);
    for b in 0..batch {
        for c in 0..channels {
            let group = c / (channels / groups);
            let moments = (0..blocks).map(|i| partial[(b * blocks + i) * groups + group]);
            let (mean, inverse) = moments.fold(Moments::default(), Moments::merge).finish(eps);
            scale[b * channels + c] = weight[c] * inverse;
            shift[b * channels + c] = bias[c] - mean * weight[c] * inverse;
        }
    }
    (scale, shift)
}

/// Count, sum and sum of squares.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn of(xs: &[f32]) -> Self {
        let mut moments = Self::default();
        xs.iter().for_each(|x| moments.add(*x));
        moments
    }

    #[inline]
    fn add(&mut self, x: f32) {
        let x = f64::from(x);
        self.count += 1.0;
        self.sum += x;
        self.squares += x * x;
    }

    fn merge(self, other: Self) -> Self {
        Self { count: self.count + other.count, sum: self.sum + other.sum, squares: self.squares + other.squares }
    }

    /// Mean and `1 / sqrt(variance + eps)`, with the biased variance that PyTorch uses.
    fn finish(self, eps: f32) -> (f32, f32) {
        let mean = self.sum / self.count;
        let variance = (self.squares / self.count - mean * mean).max(0.0);
        (mean as f32, (1.0 / (variance + f64::from(eps)).sqrt()) as f32)
    }
}
