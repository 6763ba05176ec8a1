//! The ops as plain loops.

use super::Operand;
use easel_inference::tensor::{Activation, Conv2d};

pub(super) fn activate(activation: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Silu => x * sigmoid(x),
        Activation::Gelu => 0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + (std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => sigmoid(x),
    }
}

/// The complementary error function: by its continued fraction if it is small, otherwise by Simpson's rule. It is too
/// slow for every element of a case; see the test below.
fn erfc(x: f64) -> f64 {
    const STEPS: usize = 2000;
    const TERMS: usize = 200;
    let sqrt_pi = std::f64::consts::PI.sqrt();
    if x > 2.0 {
        let fraction = (1..TERMS).rev().fold(x, |fraction, k| x + k as f64 / 2.0 / fraction);
        return (-x * x).exp() / (sqrt_pi * fraction);
    }
    let width = x.max(-6.0) / STEPS as f64;
    let density = |i: usize| (-(i as f64 * width).powi(2)).exp();
    let inner: f64 = (1..STEPS).map(|i| density(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    1.0 - (density(0) + inner + density(STEPS)) * width / 3.0 * 2.0 / sqrt_pi
}

/// `x W^T + bias`.
pub(super) fn linear(x: &Operand, weight: &Operand, bias: Option<&Operand>) -> Operand {
    let [outputs, inputs] = weight.shape[..] else { panic!("a weight has two axes") };
    let mut data = Vec::new();
    for row in x.data.chunks(inputs) {
        for o in 0..outputs {
            let product: f64 = row.iter().zip(&weight.data[o * inputs..]).map(|(x, w)| x * w).sum();
            data.push(product + bias.map_or(0.0, |bias| bias.data[o]));
        }
    }
    let mut shape = x.shape.clone();
    *shape.last_mut().unwrap() = outputs;
    Operand::new(&shape, data)
}

/// Channels-last convolution after stretching.
pub(super) fn conv2d(x: &Operand, weight: &Operand, bias: Option<&Operand>, conv: Conv2d) -> Operand {
    let [n, h, w, c] = x.shape[..] else { panic!("a picture has four axes") };
    let [outputs, kh, kw, _] = weight.shape[..] else { panic!("a kernel has four axes") };
    let [sh, sw] = conv.stretch_to.unwrap_or([h, w]);
    let padding = conv.padding_before + conv.padding_after;
    let oh = (sh + padding - kh) / conv.stride + 1;
    let ow = (sw + padding - kw) / conv.stride + 1;
    // The source of an upsampled coordinate; `None` in the padding.
    let source = |o: usize, k: usize, stretched: usize, size: usize| {
        let at = (o * conv.stride + k).checked_sub(conv.padding_before).filter(|at| *at < stretched)?;
        Some(at * size / stretched)
    };
    let mut data = Vec::new();
    for (b, y, x_, o) in indices([n, oh, ow, outputs]) {
        let mut sum = bias.map_or(0.0, |bias| bias.data[o]);
        for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
            let (Some(row), Some(column)) = (source(y, ky, sh, h), source(x_, kx, sw, w)) else { continue };
            for i in 0..c {
                let weight = weight.data[((o * kh + ky) * kw + kx) * c + i];
                sum += x.data[((b * h + row) * w + column) * c + i] * weight;
            }
        }
        data.push(sum);
    }
    Operand::new(&[n, oh, ow, outputs], data)
}

/// `softmax(q k^T / sqrt(width)) v` in heads.
pub(super) fn attention(q: &Operand, k: &Operand, v: &Operand, heads: usize, causal: bool) -> Operand {
    let scale = 1.0 / ((q.shape[2] / heads) as f64).sqrt();
    attention_scored(q, [k, v], heads, causal, scale, None)
}

/// `softmax(q k^T * scale + bias) v` in heads.
pub(super) fn attention_scored(
    q: &Operand,
    [k, v]: [&Operand; 2],
    heads: usize,
    causal: bool,
    scale: f64,
    bias: Option<&Operand>,
) -> Operand {
    let [n, queries, hidden] = q.shape[..] else { panic!("queries have three axes") };
    let keys = k.shape[1];
    let width = hidden / heads;
    let mut data = vec![0.0; n * queries * hidden];
    for (b, i, head, _) in indices([n, queries, heads, 1]) {
        let visible = if causal { keys.min(i + 1) } else { keys };
        let at = |row: usize, rows: usize| (b * rows + row) * hidden + head * width;
        let score = |j: usize| -> f64 {
            let pairs = q.data[at(i, queries)..][..width].iter().zip(&k.data[at(j, keys)..]);
            let bias = bias.map_or(0.0, |bias| bias.data[(head * queries + i) * keys + j]);
            pairs.map(|(q, k)| q * k).sum::<f64>() * scale + bias
        };
        let scores: Vec<f64> = (0..visible).map(score).collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|score| (score - max).exp()).sum();
        for (j, score) in scores.iter().enumerate() {
            let weight = (score - max).exp() / total;
            for d in 0..width {
                data[at(i, queries) + d] += weight * v.data[at(j, keys) + d];
            }
        }
    }
    Operand::new(&q.shape, data)
}

/// Normalises every set of elements of `x` that `set` maps to the same number, then scales and shifts each channel.
pub(super) fn norm(
    x: &Operand,
    eps: f64,
    weight: &Operand,
    bias: &Operand,
    sets: usize,
    set: impl Fn(usize) -> usize,
) -> Operand {
    let mut count = vec![0.0; sets];
    let mut mean = vec![0.0; sets];
    let mut variance = vec![0.0; sets];
    for (i, x) in x.data.iter().enumerate() {
        count[set(i)] += 1.0;
        mean[set(i)] += x;
    }
    (0..sets).for_each(|set| mean[set] /= count[set]);
    for (i, x) in x.data.iter().enumerate() {
        variance[set(i)] += (x - mean[set(i)]).powi(2) / count[set(i)];
    }
    let channels = weight.data.len();
    let normed = |(i, x): (usize, &f64)| {
        let y = (x - mean[set(i)]) / (variance[set(i)] + eps).sqrt();
        y * weight.data[i % channels] + bias.data[i % channels]
    };
    Operand::new(&x.shape, x.data.iter().enumerate().map(normed).collect())
}

/// All indices of a shape of four axes, in row-major order.
fn indices([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
}

#[test]
fn the_complementary_error_function_equals_its_integral() {
    for i in -160..=160 {
        let x = f64::from(i) / 20.0;
        let error = (libm::erfc(x) - erfc(x)).abs() / erfc(x);
        assert!(error < 1e-9, "{x}: {error}");
    }
}
