//! Products in bfloat16.

use super::products::shape;
use super::{assert_near, at_every_level, values};
use easel_cpu::conv2d::{Conv2dShape, conv2d};
use easel_cpu::linear::linear;
use easel_cpu::{Activation, PackedWeight, Weight};
use half::bf16;

/// Rounding of `f32` sums, for terms of the size that they are compared with.
const TOLERANCE: f64 = 2e-6;

/// `x w^T + bias + residual` in `f64`, with the sum of magnitudes.
fn product(x: &[f32], w: &[f32], [m, n, k]: [usize; 3], b: &[f32], r: &[f32]) -> Vec<(f64, f64)> {
    let element = |i: usize| {
        let terms = x[i / n * k..][..k].iter().zip(&w[i % n * k..][..k]).map(|(x, w)| f64::from(*x) * f64::from(*w));
        terms.chain([f64::from(b[i % n]), f64::from(r[i])]).fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()))
    };
    (0..m * n).map(element).collect()
}

fn to_bf16(x: &[f32]) -> Vec<f32> {
    x.iter().map(|x| bf16::from_f32(*x).to_f32()).collect()
}

#[test]
fn products_in_bfloat16() {
    pairs(&[[1, 5, 2], [3, 16, 64], [7, 33, 322], [101, 300, 96], [14, 40, 1000]]);
}

/// A single row, alone or behind whole tiles, has a kernel of its own. Not in Bochs 3.0, whose VDPBF16PS reads its memory
/// operand from a wrong address.
#[test]
fn single_rows_in_bfloat16() {
    pairs(&[[1, 40, 100], [1, 300, 1000], [13, 40, 1000]]);
}

fn pairs(shapes: &[[usize; 3]]) {
    at_every_level(|| {
        for &[m, n, k] in shapes {
            let x = values(m * k, 1, 0.0);
            let w = values(n * k, 2, 0.0);
            let b = values(n, 3, 0.0);
            let r = values(m * n, 4, 0.0);
            let packed = PackedWeight::bf16(Weight::F32(&w), [n, k]);
            let mut got = vec![f32::NAN; m * n];
            linear(&x, [m, n, k], &packed, Some(&b), Some(&r), Activation::None, &mut got);
            let want = product(&to_bf16(&x), &to_bf16(&w), [m, n, k], &b, &r);
            assert_near(&got, &want, TOLERANCE, &format!("{m}x{n}x{k}"));
        }
    });
}

#[test]
fn convolutions_in_bfloat16() {
    at_every_level(|| {
        let stretched = Conv2dShape { stretched: [18, 14], output: [18, 14], ..shape(2, [9, 7], [6, 20], 3, 1) };
        for shape in [
            shape(1, [5, 7], [4, 9], 3, 1),
            shape(2, [9, 6], [34, 24], 3, 2),
            stretched,
            shape(1, [4, 4], [8, 6], 1, 1),
        ] {
            let [h, w] = shape.input;
            let k = shape.kernel[0] * shape.kernel[1] * shape.in_channels;
            let (x, weight) =
                (values(shape.batch * h * w * shape.in_channels, 1, 0.0), values(shape.out_channels * k, 2, 0.0));
            let len = shape.batch * shape.output[0] * shape.output[1] * shape.out_channels;
            let mut got = vec![f32::NAN; len];
            let mut want = vec![f32::NAN; len];
            let packed = PackedWeight::bf16(Weight::F32(&weight), [shape.out_channels, k]);
            conv2d(&x, &shape, &packed, None, None, Activation::None, &mut got);
            let x = to_bf16(&x);
            let weight = to_bf16(&weight);
            conv2d(&x, &shape, Weight::F32(&weight), None, None, Activation::None, &mut want);
            let magnitude = (k as f64).sqrt();
            let want: Vec<_> = want.iter().map(|x| (f64::from(*x), magnitude)).collect();
            assert_near(&got, &want, TOLERANCE, &format!("{shape:?}"));
        }
    });
}
