//! `group_norm`, `layer_norm`, `rms_norm` and `mean_and_std`.

use super::{Expected, activate, activations, assert_near, random, store, values};
use easel_webgpu::Context;
use easel_webgpu::ops::{self, Activation, LayerNorm};
use easel_webgpu::shader::Format;

/// Mean and variance.
fn moments(x: &[f32]) -> (f64, f64) {
    let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
    let square = |x: &f32| (f64::from(*x) - mean).powi(2);
    (mean, x.iter().map(square).sum::<f64>() / x.len() as f64)
}

async fn check_group_norm(
    context: &Context,
    [batch, pixels, channels]: [usize; 3],
    groups: usize,
    mean: f32,
    format: Format,
) {
    let x = store(context, &values(batch * pixels * channels, 1, mean), &[batch, pixels, 1, channels], format);
    let weight = random(context, &[channels], 2, format);
    let bias = random(context, &[channels], 3, format);
    let eps = 1e-5;
    let y = ops::group_norm(context, &x.array, groups, eps, &weight.array, &bias.array, Activation::Silu).unwrap();
    let width = channels / groups;
    let mut want = vec![(0.0, 0.0); x.values.len()];
    for (n, image) in x.values.chunks(pixels * channels).enumerate() {
        for group in 0..groups {
            let part = |pixel: usize| image[pixel * channels + group * width..][..width].to_vec();
            let all: Vec<f32> = (0..pixels).flat_map(part).collect();
            let (mean, variance) = moments(&all);
            for (i, value) in all.iter().enumerate() {
                let channel = group * width + i % width;
                let normal = (f64::from(*value) - mean) / (variance + f64::from(eps)).sqrt();
                let w = f64::from(weight.values[channel]);
                let b = f64::from(bias.values[channel]);
                let at = (n * pixels + i / width) * channels + channel;
                want[at] = (activate(Activation::Silu, normal * w + b), (normal * w).abs() + b.abs() + w.abs());
            }
        }
    }
    let what = format!("group_norm [{batch}, {pixels}, {channels}] in {groups} around {mean} {format:?}");
    // A mean of 1000 leaves 14 bits of the deviation.
    let tolerance = if mean == 0.0 { 3e-6 } else { 2e-4 };
    assert_near(context, &y, x.array.shape(), &want, tolerance, &what).await;
}

pub(crate) async fn group_norm_of_every_shape(context: &Context) {
    let shapes = [
        ([1, 1, 4], 2),
        ([2, 9, 6], 3),
        ([1, 50, 5], 1),
        ([2, 77, 40], 4),
        ([1, 300, 64], 32),
        ([1, 64, 320], 32),
        ([3, 33, 36], 2),
    ];
    for (shape, groups) in shapes {
        for &format in activations(context) {
            check_group_norm(context, shape, groups, 0.0, format).await;
        }
        check_group_norm(context, shape, groups, 1000.0, Format::F32).await;
    }
    // More pixels than chunks of the smallest size.
    check_group_norm(context, [1, 40_000, 4], 1, 0.0, Format::F32).await;
}

/// Optional arrays of a row norm, and their effect on a normalised number.
#[derive(Clone, Copy)]
struct Parts {
    weight: bool,
    bias: bool,
    modulated: bool,
    rms: bool,
}

async fn check_row_norm(context: &Context, [rows, width]: [usize; 2], format: Format, vectors: Format, parts: Parts) {
    let x = store(context, &values(rows * width, 1, 0.5), &[rows, width], format);
    let vector = |seed, present: bool| present.then(|| random(context, &[width], seed, vectors));
    let weight = vector(2, parts.weight);
    let bias = vector(3, parts.bias);
    let modulation = parts.modulated.then(|| [4, 5].map(|seed| random(context, &[rows / 2, width], seed, format)));
    let eps = 1e-5_f32;
    let y = if parts.rms {
        ops::rms_norm(context, &x.array, eps, weight.as_ref().map(|w| &w.array))
    } else {
        let norm = LayerNorm {
            weight: weight.as_ref().map(|w| &w.array),
            bias: bias.as_ref().map(|b| &b.array),
            modulation: modulation.as_ref().map(|[scale, shift]| (&scale.array, &shift.array)),
        };
        ops::layer_norm(context, &x.array, eps, norm)
    };
    let want: Vec<Expected> = x
        .values
        .chunks(width)
        .enumerate()
        .flat_map(|(row, x)| {
            let (mean, variance) = moments(x);
            let (mean, square) = if parts.rms { (0.0, variance + mean * mean) } else { (mean, variance) };
            let value = |(i, x): (usize, &f32)| {
                let normal = (f64::from(*x) - mean) / (square + f64::from(eps)).sqrt();
                let w = weight.as_ref().map_or(1.0, |w| f64::from(w.values[i]));
                let b = bias.as_ref().map_or(0.0, |b| f64::from(b.values[i]));
                let [scale, shift] = modulation.as_ref().map_or([0.0; 2], |arrays| {
                    [0, 1].map(|side: usize| f64::from(arrays[side].values[row / 2 * width + i]))
                });
                let factor = 1.0 + scale.abs();
                (
                    (normal * w + b) * (1.0 + scale) + shift,
                    ((normal * w).abs() + w.abs() + b.abs()) * factor + shift.abs(),
                )
            };
            x.iter().enumerate().map(value).collect::<Vec<_>>()
        })
        .collect();
    let what = format!("norm of {rows} x {width} {format:?} {vectors:?}, rms: {}", parts.rms);
    assert_near(context, &y.unwrap(), &[rows, width], &want, 3e-6, &what).await;
}

pub(crate) async fn row_norms_of_every_shape(context: &Context) {
    let plain = Parts { weight: false, bias: false, modulated: false, rms: false };
    let variants = [
        plain,
        Parts { weight: true, bias: true, ..plain },
        Parts { modulated: true, ..plain },
        Parts { weight: true, bias: true, modulated: true, ..plain },
        Parts { rms: true, ..plain },
        Parts { weight: true, rms: true, ..plain },
    ];
    for shape in [[2, 1], [4, 5], [2, 64], [6, 320], [2, 1281], [2, 2048]] {
        for parts in variants {
            for &format in activations(context) {
                for vectors in [Format::F32, Format::F16, Format::Bf16] {
                    check_row_norm(context, shape, format, vectors, parts).await;
                }
            }
        }
    }
}

pub(crate) async fn mean_and_std_of_every_picture(context: &Context) {
    for shape in [[1, 1, 2, 1], [3, 4, 5, 4], [2, 20, 20, 3]] {
        let numbers = values(shape.iter().product(), 1, 3.0);
        let x = store(context, &numbers, &shape, Format::F32);
        let (mean, std) = ops::mean_and_std(context, &x.array).unwrap();
        let elements = numbers.len() / shape[0];
        let all: Vec<_> = numbers.chunks(elements).map(moments).collect();
        let want_mean: Vec<Expected> = all.iter().map(|(mean, _)| (*mean, 3.0)).collect();
        let unbiased = elements as f64 / (elements as f64 - 1.0);
        let want_std: Vec<Expected> = all.iter().map(|(_, variance)| ((variance * unbiased).sqrt(), 1.0)).collect();
        let expected_shape = [shape[0], 1, 1, 1];
        for (got, want) in [(mean, want_mean), (std, want_std)] {
            assert_near(context, &got, &expected_shape, &want, 1e-6, "mean_and_std").await;
        }
    }
}
