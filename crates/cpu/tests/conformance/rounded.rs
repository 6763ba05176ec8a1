//! Products in fewer bits: weights in blocks of eight bits, and both sides in bfloat16.

use super::products::shape;
use super::{assert_near, at_every_level, values};
use easel_cpu::conv2d::{Conv2dShape, conv2d};
use easel_cpu::linear::linear;
use easel_cpu::{Activation, BlockFormat, PackedWeight, Weight};
use half::bf16;

/// Rounding of `f32` sums, for terms of the size that they are compared with.
const TOLERANCE: f64 = 2e-6;

fn blocks(x: &[f32]) -> Vec<u8> {
    BlockFormat::Q8_0.quantise(x).unwrap()
}

fn wide(blocks: &[u8]) -> Vec<f32> {
    let mut wide = vec![f32::NAN; blocks.len() / 34 * 32];
    BlockFormat::Q8_0.widen(blocks, &mut wide);
    wide
}

fn weight(blocks: &[u8]) -> Weight<'_> {
    Weight::Blocks { format: BlockFormat::Q8_0, bytes: blocks }
}

/// `x w^T + bias + residual` in `f64`, with the sum of magnitudes.
fn product(x: &[f32], w: &[f32], [m, n, k]: [usize; 3], b: &[f32], r: &[f32]) -> Vec<(f64, f64)> {
    let element = |i: usize| {
        let terms = x[i / n * k..][..k].iter().zip(&w[i % n * k..][..k]).map(|(x, w)| f64::from(*x) * f64::from(*w));
        terms.chain([f64::from(b[i % n]), f64::from(r[i])]).fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()))
    };
    (0..m * n).map(element).collect()
}

#[test]
fn a_block_is_off_by_half_a_step_at_most() {
    for seed in 0..50 {
        let x = values(32, seed, 0.0);
        let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        // Half a step, and what the scale loses by being stored in half precision.
        let allowed = largest / 254.0 + largest / 2048.0;
        assert!(wide(&blocks(&x)).iter().zip(&x).all(|(got, x)| (got - x).abs() <= allowed));
    }
    assert_eq!(wide(&blocks(&[0.0; 32])), [0.0; 32]);
    assert_eq!(blocks(&[-2.0; 32])[2..], [-127_i8 as u8; 32]);
}

#[test]
fn eight_bit_weights() {
    at_every_level(|| {
        for [m, n, k] in [[1, 5, 32], [3, 16, 64], [7, 33, 320], [101, 300, 96], [2, 1, 32], [5, 4, 64]] {
            let x = values(m * k, 1, 0.0);
            let w = blocks(&values(n * k, 2, 0.0));
            let b = values(n, 3, 0.0);
            let r = values(m * n, 4, 0.0);
            let wide = wide(&w);
            let what = format!("{m}x{n}x{k}");
            // Read as they lie, they are numbers like others.
            let mut got = vec![f32::NAN; m * n];
            linear(&x, [m, n, k], weight(&w), Some(&b), Some(&r), Activation::None, &mut got);
            assert_near(&got, &product(&x, &wide, [m, n, k], &b, &r), TOLERANCE, &what);
            // Packed, the input is rounded to blocks too, unless there are so few columns that it would not pay.
            let rounded: Vec<f32> = x.as_chunks().0.iter().flat_map(round).collect();
            let x_used = if n <= 4 { &x } else { &rounded };
            let packed = PackedWeight::new(weight(&w), [n, k]);
            linear(&x, [m, n, k], &packed, Some(&b), Some(&r), Activation::None, &mut got);
            assert_near(&got, &product(x_used, &wide, [m, n, k], &b, &r), TOLERANCE, &what);
            let mut active = vec![f32::NAN; m * n];
            linear(&x, [m, n, k], &packed, Some(&b), Some(&r), Activation::Relu, &mut active);
            assert!(got.iter().zip(&active).all(|(got, active)| got.max(0.0) == *active), "{what}");
            // A row gives the same alone.
            linear(
                &x[(m - 1) * k..],
                [1, n, k],
                &packed,
                Some(&b),
                Some(&r[(m - 1) * n..]),
                Activation::None,
                &mut active[..n],
            );
            assert_eq!(active[..n], got[(m - 1) * n..], "{what}");
        }
    });
}

/// What the kernel makes of 32 inputs: steps of the largest magnitude by 127, without rounding of the step.
fn round(x: &[f32; 32]) -> [f32; 32] {
    let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    x.map(|x| (x * (127.0 / largest)).round_ties_even() * (largest / 127.0))
}

#[test]
fn eight_bits_are_as_good_as_ggml_has_them() {
    let [m, n, k] = [64, 64, 1024];
    let x = values(m * k, 1, 0.0);
    let w = values(n * k, 2, 0.0);
    let packed = PackedWeight::new(weight(&blocks(&w)), [n, k]);
    let mut got = vec![0.0; m * n];
    let mut want = vec![0.0; m * n];
    linear(&x, [m, n, k], &packed, None, None, Activation::None, &mut got);
    linear(&x, [m, n, k], Weight::F32(&w), None, None, Activation::None, &mut want);
    let power = |xs: &mut dyn Iterator<Item = f32>| xs.map(|x| f64::from(x).powi(2)).sum::<f64>();
    let error = (power(&mut got.iter().zip(&want).map(|(a, b)| a - b)) / power(&mut want.iter().copied())).sqrt();
    println!("relative error of a product in Q8_0: {error:.4}");
    assert!(error < 0.01, "{error}");
}

#[test]
fn what_is_not_finite_is_not_hidden() {
    at_every_level(|| {
        let packed = PackedWeight::new(weight(&blocks(&[1.0; 8 * 64])), [8, 64]);
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = [1.0; 64];
            x[40] = bad;
            let mut out = [0.0; 8];
            linear(&x, [1, 8, 64], &packed, None, None, Activation::None, &mut out);
            assert!(out.iter().all(|x| x.is_nan()), "{out:?}");
        }
    });
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
