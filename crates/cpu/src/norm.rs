//! Group norm, layer norm and root-mean-square norm: `f32` sums over short blocks around a pivot, merged in `f64`.

use crate::activation::for_activation;
use crate::gemm::with_scratch;
use crate::memory::{Floats, Lines};
use crate::parallel::{Shared, for_each_chunk, for_each_task};
use crate::simd::{Kernel, Simd, fill, map};
use crate::{Activation, Level};
use std::cell::Cell;

/// Elements per task: 64 KiB.
const CHUNK: usize = 16 * 1024;

/// Layer norm over the last axis of `x[rows, width]`: `(x - mean) / sqrt(var + eps) * weight + bias`.
pub fn layer_norm(x: &[f32], width: usize, eps: f32, weight: Option<&[f32]>, bias: Option<&[f32]>, out: &mut [f32]) {
    assert!(weight.is_none_or(|w| w.len() == width) && bias.is_none_or(|b| b.len() == width));
    row_norm(x, RowNorm { width, eps, weight, bias, centred: true }, out);
}

/// Root-mean-square norm (<https://arxiv.org/abs/1910.07467>) over the last axis of `x[rows, width]`:
/// `x / sqrt(mean(x^2) + eps) * weight`.
pub fn rms_norm(x: &[f32], width: usize, eps: f32, weight: Option<&[f32]>, out: &mut [f32]) {
    assert!(weight.is_none_or(|w| w.len() == width));
    row_norm(x, RowNorm { width, eps, weight, bias: None, centred: false }, out);
}

fn row_norm(x: &[f32], norm: RowNorm<'_>, out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    let level = Level::current();
    let rows = (CHUNK / norm.width.max(1)).max(1);
    for_each_chunk(out, rows * norm.width, |i, out| {
        let x = &x[i * rows * norm.width..][..out.len()];
        level.run(RowKernel { x, norm, out });
    });
}

/// A norm of rows.
#[derive(Clone, Copy)]
struct RowNorm<'a> {
    width: usize,
    eps: f32,
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    /// Whether the mean is subtracted.
    centred: bool,
}

struct RowKernel<'a> {
    x: &'a [f32],
    norm: RowNorm<'a>,
    out: &'a mut [f32],
}

impl Kernel for RowKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let RowNorm { width, eps, weight, bias, centred } = self.norm;
        for row in 0..self.out.len() / width {
            let x = &self.x[row * width..][..width];
            let out = &mut self.out[row * width..][..width];
            let mean = if centred { sum_of(s, x, 0.0, false) / width as f64 } else { 0.0 };
            let variance = sum_of(s, x, mean as f32, true) / width as f64;
            let inverse = (1.0 / (variance + f64::from(eps)).sqrt()) as f32;
            let mean = s.splat(mean as f32);
            let inverse = s.splat(inverse);
            match (weight, bias) {
                (Some(w), Some(b)) => map!(s, x, w, b => out, |x, w, b| {
                    s.add(s.mul(s.mul(s.sub(x, mean), inverse), w), b)
                }),
                (Some(w), None) => map!(s, x, w => out, |x, w| s.mul(s.mul(s.sub(x, mean), inverse), w)),
                (None, Some(b)) => map!(s, x, b => out, |x, b| s.add(s.mul(s.sub(x, mean), inverse), b)),
                (None, None) => map!(s, x => out, |x| s.mul(s.sub(x, mean), inverse)),
            }
        }
    }
}

/// `sum(x)`, or `sum((x - pivot)^2)`: short runs in `f32` lanes, their sums in `f64`.
#[inline(always)]
fn sum_of<S: Simd>(s: S, xs: &[f32], pivot: f32, squared: bool) -> f64 {
    const RUN: usize = 1024;
    let mut total = 0.0;
    for start in (0..xs.len()).step_by(RUN) {
        let run = &xs[start..xs.len().min(start + RUN)];
        let whole = run.len() / (4 * S::LANES) * (4 * S::LANES);
        let mut sums = [s.splat(0.0); 4];
        for at in (0..whole).step_by(4 * S::LANES) {
            for i in 0..4 {
                // SAFETY: the run holds four vectors at `at`.
                let d = s.sub(unsafe { s.load(run.as_ptr().add(at + i * S::LANES)) }, s.splat(pivot));
                sums[i] = if squared { s.mul_add(d, d, sums[i]) } else { s.add(sums[i], d) };
            }
        }
        total += f64::from(s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]))));
        for x in &run[whole..] {
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
    let mut mean = Floats::take(batch * channels);
    let mut scale = Floats::take(batch * channels);
    let width = channels / groups;
    group_moments(level, x, [batch, pixels, channels], groups, |group, moments| {
        let (group_mean, inverse) = moments.finish(eps);
        mean[group * width..][..width].fill(group_mean);
        scale[group * width..][..width].fill(inverse);
    });
    for scale in scale.chunks_exact_mut(channels) {
        scale.iter_mut().zip(weight).for_each(|(scale, weight)| *scale *= weight);
    }
    // Tasks never span two pictures, because each has its own scale.
    let block = (CHUNK / channels).clamp(1, pixels);
    let blocks = pixels.div_ceil(block);
    let out = Shared::new(out);
    for_each_task(batch * blocks, |task| {
        let b = task / blocks;
        let first = task % blocks * block;
        let at = (b * pixels + first) * channels;
        let len = block.min(pixels - first) * channels;
        let mean = &mean[b * channels..][..channels];
        let scale = &scale[b * channels..][..channels];
        // SAFETY: the blocks of the tasks do not overlap.
        let out = unsafe { out.slice(at, len) };
        level.run(Affine { x: &x[at..at + len], mean, scale, bias, activation, out });
    });
}

/// `act((x - mean) * scale + bias)` per channel. The mean is subtracted first, so that values equal to it become
/// exactly zero.
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
        let Self { mean, scale, bias, .. } = self;
        let channels = scale.len();
        for_activation!(self.activation, |act| {
            for row in 0..self.out.len() / channels {
                let x = &self.x[row * channels..][..channels];
                let out = &mut self.out[row * channels..][..channels];
                map!(s, x, mean, scale, bias => out, |x, mean, scale, bias| {
                    act.of(s, s.mul_add(s.sub(x, mean), scale, bias))
                });
            }
        });
    }
}

/// Calls `found` with the moments of every group of every picture, merged from blocks of pixels whose size only depends
/// on the channels.
fn group_moments(
    level: Level,
    x: &[f32],
    [batch, pixels, channels]: [usize; 3],
    groups: usize,
    mut found: impl FnMut(usize, Moments),
) {
    thread_local! {
        static PARTIAL: Cell<Vec<Moments>> = const { Cell::new(Vec::new()) };
    }
    let block = (CHUNK / channels).clamp(1, LARGEST_BLOCK);
    let blocks = pixels.div_ceil(block);
    let mut partial = PARTIAL.take();
    partial.clear();
    partial.resize(batch * blocks * groups, Moments::default());
    for_each_chunk(&mut partial, groups, |i, moments| {
        let first = i % blocks * block;
        let at = (i / blocks * pixels + first) * channels;
        let x = &x[at..][..block.min(pixels - first) * channels];
        with_scratch(|scratch| level.run(BlockMoments { x, channels, moments, sums: &mut scratch.buffer }));
    });
    for i in 0..batch * groups {
        let parts = (0..blocks).map(|block| partial[(i / groups * blocks + block) * groups + i % groups]);
        found(i, parts.fold(Moments::default(), Moments::merge));
    }
    PARTIAL.set(partial);
}

/// The most pixels that are summed in `f32`.
const LARGEST_BLOCK: usize = 256;
/// Pixels that are summed in registers. Each run is summed before it is added to the others, because short chains have
/// smaller rounding errors.
const RUN: usize = 16;

struct BlockMoments<'a> {
    x: &'a [f32],
    channels: usize,
    moments: &'a mut [Moments],
    /// Per channel the sum, then per channel the sum of squares.
    sums: &'a mut Lines,
}

impl Kernel for BlockMoments<'_> {
    type Output = ();

    /// Per channel the sums of `x - pivot` and of its square, where the pivot is the first pixel, so that little
    /// cancels.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.channels;
        let pivots = &self.x[..channels];
        let (sums, squares) = self.sums.at_least(2 * channels)[..2 * channels].split_at_mut(channels);
        fill(sums, 0.0);
        fill(squares, 0.0);
        for start in (0..self.x.len()).step_by(RUN * channels) {
            let end = self.x.len().min(start + RUN * channels);
            add_run(s, &self.x[start..end], pivots, sums, squares);
        }
        let count = (self.x.len() / channels) as f64;
        let width = channels / self.moments.len();
        let per_pixel = 1.0 / count;
        for group in 0..self.moments.len() {
            let range = [group * width, (group + 1) * width];
            let mut mean = -0.0;
            for c in range[0]..range[1] {
                mean += f64::from(pivots[c]) + f64::from(sums[c]) * per_pixel;
            }
            mean /= width as f64;
            let mut deviation = 0.0;
            for c in range[0]..range[1] {
                let sum = f64::from(sums[c]);
                let distance = f64::from(pivots[c]) + sum * per_pixel - mean;
                deviation += (f64::from(squares[c]) - sum * sum * per_pixel).max(0.0) + count * (distance * distance);
            }
            self.moments[group] = Moments { count: count * width as f64, mean, deviation };
        }
    }
}

/// `sums += x - pivot` and `squares += (x - pivot)^2` per channel for a few pixels, whose sums stay in registers.
#[inline(always)]
fn add_run<S: Simd>(s: S, pixels: &[f32], pivots: &[f32], sums: &mut [f32], squares: &mut [f32]) {
    let channels = pivots.len();
    assert!(sums.len() == channels && squares.len() == channels);
    let count = pixels.len() / channels;
    let whole = channels / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: there are `channels` of everything, and a vector at `at` is below.
        unsafe {
            let pivot = s.load(pivots.as_ptr().add(at));
            let mut sum = s.splat(0.0);
            let mut square = s.splat(0.0);
            for pixel in 0..count {
                let d = s.sub(s.load(pixels.as_ptr().add(pixel * channels + at)), pivot);
                sum = s.add(sum, d);
                square = s.mul_add(d, d, square);
            }
            s.store(sums.as_mut_ptr().add(at), s.add(s.load(sums.as_ptr().add(at)), sum));
            s.store(squares.as_mut_ptr().add(at), s.add(s.load(squares.as_ptr().add(at)), square));
        }
    }
    for c in whole..channels {
        let mut sum = 0.0;
        let mut square = 0.0;
        for pixel in 0..count {
            let d = pixels[pixel * channels + c] - pivots[c];
            sum += d;
            square += d * d;
        }
        sums[c] += sum;
        squares[c] += square;
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
    /// Merges two moments (Chan, Golub and LeVeque,
    /// <http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf>).
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
