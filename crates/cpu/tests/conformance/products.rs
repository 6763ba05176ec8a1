//! Fully connected layers, convolutions and attention.

use crate::{assert_near, at_every_level, values};
use easel_cpu::attention::{AttentionShape, Bias, Relative, attention, attention_biased};
use easel_cpu::conv2d::{Conv2dShape, conv2d};
use easel_cpu::depthwise::depthwise;
use easel_cpu::linear::linear;
use easel_cpu::{Activation, PackedWeight, Weight};
use half::{bf16, f16};

/// How far a sum over `k` may be off: the blocks of a sum are a few hundred long.
fn sum_tolerance(k: usize) -> f64 {
    6e-8 * (4.0 + (k as f64).sqrt().min(40.0))
}

#[test]
fn linears() {
    let shapes = [
        [1, 1, 1],
        [1, 16, 1],
        [5, 1, 7],
        [6, 16, 8],
        [7, 17, 9],
        [1, 320, 1280],
        [2, 33, 511],
        [77, 40, 768],
        [200, 72, 100],
    ];
    at_every_level(|| {
        for [m, n, k] in shapes {
            let x = values(m * k, 1, 0.0);
            let w = values(n * k, 2, 0.0);
            let b = values(n, 3, 0.0);
            let r = values(m * n, 4, 0.0);
            let halves: Vec<f16> = w.iter().map(|w| f16::from_f32(*w)).collect();
            let brains: Vec<bf16> = w.iter().map(|w| bf16::from_f32(*w)).collect();
            let wide_halves: Vec<f32> = halves.iter().map(|w| w.to_f32()).collect();
            let wide_brains: Vec<f32> = brains.iter().map(|w| w.to_f32()).collect();
            for (weight, wide) in
                [(Weight::F32(&w), &w), (Weight::F16(&halves), &wide_halves), (Weight::Bf16(&brains), &wide_brains)]
            {
                let want: Vec<_> = (0..m * n)
                    .map(|i| {
                        let row = &x[i / n * k..][..k];
                        let column = &wide[i % n * k..][..k];
                        let products = row.iter().zip(column).map(|(x, w)| f64::from(*x) * f64::from(*w));
                        let rest = [f64::from(b[i % n]), f64::from(r[i])];
                        products.chain(rest).fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()))
                    })
                    .collect();
                let mut got = vec![f32::NAN; m * n];
                linear(&x, [m, n, k], weight, Some(&b), Some(&r), Activation::None, &mut got);
                assert_near(&got, &want, sum_tolerance(k), &format!("linear {m}x{n}x{k}"));
                let mut packed = vec![f32::NAN; m * n];
                let layer = PackedWeight::new(weight, [n, k]);
                linear(&x, [m, n, k], &layer, Some(&b), Some(&r), Activation::None, &mut packed);
                assert_eq!(got, packed, "packed linear {m}x{n}x{k}");
                linear(&x, [m, n, k], &layer, Some(&b), Some(&r), Activation::Silu, &mut packed);
                Activation::Silu.apply(&mut got);
                assert_eq!(got, packed, "packed linear {m}x{n}x{k} with SiLU");
            }
        }
    });
}

#[test]
fn half_precision_weights_of_every_bit_pattern_are_widened_exactly() {
    at_every_level(|| {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|h| h.is_finite()).collect();
        let mut out = vec![0.0; halves.len()];
        linear(&[1.0], [1, halves.len(), 1], Weight::F16(&halves), None, None, Activation::None, &mut out);
        assert!(halves.iter().zip(&out).all(|(h, x)| h.to_f32() == *x));
        let n = halves.len();
        let packed = PackedWeight::new(Weight::F16(&halves), [n, 1]);
        linear(&[1.0], [1, n, 1], &packed, None, None, Activation::None, &mut out);
        assert!(halves.iter().zip(&out).all(|(h, x)| h.to_f32() == *x));
        let nan = [f16::NAN, f16::INFINITY, f16::NEG_INFINITY];
        let mut out = [0.0; 3];
        let packed = PackedWeight::new(Weight::F16(&nan), [3, 1]);
        linear(&[1.0], [1, 3, 1], &packed, None, None, Activation::None, &mut out);
        assert!(out[0].is_nan() && out[1] == f32::INFINITY && out[2] == f32::NEG_INFINITY);
    });
}

pub(crate) fn shape(
    batch: usize,
    input: [usize; 2],
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
) -> Conv2dShape {
    let padding = kernel / 2;
    Conv2dShape {
        batch,
        input,
        stretched: input,
        in_channels: channels[0],
        out_channels: channels[1],
        kernel: [kernel; 2],
        stride,
        padding_before: [padding; 2],
        output: input.map(|side| (side + 2 * padding - kernel) / stride + 1),
    }
}

fn conv_shapes() -> Vec<Conv2dShape> {
    let mut shapes = vec![
        shape(1, [1, 1], [1, 1], 3, 1),
        shape(1, [1, 1], [1, 1], 1, 1),
        shape(2, [5, 7], [3, 5], 3, 1),
        shape(1, [9, 4], [17, 33], 3, 1),
        shape(1, [8, 8], [64, 40], 3, 2),
        shape(1, [13, 11], [130, 24], 3, 1),
        shape(2, [16, 16], [32, 32], 3, 1),
        shape(1, [6, 6], [8, 16], 5, 1),
        shape(2, [7, 7], [20, 12], 1, 2),
        shape(1, [33, 34], [16, 4], 3, 1),
        shape(1, [20, 24], [48, 48], 3, 1),
        // Large enough for Winograd's way.
        shape(1, [32, 32], [32, 32], 3, 1),
        shape(2, [33, 37], [170, 50], 3, 1),
    ];
    // The encoder's downsampling pads on the right and below only.
    let uneven = Conv2dShape { padding_before: [0, 0], output: [4, 5], ..shape(1, [8, 10], [12, 20], 3, 2) };
    // Upsampling: nearest neighbour, also to a side that is no multiple.
    let stretched = Conv2dShape { stretched: [10, 14], output: [10, 14], ..shape(2, [5, 7], [9, 18], 3, 1) };
    let odd = Conv2dShape { stretched: [9, 13], output: [9, 13], ..shape(1, [5, 7], [24, 8], 3, 1) };
    let large = Conv2dShape { stretched: [35, 32], output: [35, 32], ..shape(1, [17, 16], [40, 33], 3, 1) };
    // Patch embedding: windows side by side, no padding.
    let patches = Conv2dShape { padding_before: [0, 0], output: [2, 3], ..shape(1, [8, 12], [3, 10], 4, 4) };
    shapes.extend([uneven, stretched, odd, large, patches]);
    shapes
}

fn reference_conv(x: &[f32], shape: &Conv2dShape, w: &[f32], b: &[f32], r: &[f32]) -> Vec<(f64, f64)> {
    let [ih, iw] = shape.input;
    let c = shape.in_channels;
    let n = shape.out_channels;
    let source = |at: usize, kernel: usize, before: usize, from: usize, to: usize| {
        let i = (at * shape.stride + kernel).checked_sub(before).filter(|i| *i < to)?;
        Some(((i as f32 * (from as f32 / to as f32)) as usize).min(from - 1))
    };
    let mut out = Vec::new();
    for (at, r) in r.iter().enumerate() {
        let o = at % n;
        let pixel = at / n;
        let column = pixel % shape.output[1];
        let row = pixel / shape.output[1] % shape.output[0];
        let picture = pixel / (shape.output[0] * shape.output[1]) * ih * iw;
        let mut sum = f64::from(b[o]) + f64::from(*r);
        let mut size = f64::from(b[o].abs()) + f64::from(r.abs());
        for ky in 0..shape.kernel[0] {
            for kx in 0..shape.kernel[1] {
                let y = source(row, ky, shape.padding_before[0], ih, shape.stretched[0]);
                let xx = source(column, kx, shape.padding_before[1], iw, shape.stretched[1]);
                let (Some(y), Some(xx)) = (y, xx) else { continue };
                for i in 0..c {
                    let x = f64::from(x[(picture + y * iw + xx) * c + i]);
                    let term = x * f64::from(w[((o * shape.kernel[0] + ky) * shape.kernel[1] + kx) * c + i]);
                    sum += term;
                    size += term.abs();
                }
            }
        }
        out.push((sum, size));
    }
    out
}

#[test]
fn convolutions() {
    at_every_level(|| {
        for shape in conv_shapes() {
            let [ih, iw] = shape.input;
            let k = shape.kernel[0] * shape.kernel[1] * shape.in_channels;
            let pixels = shape.batch * shape.output[0] * shape.output[1];
            let x = values(shape.batch * ih * iw * shape.in_channels, 1, 0.0);
            let w = values(shape.out_channels * k, 2, 0.0);
            let b = values(shape.out_channels, 3, 0.0);
            let r = values(pixels * shape.out_channels, 4, 0.0);
            let want = reference_conv(&x, &shape, &w, &b, &r);
            let mut got = vec![f32::NAN; pixels * shape.out_channels];
            conv2d(&x, &shape, Weight::F32(&w), Some(&b), Some(&r), Activation::None, &mut got);
            assert_near(&got, &want, sum_tolerance(k), &format!("{shape:?}"));
            let packed = PackedWeight::new(Weight::F32(&w), [shape.out_channels, k]);
            let mut again = vec![f32::NAN; got.len()];
            conv2d(&x, &shape, &packed, Some(&b), Some(&r), Activation::None, &mut again);
            assert_eq!(got, again, "packed {shape:?}");
            conv2d(&x, &shape, &packed, Some(&b), Some(&r), Activation::Relu, &mut again);
            assert!(got.iter().zip(&again).all(|(a, b)| a.max(0.0) == *b), "activation {shape:?}");
        }
    });
}

/// A depthwise convolution is a dense one whose kernels are zero for all channels but their own.
#[test]
fn depthwise_convolutions() {
    at_every_level(|| {
        for (size, channels, kernel, stride) in
            [([1, 1], 1, 3, 1), ([5, 7], 6, 3, 1), ([8, 9], 35, 3, 2), ([6, 6], 16, 5, 1)]
        {
            let shape = shape(2, size, [channels, channels], kernel, stride);
            let x = values(2 * size[0] * size[1] * channels, 1, 0.0);
            let taps = kernel * kernel;
            let weight = values(taps * channels, 2, 0.0);
            let bias = values(channels, 3, 0.0);
            let dense: Vec<f32> = (0..channels * taps * channels)
                .map(|i| if i / taps / channels == i % channels { weight[i % (taps * channels)] } else { 0.0 })
                .collect();
            let pixels = 2 * shape.output[0] * shape.output[1];
            let want = reference_conv(&x, &shape, &dense, &bias, &vec![0.0; pixels * channels]);
            let mut got = vec![f32::NAN; pixels * channels];
            depthwise(&x, &shape, &weight, &bias, Activation::None, &mut got);
            assert_near(&got, &want, sum_tolerance(taps), &format!("{shape:?}"));
            let mut active = vec![f32::NAN; got.len()];
            depthwise(&x, &shape, &weight, &bias, Activation::Relu, &mut active);
            assert!(got.iter().zip(&active).all(|(a, b)| a.max(0.0) == *b), "activation {shape:?}");
        }
    });
}

fn reference_attention(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    bias: Option<&[f32]>,
    shape: &AttentionShape,
) -> Vec<(f64, f64)> {
    let AttentionShape { batch, queries, keys, heads, width, scale, causal } = *shape;
    let hidden = heads * width;
    let mut out = vec![(0.0, 0.0); q.len()];
    for (b, query, head) in (0..batch * queries * heads).map(|i| (i / heads / queries, i / heads % queries, i % heads))
    {
        let at = (b * queries + query) * hidden + head * width;
        let visible = if causal { keys.min(query + 1) } else { keys };
        let row = |key: usize| (b * keys + key) * hidden + head * width;
        let score = |key: usize| {
            let pairs = q[at..at + width].iter().zip(&k[row(key)..]);
            let bias = bias.map_or(0.0, |bias| bias[(head * queries + query) * keys + key]);
            pairs.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() * f64::from(scale) + f64::from(bias)
        };
        let scores: Vec<f64> = (0..visible).map(score).collect();
        let largest = scores.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        for i in 0..width {
            let terms = weights.iter().enumerate().map(|(key, w)| w / total * f64::from(v[row(key) + i]));
            out[at + i] = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
        }
    }
    out
}

#[test]
fn attentions() {
    let shapes = [
        (1, 1, 1, 1, 1, false),
        (2, 3, 5, 2, 7, false),
        (1, 50, 77, 2, 40, false),
        (1, 77, 77, 3, 64, true),
        (2, 49, 600, 1, 80, false),
        (1, 300, 300, 1, 33, true),
        (1, 13, 257, 2, 160, false),
        (1, 9, 4096, 1, 40, false),
        (1, 600, 20, 1, 8, true),
    ];
    at_every_level(|| {
        for (batch, queries, keys, heads, width, causal) in shapes {
            for size in [1.0, 8.0] {
                let scale = 1.0 / (width as f32).sqrt();
                let shape = AttentionShape { batch, queries, keys, heads, width, scale, causal };
                let q: Vec<f32> = values(batch * queries * heads * width, 1, 0.0).iter().map(|x| x * size).collect();
                let k = values(batch * keys * heads * width, 2, 0.3);
                let v = values(batch * keys * heads * width, 3, 0.0);
                let mut got = vec![f32::NAN; q.len()];
                attention(&q, &k, &v, &shape, &mut got);
                // A score of size 50 is itself rounded by 3e-6, and a weight changes by as much.
                let tolerance = 3e-6 * f64::from(size);
                let want = reference_attention(&q, &k, &v, None, &shape);
                assert_near(&got, &want, tolerance, &format!("{shape:?} size {size}"));
                let bias: Vec<f32> = values(heads * queries * keys, 4, 0.0).iter().map(|x| x * 2.0 * size).collect();
                attention_biased(&q, &k, &v, Bias::Table(&bias), &shape, &mut got);
                let want = reference_attention(&q, &k, &v, Some(&bias), &shape);
                assert_near(&got, &want, tolerance, &format!("{shape:?} size {size} with a bias"));
            }
        }
    });
}

/// Relative positions are a table that differs from sequence to sequence.
#[test]
fn relative_positions() {
    at_every_level(|| {
        for (batch, grid, heads, width) in
            [(2, [3, 5], 2, 7), (1, [17, 19], 1, 16), (3, [1, 1], 2, 4), (1, [1, 9], 1, 3)]
        {
            let [height, across] = grid;
            let tokens = height * across;
            let scale = 0.5;
            let shape = AttentionShape { batch, queries: tokens, keys: tokens, heads, width, scale, causal: false };
            let [q, k, v] = [1, 2, 3].map(|seed| values(batch * tokens * heads * width, seed, 0.1));
            let rows = values(batch * tokens * heads * (2 * height - 1), 4, 0.0);
            let columns = values(batch * tokens * heads * (2 * across - 1), 5, 0.0);
            let mut got = vec![f32::NAN; q.len()];
            let relative = Relative { grid, rows: &rows, columns: &columns };
            attention_biased(&q, &k, &v, Bias::Relative(relative), &shape, &mut got);
            let part = tokens * heads * width;
            for b in 0..batch {
                let table = (0..heads * tokens * tokens).map(|i| {
                    let [head, query, key] = [i / tokens / tokens, i / tokens % tokens, i % tokens];
                    let at = (b * tokens + query) * heads + head;
                    let row = query / across + height - 1 - key / across;
                    let column = query % across + across - 1 - key % across;
                    rows[at * (2 * height - 1) + row] + columns[at * (2 * across - 1) + column]
                });
                let table: Vec<f32> = table.collect();
                let [q, k, v, got] = [&q, &k, &v, &got].map(|x| &x[b * part..][..part]);
                let one = AttentionShape { batch: 1, ..shape };
                let want = reference_attention(q, k, v, Some(&table), &one);
                assert_near(got, &want, 3e-6, &format!("{shape:?} on {grid:?}, sequence {b}"));
            }
        }
    });
}

#[test]
fn scores_far_beyond_the_range_of_exp_pick_the_largest() {
    at_every_level(|| {
        let shape = AttentionShape { batch: 1, queries: 1, keys: 300, heads: 1, width: 1, scale: 1.0, causal: false };
        let k: Vec<f32> = (0..300).map(|i| if i == 270 { 1e6 } else { -1e6 + i as f32 }).collect();
        let v: Vec<f32> = (0..300).map(|i| i as f32).collect();
        let mut out = [0.0];
        attention(&[100.0], &k, &v, &shape, &mut out);
        assert_eq!(out, [270.0]);
    });
}
