//! Products of quantised weights in integers.
//!
//! Two errors come together: the weights are what their blocks stand for, and the input is rounded to signed bytes, 32 with
//! one scale. The first is the format's ([`EXPECTED`]), the second the same for all ([`INPUT`]). Both are relative, for
//! normal numbers: the first to the weights, the second to the products.

use super::{at_every_level, levels, values};
use easel_cpu::linear::linear;
use easel_cpu::{Activation, BlockFormat, Level, PackedWeight, Weight};

/// Rounding of `f32` sums, for terms of the size that they are compared with. Where there are least values, their terms and
/// those of the quants are larger than the weights' own.
const TOLERANCE: f64 = 2e-6;

/// What rounding the input costs.
const INPUT: f64 = 0.0055;

/// The relative error of a format's blocks (root mean square, normal weights). `None` for formats that are only read.
const EXPECTED: [(BlockFormat, Option<f64>); 12] = [
    (BlockFormat::Q4_0, Some(0.084)),
    (BlockFormat::Q4_1, Some(0.078)),
    (BlockFormat::Q5_0, Some(0.0412)),
    (BlockFormat::Q5_1, Some(0.0373)),
    (BlockFormat::Q8_0, Some(0.0051)),
    (BlockFormat::Q2K, None),
    (BlockFormat::Q3K, None),
    (BlockFormat::Q4K, Some(0.070)),
    (BlockFormat::Q5K, Some(0.0353)),
    (BlockFormat::Q6K, Some(0.0170)),
    (BlockFormat::Iq4Nl, None),
    (BlockFormat::Iq4Xs, None),
];

/// Blocks of weights of about the size of one: of numbers, or, where a format is only read, of random bits with moderate
/// halves.
fn blocks(format: BlockFormat, len: usize) -> Vec<u8> {
    let x = values(len, 2, 0.0);
    if let Some(blocks) = format.quantise(&x) {
        return blocks;
    }
    let halves: &[usize] = match format {
        BlockFormat::Q2K => &[80, 82],
        BlockFormat::Q3K => &[108],
        _ => &[0],
    };
    let size = len / format.length() * format.bytes();
    let mut bytes: Vec<u8> = values(size, 5, 0.0).iter().map(|x| (x * 4096.0) as i32 as u8).collect();
    for block in bytes.chunks_exact_mut(format.bytes()) {
        for at in halves {
            block[at + 1] = 0x20 | block[at + 1] & 3;
        }
    }
    bytes
}

fn wide(format: BlockFormat, blocks: &[u8]) -> Vec<f32> {
    let mut wide = vec![f32::NAN; blocks.len() / format.bytes() * format.length()];
    format.widen(blocks, &mut wide);
    wide
}

fn packed(format: BlockFormat, bytes: &[u8], size: [usize; 2]) -> PackedWeight {
    PackedWeight::integers(Weight::Blocks { format, bytes }, size)
}

fn multiply(x: &[f32], size: [usize; 3], weight: &PackedWeight) -> Vec<f32> {
    let mut out = vec![f32::NAN; size[0] * size[1]];
    linear(x, size, weight, None, None, Activation::None, &mut out);
    out
}

/// What the kernel makes of 32 inputs: steps of the largest magnitude by 127, without rounding of the step.
fn round(x: &[f32; 32]) -> [f32; 32] {
    let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    x.map(|x| (x * (127.0 / largest)).round_ties_even() * (largest / 127.0))
}

/// `x w^T + bias + residual` in `f64`, with the size of what is added.
fn product(x: &[f32], w: &[f32], [m, n, k]: [usize; 3], b: &[f32], r: &[f32]) -> Vec<(f64, f64)> {
    let element = |i: usize| {
        let terms = x[i / n * k..][..k].iter().zip(&w[i % n * k..][..k]).map(|(x, w)| f64::from(*x) * f64::from(*w));
        terms.chain([f64::from(b[i % n]), f64::from(r[i])]).fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()))
    };
    (0..m * n).map(element).collect()
}

#[test]
fn products_are_those_of_rounded_inputs() {
    at_every_level(|| {
        for format in BlockFormat::ALL.iter().copied() {
            let length = format.length();
            for [m, n, blocks_of_row] in [[1, 5, 1], [3, 16, 2], [7, 33, 10], [101, 40, 3], [2, 1, 1], [5, 4, 2]] {
                let k = blocks_of_row * length;
                let x = values(m * k, 1, 0.0);
                let b = values(n, 3, 0.0);
                let r = values(m * n, 4, 0.0);
                let bytes = blocks(format, n * k);
                let wide = wide(format, &bytes);
                // The input is rounded, unless there are so few columns that it would not pay.
                let rounded: Vec<f32> = x.as_chunks().0.iter().flat_map(round).collect();
                let x_used = if n <= 4 { &x } else { &rounded };
                let weight = packed(format, &bytes, [n, k]);
                let mut got = vec![f32::NAN; m * n];
                linear(&x, [m, n, k], &weight, Some(&b), Some(&r), Activation::None, &mut got);
                let want = product(x_used, &wide, [m, n, k], &b, &r);
                super::assert_near(&got, &want, TOLERANCE, &format!("{format:?} {m}x{n}x{k}"));
                let mut active = vec![f32::NAN; m * n];
                linear(&x, [m, n, k], &weight, Some(&b), Some(&r), Activation::Relu, &mut active);
                assert!(got.iter().zip(&active).all(|(got, active)| got.max(0.0) == *active), "{format:?}");
            }
        }
    });
}

/// Largest quants against largest inputs, of both signs: no sum on the way may overflow.
#[test]
fn extremes_fit() {
    at_every_level(|| {
        for format in BlockFormat::ALL.iter().copied() {
            let [n, k] = [8, 2 * format.length()];
            let mut bytes = vec![0xff; n * 2 * format.bytes()];
            for block in bytes.chunks_exact_mut(format.bytes()) {
                for at in [0, 2, 80, 82, 108, 208].into_iter().filter(|at| at + 1 < format.bytes()) {
                    // As a half this is one; as quants, some of many.
                    block[at] = 0;
                    block[at + 1] = 0x3c;
                }
                if format == BlockFormat::Q8_0 {
                    block[2..].fill(128);
                }
            }
            let wide = wide(format, &bytes);
            for sign in [1.0, -1.0] {
                let x = vec![sign; k];
                let got = multiply(&x, [1, n, k], &packed(format, &bytes, [n, k]));
                let want = product(&x, &wide, [1, n, k], &vec![0.0; n], &vec![0.0; n]);
                super::assert_near(&got, &want, TOLERANCE, &format!("{format:?} {sign}"));
            }
        }
    });
}

/// The size of a difference relative to that of what is expected.
fn relative_error(got: &[f32], want: &[f64]) -> f64 {
    let power = |xs: &mut dyn Iterator<Item = f64>| xs.map(|x| x * x).sum::<f64>();
    let difference = power(&mut got.iter().zip(want).map(|(a, b)| f64::from(*a) - b));
    (difference / power(&mut want.iter().copied())).sqrt()
}

#[test]
fn errors_are_the_expected_ones() {
    let [m, n, k] = [48, 48, 1536];
    let x = values(m * k, 1, 0.0);
    let w = values(n * k, 2, 0.0);
    let exact = |w: &[f32]| -> Vec<f64> {
        let zeros = vec![0.0; m * n];
        product(&x, w, [m, n, k], &zeros, &zeros).iter().map(|(sum, _)| *sum).collect()
    };
    let original = exact(&w);
    for (format, weights) in EXPECTED {
        let bytes = blocks(format, n * k);
        let wide = wide(format, &bytes);
        if let Some(weights) = weights {
            // Of the weights, not of these products: 48x48 of them would be 2 % off by chance.
            let got = relative_error(&wide, &w.iter().map(|w| f64::from(*w)).collect::<Vec<f64>>());
            assert!(got < weights, "{format:?}: {got}");
        }
        let blocks = exact(&wide);
        for level in levels() {
            let got = level.with(|| multiply(&x, [m, n, k], &packed(format, &bytes, [n, k])));
            let input = relative_error(&got, &blocks);
            println!("{} at {level:?}: {:.3} % for the input", format.name(), 100.0 * input);
            assert!(input < INPUT, "{format:?} {level:?}: {input}");
            if weights.is_some() {
                let all = relative_error(&got, &original);
                println!("{} at {level:?}: {:.2} % in all", format.name(), 100.0 * all);
            }
        }
    }
    assert_eq!(EXPECTED.map(|(format, _)| format), BlockFormat::ALL);
}

/// Row by row, in batches of all kinds and on any number of threads: the same bits.
#[test]
fn a_row_is_the_same_in_any_company() {
    let [most, n, k] = [301, 70, 512];
    let x = values(most * k, 1, 0.0);
    for format in BlockFormat::ALL.iter().copied() {
        let bytes = blocks(format, n * k);
        for level in levels() {
            let run = |threads: usize, first: usize, m: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let x = &x[first * k..][..m * k];
                pool.install(|| level.with(|| multiply(x, [m, n, k], &packed(format, &bytes, [n, k]))))
            };
            let whole = run(2, 0, most);
            for (threads, first, m) in [(1, 0, 301), (5, 0, 301), (1, 7, 1), (2, 300, 1), (3, 11, 77), (2, 150, 144)] {
                let what = format!("{format:?} {level:?}: {m} rows from {first} on, {threads} threads");
                assert_eq!(run(threads, first, m), whole[first * n..][..m * n], "{what}");
            }
        }
    }
}

#[test]
fn what_is_not_finite_is_not_hidden() {
    at_every_level(|| {
        for format in BlockFormat::ALL.iter().copied() {
            let k = 2 * format.length();
            let bytes = blocks(format, 8 * k);
            let weight = packed(format, &bytes, [8, k]);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = vec![1.0; k];
                x[40] = bad;
                let out = multiply(&x, [1, 8, k], &weight);
                assert!(out.iter().all(|x| x.is_nan()), "{format:?} {bad}: {out:?}");
            }
            let tiny = multiply(&vec![f32::MIN_POSITIVE; k], [1, 8, k], &weight);
            assert!(tiny.iter().all(|x| x.abs() < 1e-30), "{format:?}: {tiny:?}");
        }
    });
}

/// All levels sum the same integers: only the sums of blocks are rounded differently.
#[test]
fn levels_agree() {
    let [m, n, k] = [5, 40, 1024];
    let x = values(m * k, 1, 0.0);
    for format in BlockFormat::ALL.iter().copied() {
        let bytes = blocks(format, n * k);
        let at = |level: Level| level.with(|| multiply(&x, [m, n, k], &packed(format, &bytes, [n, k])));
        let plain: Vec<f64> = at(Level::Plain).iter().map(|x| f64::from(*x)).collect();
        for level in levels() {
            let far = relative_error(&at(level), &plain);
            assert!(far < 1e-6, "{format:?} {level:?}: {far}");
        }
    }
}
