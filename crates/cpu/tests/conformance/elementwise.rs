//! Activations and norms.

use crate::{assert_near, at_every_level, values};
use easel_cpu::Activation;
use easel_cpu::norm::{group_norm, layer_norm, rms_norm};
use easel_cpu::rope::rope;

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
                let left = f64::from(row[i % width]);
                let right = f64::from(row[width + i % width]);
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
                let w = values(width, 6, 1.0);
                let b = values(width, 7, 0.0);
                let mut got = vec![0.0; x.len()];
                layer_norm(&x, width, eps, Some(&w), Some(&b), &mut got);
                let want: Vec<_> = x.chunks(width).flat_map(|row| normalised(row, eps, |i| (w[i], b[i]))).collect();
                assert_near(&got, &want, 4e-7, &format!("{rows}x{width} mean {mean} size {size}"));
            }
        }
    });
}

#[test]
fn rms_norms() {
    at_every_level(|| {
        for (rows, width) in [(1, 1), (2, 3), (5, 31), (77, 64), (2, 5001)] {
            for (size, eps) in [(1.0, 1e-6), (1e-4, 1e-6)] {
                let x: Vec<f32> = values(rows * width, 5, 0.5).iter().map(|x| x * size).collect();
                let w = values(width, 6, 1.0);
                let mut got = vec![0.0; x.len()];
                rms_norm(&x, width, eps, Some(&w), &mut got);
                let row = |row: &[f32]| -> Vec<(f64, f64)> {
                    let square = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / width as f64;
                    let inverse = 1.0 / (square + f64::from(eps)).sqrt();
                    let of = |(x, w): (&f32, &f32)| f64::from(*x) * inverse * f64::from(*w);
                    row.iter().zip(&w).map(of).map(|y| (y, y.abs())).collect()
                };
                let want: Vec<_> = x.chunks(width).flat_map(row).collect();
                assert_near(&got, &want, 4e-7, &format!("{rows}x{width} size {size}"));
            }
        }
    });
}

#[test]
fn pairs_turn_by_the_angles_of_their_position() {
    at_every_level(|| {
        for (batch, tokens, heads, pairs) in [(1, 1, 1, 1), (2, 5, 3, 4), (1, 77, 2, 64), (2, 300, 5, 9)] {
            let hidden = heads * 2 * pairs;
            let x = values(batch * tokens * hidden, 5, 0.0);
            let turn = |i: usize| (i / pairs) as f32 / (1 + i % pairs) as f32;
            let angles: Vec<f32> = (0..tokens * pairs).flat_map(|i| [turn(i).cos(), turn(i).sin()]).collect();
            let mut got = vec![0.0; x.len()];
            rope(&x, [tokens, hidden], &angles, &mut got);
            let turned = |(i, pair): (usize, &[f32])| {
                let at = (i / pairs / heads % tokens * pairs + i % pairs) * 2;
                let [c, s] = [at, at + 1].map(|at| f64::from(angles[at]));
                let [a, b] = [f64::from(pair[0]), f64::from(pair[1])];
                [(a * c - b * s, a.abs() + b.abs()), (a * s + b * c, a.abs() + b.abs())]
            };
            let want: Vec<_> = x.chunks(2).enumerate().flat_map(turned).collect();
            assert_near(&got, &want, 2e-7, &format!("{batch}x{tokens}, {heads} heads of {pairs} pairs"));
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
                let w = values(channels, 9, 1.0);
                let b = values(channels, 10, 0.0);
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

#[test]
fn a_group_of_one_value_becomes_its_bias_exactly() {
    at_every_level(|| {
        let mut got = [f32::NAN; 6];
        group_norm(
            &[0.1, 0.7, -1.3, 1e3, 3.3, 1e-3],
            [2, 1, 3],
            3,
            1e-5,
            &[1.1; 3],
            &[0.5, 2.0, 3.0],
            Activation::None,
            &mut got,
        );
        assert_eq!(got, [0.5, 2.0, 3.0, 0.5, 2.0, 3.0]);
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
