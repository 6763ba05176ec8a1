//! Every kernel at every level of this machine against plain loops in `f64`.
//!
//! Tolerances are relative to the sum of the magnitudes that a result is made of, in units of `f32` rounding.

use easel_cpu::attention::{AttentionShape, attention};
use easel_cpu::conv2d::{Conv2dShape, conv2d};
use easel_cpu::linear::linear;
use easel_cpu::norm::{group_norm, layer_norm};
use easel_cpu::{Activation, Level, PackedConv, PackedLinear, Weight};
use half::{bf16, f16};

/// Reproducible values, roughly normal, around `mean`.
fn values(len: usize, seed: u32, mean: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next() + next() + next() + mean).collect()
}

/// Runs `f` at every level, and says at which one it failed.
fn at_every_level(f: impl Fn()) {
    for level in Level::available() {
        println!("level {level:?}");
        level.with(&f);
    }
}

/// Asserts `|got - want| <= tolerance * magnitude` for each element.
#[track_caller]
fn assert_near(got: &[f32], want: &[(f64, f64)], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, (want, magnitude))) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        let allowed = tolerance * magnitude.max(1e-30);
        assert!(error <= allowed, "{what}, element {i}: {got} instead of {want}, {:.1} times too far", error / allowed);
    }
}

/// The activation in `f64`.
fn activate(activation: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Silu => x * sigmoid(x),
        Activation::Gelu => 0.5 * x * libm::erfc(-x / 2.0_f64.sqrt()),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => sigmoid(x),
    }
}

const ACTIVATIONS: [Activation; 8] = [
    Activation::None,
    Activation::Relu,
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Tanh,
    Activation::Sigmoid,
];

#[test]
fn activations() {
    at_every_level(|| {
        for activation in ACTIVATIONS {
            let mut xs: Vec<f32> = (-12_000..12_000).map(|i| i as f32 * 0.001_3).collect();
            xs.extend([0.0, -0.0, 1e-8, -1e-8, 1e-40, 80.0, -80.0, 200.0, -200.0, 1e30, -1e30]);
            let want: Vec<_> =
                xs.iter().map(|x| (activate(activation, f64::from(*x)), 1.0 + f64::from(x.abs()))).collect();
            activation.apply(&mut xs);
            assert_near(&xs, &want, 2e-7, &format!("{activation:?}"));
        }
    });
}

#[test]
fn tanh_and_sigmoid_are_relatively_exact_near_zero_and_far_below() {
    at_every_level(|| {
        let xs: Vec<f32> = (1..2000).map(|i| i as f32 * 1e-3).chain([1e-6, 1e-20]).collect();
        let mut got = xs.clone();
        Activation::Tanh.apply(&mut got);
        let want: Vec<_> = xs.iter().map(|x| (f64::from(*x).tanh(), f64::from(*x).tanh())).collect();
        assert_near(&got, &want, 4e-7, "tanh");
        let mut got: Vec<_> = xs.iter().map(|x| -40.0 * x).collect();
        let want: Vec<_> = got.iter().map(|x| activate(Activation::Sigmoid, f64::from(*x))).map(|y| (y, y)).collect();
        Activation::Sigmoid.apply(&mut got);
        assert_near(&got, &want, 4e-7, "sigmoid");
    });
}

#[test]
fn gelu_is_relatively_exact_where_a_sum_with_one_would_have_lost_it() {
    at_every_level(|| {
        let xs: Vec<f32> = (-12_000..12_000).map(|i| i as f32 * 1e-3).collect();
        let of = |x: &f32| (activate(Activation::Gelu, f64::from(*x)), f64::from(*x));
        let want: Vec<_> = xs.iter().map(of).map(|(y, x)| (y, y.abs() * (1.0 + x * x))).collect();
        let mut got = xs;
        Activation::Gelu.apply(&mut got);
        assert_near(&got, &want, 5e-7, "gelu");
    });
}

#[test]
fn geglu() {
    at_every_level(|| {
        for (rows, width) in [(1, 1), (3, 7), (5, 64), (40, 1283)] {
            let x = values(rows * width * 2, 3, 0.0);
            let mut got = vec![0.0; rows * width];
            easel_cpu::activation::geglu(&x, width, &mut got);
            let at = |i: usize| {
                let row = &x[i / width * 2 * width..];
                let (left, right) = (f64::from(row[i % width]), f64::from(row[width + i % width]));
                (left * activate(Activation::Gelu, right), 1.0 + left.abs() * (1.0 + right.abs()))
            };
            let want: Vec<_> = (0..rows * width).map(at).collect();
            assert_near(&got, &want, 2e-7, &format!("geglu {rows}x{width}"));
        }
    });
}

#[test]
fn layer_norms() {
    at_every_level(|| {
        for (rows, width) in [(1, 1), (2, 3), (7, 8), (5, 31), (77, 320), (3, 4096), (2, 5001)] {
            for (mean, size, eps) in [(0.0, 1.0, 1e-5), (100.0, 1.0, 1e-5), (0.0, 1e-4, 1e-6), (3.0, 1e-3, 1e-12)] {
                let x: Vec<f32> = values(rows * width, 5, 0.0).iter().map(|x| x * size + mean).collect();
                let (w, b) = (values(width, 6, 1.0), values(width, 7, 0.0));
                let mut got = vec![0.0; x.len()];
                layer_norm(&x, width, eps, Some(&w), Some(&b), &mut got);
                let want: Vec<_> = x.chunks(width).flat_map(|row| normalised(row, eps, |i| (w[i], b[i]))).collect();
                assert_near(&got, &want, 4e-7, &format!("{rows}x{width} mean {mean} size {size}"));
            }
        }
    });
}

/// `(x - mean) / sqrt(var + eps) * weight + bias`. The magnitude grows with the ratio of mean to deviation, as rounding
/// the mean to `f32` does.
fn normalised(xs: &[f32], eps: f32, affine: impl Fn(usize) -> (f32, f32)) -> Vec<(f64, f64)> {
    let n = xs.len() as f64;
    let mean = xs.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let variance = xs.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
    let inverse = 1.0 / (variance + f64::from(eps)).sqrt();
    let of = |(i, x): (usize, &f32)| {
        let (w, b) = affine(i);
        let y = (f64::from(*x) - mean) * inverse * f64::from(w);
        let magnitude = y.abs() + f64::from(b.abs()) + (mean * inverse * f64::from(w)).abs();
        (y + f64::from(b), magnitude.max(f64::from(w.abs())))
    };
    xs.iter().enumerate().map(of).collect()
}

#[test]
fn group_norms() {
    at_every_level(|| {
        for (batch, pixels, channels, groups) in [
            (1, 1, 1, 1),
            (2, 1, 4, 4),
            (1, 5, 6, 2),
            (2, 63, 64, 32),
            (1, 300, 320, 32),
            (1, 4096, 8, 1),
            (1, 9, 35, 5),
        ] {
            for (mean, size, eps) in [(0.0, 1.0, 1e-5), (100.0, 1.0, 1e-5), (0.0, 1e-4, 1e-6), (5.0, 1e-2, 1e-6)] {
                let shape = [batch, pixels, channels];
                let x = values(batch * pixels * channels, 8, 0.0);
                let x: Vec<f32> = x.iter().map(|x| x * size + mean).collect();
                let (w, b) = (values(channels, 9, 1.0), values(channels, 10, 0.0));
                let mut got = vec![0.0; x.len()];
                group_norm(&x, shape, groups, eps, &w, &b, Activation::None, &mut got);
                let want = reference_group_norm(&x, shape, groups, eps, &w, &b);
                assert_near(&got, &want, 4e-7, &format!("{shape:?}/{groups} mean {mean} size {size}"));
                let mut silu = vec![0.0; x.len()];
                group_norm(&x, shape, groups, eps, &w, &b, Activation::Silu, &mut silu);
                Activation::Silu.apply(&mut got);
                assert_eq!(silu, got, "the fused activation is the separate one");
            }
        }
    });
}

fn reference_group_norm(
    x: &[f32],
    [_, pixels, channels]: [usize; 3],
    groups: usize,
    eps: f32,
    w: &[f32],
    b: &[f32],
) -> Vec<(f64, f64)> {
    let width = channels / groups;
    let mut out = vec![(0.0, 0.0); x.len()];
    for (picture, x) in x.chunks(pixels * channels).enumerate() {
        for group in 0..groups {
            let at = |i: usize| i / width * channels + group * width + i % width;
            let members: Vec<f32> = (0..pixels * width).map(|i| x[at(i)]).collect();
            let affine = |i: usize| (w[group * width + i % width], b[group * width + i % width]);
            for (i, y) in normalised(&members, eps, affine).into_iter().enumerate() {
                out[picture * pixels * channels + at(i)] = y;
            }
        }
    }
    out
}

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
            let (x, w, b, r) = (values(m * k, 1, 0.0), values(n * k, 2, 0.0), values(n, 3, 0.0), values(m * n, 4, 0.0));
            let halves: Vec<f16> = w.iter().map(|w| f16::from_f32(*w)).collect();
            let brains: Vec<bf16> = w.iter().map(|w| bf16::from_f32(*w)).collect();
            for weight in [Weight::F32(&w), Weight::F16(&halves), Weight::Bf16(&brains)] {
                let wide: Vec<f32> = match weight {
                    Weight::F32(w) => w.to_vec(),
                    Weight::F16(w) => w.iter().map(|w| w.to_f32()).collect(),
                    Weight::Bf16(w) => w.iter().map(|w| w.to_f32()).collect(),
                };
                let want: Vec<_> = (0..m * n)
                    .map(|i| {
                        let (row, column) = (&x[i / n * k..][..k], &wide[i % n * k..][..k]);
                        let products = row.iter().zip(column).map(|(x, w)| f64::from(*x) * f64::from(*w));
                        let rest = [f64::from(b[i % n]), f64::from(r[i])];
                        products.chain(rest).fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()))
                    })
                    .collect();
                let mut got = vec![f32::NAN; m * n];
                linear(&x, [m, n, k], weight, Some(&b), Some(&r), Activation::None, &mut got);
                assert_near(&got, &want, sum_tolerance(k), &format!("linear {m}x{n}x{k}"));
                let mut packed = vec![f32::NAN; m * n];
                let layer = PackedLinear::new(weight, [n, k]);
                layer.run(&x, m, Some(&b), Some(&r), Activation::None, &mut packed);
                assert_eq!(got, packed, "packed linear {m}x{n}x{k}");
                layer.run(&x, m, Some(&b), Some(&r), Activation::Silu, &mut packed);
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
        PackedLinear::new(Weight::F16(&halves), [halves.len(), 1]).run(
            &[1.0],
            1,
            None,
            None,
            Activation::None,
            &mut out,
        );
        assert!(halves.iter().zip(&out).all(|(h, x)| h.to_f32() == *x));
        let nan = [f16::NAN, f16::INFINITY, f16::NEG_INFINITY];
        let mut out = [0.0; 3];
        PackedLinear::new(Weight::F16(&nan), [3, 1]).run(&[1.0], 1, None, None, Activation::None, &mut out);
        assert!(out[0].is_nan() && out[1] == f32::INFINITY && out[2] == f32::NEG_INFINITY);
    });
}

fn shape(batch: usize, input: [usize; 2], channels: [usize; 2], kernel: usize, stride: usize) -> Conv2dShape {
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
    let (c, n) = (shape.in_channels, shape.out_channels);
    let source = |at: usize, kernel: usize, before: usize, from: usize, to: usize| {
        let i = (at * shape.stride + kernel).checked_sub(before).filter(|i| *i < to)?;
        Some(((i as f32 * (from as f32 / to as f32)) as usize).min(from - 1))
    };
    let mut out = Vec::new();
    for (at, r) in r.iter().enumerate() {
        let (o, pixel) = (at % n, at / n);
        let (column, row) = (pixel % shape.output[1], pixel / shape.output[1] % shape.output[0]);
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
            let (w, b) = (values(shape.out_channels * k, 2, 0.0), values(shape.out_channels, 3, 0.0));
            let r = values(pixels * shape.out_channels, 4, 0.0);
            let want = reference_conv(&x, &shape, &w, &b, &r);
            let mut got = vec![f32::NAN; pixels * shape.out_channels];
            conv2d(&x, &shape, Weight::F32(&w), Some(&b), Some(&r), Activation::None, &mut got);
            assert_near(&got, &want, sum_tolerance(k), &format!("{shape:?}"));
            let packed = PackedConv::new(Weight::F32(&w), shape.out_channels, shape.kernel, shape.in_channels);
            let mut again = vec![f32::NAN; got.len()];
            packed.run(&x, &shape, Some(&b), Some(&r), Activation::None, &mut again);
            assert_eq!(got, again, "packed {shape:?}");
            packed.run(&x, &shape, Some(&b), Some(&r), Activation::Relu, &mut again);
            assert!(got.iter().zip(&again).all(|(a, b)| a.max(0.0) == *b), "activation {shape:?}");
        }
    });
}

fn reference_attention(q: &[f32], k: &[f32], v: &[f32], shape: &AttentionShape) -> Vec<(f64, f64)> {
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
            pairs.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() * f64::from(scale)
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
                assert_near(
                    &got,
                    &reference_attention(&q, &k, &v, &shape),
                    tolerance,
                    &format!("{shape:?} size {size}"),
                );
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

/// The bytes of one picture of a batch, and with other numbers of threads.
#[test]
fn nothing_depends_on_batch_or_threads() {
    at_every_level(|| {
        let level = Level::current();
        let run = |threads: usize, batch: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| level.with(|| everything(batch)))
        };
        let alone = run(1, 1);
        for (threads, batch) in [(2, 1), (5, 1), (1, 3), (3, 7)] {
            let batched = run(threads, batch);
            for (alone, batched) in alone.iter().zip(&batched) {
                assert!(batched.chunks(alone.len()).all(|part| part == alone), "{threads} threads, batch {batch}");
            }
        }
    });
}

/// Each kernel on a batch of the same picture.
fn everything(batch: usize) -> Vec<Vec<f32>> {
    let repeat = |x: Vec<f32>| x.repeat(batch);
    let mut outs = Vec::new();
    for conv in [shape(batch, [17, 19], [40, 50], 3, 1), shape(batch, [32, 32], [64, 64], 3, 1)] {
        let [h, w] = conv.input;
        let mut out = vec![0.0; batch * h * w * conv.out_channels];
        let weight = values(conv.out_channels * 9 * conv.in_channels, 2, 0.0);
        let x = repeat(values(h * w * conv.in_channels, 1, 0.0));
        conv2d(&x, &conv, Weight::F32(&weight), None, None, Activation::Silu, &mut out);
        outs.push(out);
    }
    let mut out = vec![0.0; batch * 70];
    let (x, w) = (repeat(values(700, 1, 0.0)), values(70 * 700, 2, 0.0));
    linear(&x, [batch, 70, 700], Weight::F32(&w), None, None, Activation::None, &mut out);
    outs.push(out);
    let x = repeat(values(300 * 320, 1, 1.0));
    let mut out = vec![0.0; x.len()];
    group_norm(&x, [batch, 300, 320], 32, 1e-6, &[1.0; 320], &[0.0; 320], Activation::Silu, &mut out);
    outs.push(out);
    let shape = AttentionShape { batch, queries: 300, keys: 300, heads: 8, width: 40, scale: 0.2, causal: false };
    let mut out = vec![0.0; x.len()];
    attention(&x, &x, &x, &shape, &mut out);
    outs.push(out);
    outs
}

#[test]
fn empty_inputs_do_nothing() {
    at_every_level(|| {
        linear(&[], [0, 3, 2], Weight::F32(&[0.0; 6]), None, None, Activation::None, &mut []);
        let mut out = [f32::NAN; 2];
        linear(&[], [1, 2, 0], Weight::F32(&[]), Some(&[1.0, 2.0]), None, Activation::None, &mut out);
        assert_eq!(out, [1.0, 2.0], "no terms: the bias");
        group_norm(&[], [0, 4, 4], 2, 1e-5, &[1.0; 4], &[0.0; 4], Activation::None, &mut []);
        layer_norm(&[], 4, 1e-5, None, None, &mut []);
    });
}
