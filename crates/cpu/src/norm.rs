//! Group norm and layer norm: `f32` sums over short blocks around a pivot, merged in `f64`.

use crate::gemm::with_scratch;
use crate::parallel::{Shared, for_each_chunk, for_each_task};
use crate::simd::{Kernel, Simd, load_some, store_some};
use crate::{Activation, Level};

/// Elements that one task takes: 64 KiB.
const CHUNK: usize = 16 * 1024;

/// Layer norm over the last axis of `x[rows, width]`: `(x - mean) / sqrt(var + eps) * weight + bias`.
pub fn layer_norm(x: &[f32], width: usize, eps: f32, weight: Option<&[f32]>, bias: Option<&[f32]>, out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    assert!(weight.is_none_or(|w| w.len() == width) && bias.is_none_or(|b| b.len() == width));
    let level = Level::current();
    let rows = (CHUNK / width.max(1)).max(1);
    for_each_chunk(out, rows * width, |i, out| {
        let x = &x[i * rows * width..][..out.len()];
        level.run(LayerNorm { x, width, eps, weight, bias, out });
    });
}

struct LayerNorm<'a> {
    x: &'a [f32],
    width: usize,
    eps: f32,
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, out) in self.x.chunks_exact(self.width).zip(self.out.chunks_exact_mut(self.width)) {
            let mean = sum_of(s, x, 0.0, false) / self.width as f64;
            let variance = sum_of(s, x, mean as f32, true) / self.width as f64;
            let inverse = (1.0 / (variance + f64::from(self.eps)).sqrt()) as f32;
            let (mean, inverse) = (s.splat(mean as f32), s.splat(inverse));
            for (i, (x, out)) in x.chunks(S::LANES).zip(out.chunks_mut(S::LANES)).enumerate() {
                let mut y = s.mul(s.sub(load_some(s, x), mean), inverse);
                let at = i * S::LANES;
                if let Some(weight) = self.weight {
                    y = s.mul(y, load_some(s, &weight[at..at + x.len()]));
                }
                if let Some(bias) = self.bias {
                    y = s.add(y, load_some(s, &bias[at..at + x.len()]));
                }
                store_some(s, y, out);
            }
        }
    }
}

/// `sum(x)`, or `sum((x - pivot)^2)`: short runs in `f32` lanes, their sums in `f64`.
#[inline(always)]
fn sum_of<S: Simd>(s: S, xs: &[f32], pivot: f32, squared: bool) -> f64 {
    const RUN: usize = 1024;
    let mut total = 0.0;
    for run in xs.chunks(RUN) {
        let mut sums = [s.splat(0.0); 4];
        let mut chunks = run.chunks_exact(4 * S::LANES);
        for chunk in &mut chunks {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the chunk holds four vectors.
                let d = s.sub(unsafe { s.load(chunk.as_ptr().add(i * S::LANES)) }, s.splat(pivot));
                *sum = if squared { s.mul_add(d, d, *sum) } else { s.add(*sum, d) };
            }
        }
        total += f64::from(s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]))));
        for x in chunks.remainder() {
            let d = f64::from(x - pivot);
            total += if squared { d * d } else { d };
        }
    }
    total
}

/// Group norm over `x[batch, pixels, channels]` (<https://arxiv.org/abs/1803.08494>) with an activation.
///
/// The picture is read twice: once for the statistics, once to apply them.
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
    assert_eq!((weight.len(), bias.len()), (channels, channels));
    if x.is_empty() {
        return;
    }
    let level = Level::current();
    let moments = group_moments(level, x, [batch, pixels, channels], groups);
    let (mut mean, mut scale) = (vec![0.0; batch * channels], vec![0.0; batch * channels]);
    for (i, (mean, scale)) in mean.iter_mut().zip(&mut scale).enumerate() {
        let (b, c) = (i / channels, i % channels);
        (*mean, *scale) = moments[b * groups + c / (channels / groups)].finish(eps);
        *scale *= weight[c];
    }
    // Tasks never cross a picture: the scale belongs to one.
    let block = (CHUNK / channels).clamp(1, pixels);
    let blocks = pixels.div_ceil(block);
    let out = Shared::new(out);
    for_each_task(batch * blocks, |task| {
        let (b, first) = (task / blocks, task % blocks * block);
        let at = (b * pixels + first) * channels;
        let len = block.min(pixels - first) * channels;
        let (mean, scale) = (&mean[b * channels..][..channels], &scale[b * channels..][..channels]);
        // SAFETY: the blocks of the tasks do not overlap.
        let out = unsafe { out.slice(at, len) };
        level.run(Affine { x: &x[at..at + len], mean, scale, bias, activation, out });
    });
}

/// `act((x - mean) * scale + bias)` per channel. The mean is taken away first: what is equal to it becomes exactly zero.
struct Affine<'a> {
    x: &'a [f32],
    mean: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
    activation: Activation,
    out: &'a mut [f32],
}

impl Kernel for Affine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.scale.len();
        for (x, out) in self.x.chunks_exact(channels).zip(self.out.chunks_exact_mut(channels)) {
            for at in (0..channels).step_by(S::LANES) {
                let to = (at + S::LANES).min(channels);
                let distance = s.sub(load_some(s, &x[at..to]), load_some(s, &self.mean[at..to]));
                let (scale, bias) = (load_some(s, &self.scale[at..to]), load_some(s, &self.bias[at..to]));
                store_some(s, s.mul_add(distance, scale, bias), &mut out[at..to]);
            }
            self.activation.map(s, out);
        }
    }
}

/// The moments of `[batch, groups]`, merged from blocks of pixels whose size depends on the channels alone.
fn group_moments(level: Level, x: &[f32], [batch, pixels, channels]: [usize; 3], groups: usize) -> Vec<Moments> {
    let block = (CHUNK / channels).clamp(1, 256);
    let blocks = pixels.div_ceil(block);
    let mut partial = vec![Moments::default(); batch * blocks * groups];
    for_each_chunk(&mut partial, groups, |i, moments| {
        let first = i % blocks * block;
        let at = (i / blocks * pixels + first) * channels;
        let x = &x[at..][..block.min(pixels - first) * channels];
        with_scratch(|scratch| level.run(BlockMoments { x, channels, moments, sums: &mut scratch.sums }));
    });
    let merge = |i: usize| {
        let (b, group) = (i / groups, i % groups);
        let parts = (0..blocks).map(|block| partial[(b * blocks + block) * groups + group]);
        parts.fold(Moments::default(), Moments::merge)
    };
    (0..batch * groups).map(merge).collect()
}

/// Pixels whose sums are taken in `f32` before they join those in `f64`.
const RUN: usize = 8;

struct BlockMoments<'a> {
    x: &'a [f32],
    channels: usize,
    moments: &'a mut [Moments],
    /// Per channel the sum and the sum of squares.
    sums: &'a mut Vec<[f64; 2]>,
}

impl Kernel for BlockMoments<'_> {
    type Output = ();

    /// Per channel the sums of `x - pivot` and of its square, where the pivot is the first pixel: then little cancels.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.channels;
        let pivots = &self.x[..channels];
        self.sums.clear();
        self.sums.resize(channels, [0.0; 2]);
        for pixels in self.x.chunks(RUN * channels) {
            for first in (0..channels).step_by(S::LANES) {
                let lanes = S::LANES.min(channels - first);
                let pivot = load_some(s, &pivots[first..first + lanes]);
                let (mut sum, mut square) = (s.splat(0.0), s.splat(0.0));
                for pixel in pixels.chunks_exact(channels) {
                    let d = s.sub(load_some(s, &pixel[first..first + lanes]), pivot);
                    sum = s.add(sum, d);
                    square = s.mul_add(d, d, square);
                }
                let (mut sum_lanes, mut square_lanes) = ([0.0; 16], [0.0; 16]);
                store_some(s, sum, &mut sum_lanes[..S::LANES]);
                store_some(s, square, &mut square_lanes[..S::LANES]);
                let lanes = sum_lanes.into_iter().zip(square_lanes);
                for ([total, squares], (sum, square)) in self.sums[first..].iter_mut().zip(lanes).take(S::LANES) {
                    *total += f64::from(sum);
                    *squares += f64::from(square);
                }
            }
        }
        let count = (self.x.len() / channels) as f64;
        let width = channels / self.moments.len();
        for (group, moments) in self.moments.iter_mut().enumerate() {
            for (pivot, [sum, square]) in pivots.iter().zip(&*self.sums).skip(group * width).take(width) {
                let mean = f64::from(*pivot) + sum / count;
                let deviation = (square - sum * sum / count).max(0.0);
                *moments = moments.merge(Moments { count, mean, deviation });
            }
        }
    }
}

/// Count, mean and sum of squared deviations from it.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    deviation: f64,
}

impl Moments {
    /// Both together (Chan, Golub and LeVeque, <http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf>).
    fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        let share = other.count / count;
        Self {
            count,
            mean: self.mean + distance * share,
            deviation: self.deviation + other.deviation + distance * distance * self.count * share,
        }
    }

    /// Mean and `1 / sqrt(variance + eps)`, with the biased variance that PyTorch uses.
    fn finish(self, eps: f32) -> (f32, f32) {
        (self.mean as f32, (1.0 / (self.deviation / self.count + f64::from(eps)).sqrt()) as f32)
    }
}
