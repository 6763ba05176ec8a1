//! Arithmetic with broadcasting, functions, and sums of many.

use super::{Expected, activate, activations, assert_near, exactly, random, read, store};
use easel_webgpu::Context;
use easel_webgpu::ops::{self, Activation, Binary};
use easel_webgpu::shader::Format;

/// Index into an array of shape `small` of element `i` of an array of shape `large`.
fn broadcast(mut i: usize, large: &[usize], small: &[usize]) -> usize {
    let mut at = 0;
    let mut stride = 1;
    for (axis, size) in large.iter().rev().enumerate() {
        let own = small.len().checked_sub(axis + 1).map_or(1, |axis| small[axis]);
        at += (i % size % own) * stride;
        stride *= own;
        i /= size;
    }
    at
}

pub(crate) async fn binary_with_every_broadcast(context: &Context) {
    let shapes: [(&[usize], &[usize]); 13] = [
        (&[1], &[1]),
        (&[7], &[7]),
        (&[2, 3, 4], &[2, 3, 4]),
        (&[2, 3, 4], &[4]),
        (&[2, 3, 4], &[1, 3, 1]),
        (&[2, 3, 8], &[2, 1, 8]),
        (&[2, 3, 5], &[2, 1, 5]),
        (&[3, 4, 4, 4], &[3, 1, 1, 1]),
        (&[2, 4, 5, 12], &[1]),
        (&[2, 4, 5, 12], &[2, 1, 5, 1]),
        (&[2, 2, 2, 2, 4], &[1, 2, 1, 2, 1]),
        (&[300, 7], &[300, 1]),
        (&[16, 6], &[1, 6]),
    ];
    for (large, small) in shapes {
        for &format in activations(context) {
            let a = random(context, large, 1, format);
            let b = store(context, &super::values(small.iter().product(), 2, 5.0), small, Format::F32);
            for operation in Binary::ALL {
                let y = ops::binary(context, operation, &a.array, &b.array).unwrap();
                let element = |(i, a): (usize, &f32)| -> Expected {
                    let a = f64::from(*a);
                    let b = f64::from(b.values[broadcast(i, large, small)]);
                    match operation {
                        Binary::Add => (a + b, a.abs() + b.abs()),
                        Binary::Sub => (a - b, a.abs() + b.abs()),
                        Binary::Mul => (a * b, (a * b).abs()),
                        Binary::Div => (a / b, (a / b).abs()),
                    }
                };
                let want: Vec<_> = a.values.iter().enumerate().map(element).collect();
                let what = format!("{operation:?} {large:?} {small:?} {format:?}");
                assert_near(context, &y, large, &want, 4e-7, &what).await;
            }
        }
    }
}

pub(crate) async fn functions_of_every_element(context: &Context) {
    let points: Vec<f32> = (-260..=260).map(|i| i as f32 / 13.0).chain([-90.0, 90.0, 1e-4, -1e-4]).collect();
    for len in [points.len(), points.len() - 1] {
        let x = store(context, &points[..len], &[len], Format::F32);
        for activation in Activation::ALL {
            let y = ops::activation(context, &x.array, activation).unwrap();
            let element = |x: &f32| {
                let y = activate(activation, f64::from(*x));
                // Tails below the smallest normal number may be flushed.
                (y, y.abs() + 1e-30)
            };
            let want: Vec<_> = x.values.iter().map(element).collect();
            assert_near(context, &y, &[len], &want, 1e-5, &format!("{activation:?}")).await;
        }
        let y = ops::affine(context, &x.array, 2.5, -1.0).unwrap();
        let want: Vec<_> =
            x.values.iter().map(|x| (f64::from(*x) * 2.5 - 1.0, 2.5 * f64::from(x.abs()) + 1.0)).collect();
        assert_near(context, &y, &[len], &want, 3e-7, "affine").await;
        let y = ops::clamp(context, &x.array, -1.5, 0.25).unwrap();
        let want = exactly(x.values.iter().map(|x| f64::from(x.clamp(-1.5, 0.25))));
        assert_near(context, &y, &[len], &want, 0.0, "clamp").await;
        let x = store(context, &super::values(len, 3, -2.0), &[len], Format::F32);
        let y = ops::exp(context, &x.array).unwrap();
        let want = exactly(x.values.iter().map(|x| f64::from(*x).exp()));
        assert_near(context, &y, &[len], &want, 2e-6, "exp").await;
    }
}

pub(crate) async fn nan_is_never_hidden(context: &Context) {
    let x = store(context, &[f32::NAN; 5], &[5], Format::F32).array;
    let mut results: Vec<_> =
        Activation::ALL.map(|activation| ops::activation(context, &x, activation).unwrap()).into();
    results.push(ops::clamp(context, &x, -1.0, 1.0).unwrap());
    for (i, y) in results.iter().enumerate() {
        assert!(read(context, y).await.iter().all(|y| y.is_nan()), "result {i}");
    }
}

pub(crate) async fn combine_sums_any_number_of_terms(context: &Context) {
    for len in [5, 64] {
        for &format in activations(context) {
            let arrays: Vec<_> = (0..8).map(|i| random(context, &[len], i, format)).collect();
            for count in 0..8 {
                let factor = |i: usize| 0.5 - i as f32;
                let terms: Vec<_> = (1..=count).map(|i| (factor(i), &arrays[i].array)).collect();
                let y = ops::combine(context, &arrays[0].array, 3.0, &terms).unwrap();
                let element = |at: usize| {
                    let term =
                        |i: usize| f64::from(arrays[i].values[at]) * if i == 0 { 3.0 } else { f64::from(factor(i)) };
                    ((0..=count).map(term).sum(), (0..=count).map(|i| term(i).abs()).sum::<f64>())
                };
                let want: Vec<Expected> = (0..len).map(element).collect();
                // Long sums go through the format several times.
                let tolerance = if format == Format::F16 { 2e-3 } else { 1e-6 };
                assert_near(context, &y, &[len], &want, tolerance, &format!("{count} terms {format:?}")).await;
            }
        }
    }
}

pub(crate) async fn geglu_multiplies_left_by_gelu_of_right(context: &Context) {
    for (rows, width) in [(1, 1), (3, 5), (7, 40)] {
        for &format in activations(context) {
            let x = random(context, &[1, rows, 2 * width], 1, format);
            let y = ops::geglu(context, &x.array).unwrap();
            let row = |x: &[f32]| {
                let (left, right) = x.split_at(width);
                let gate = |x: &f32| activate(Activation::Gelu, f64::from(*x));
                left.iter().zip(right).map(|(l, r)| f64::from(*l) * gate(r)).collect::<Vec<_>>()
            };
            let want = exactly(x.values.chunks(2 * width).flat_map(row));
            assert_near(context, &y, &[1, rows, width], &want, 4e-6, &format!("geglu {rows} x {width} {format:?}"))
                .await;
        }
    }
}
