//! Quantised blocks: what they stand for, products with them, and how near blocks come to numbers.

use super::{assert_near, at_every_level, values};
use easel_cpu::linear::linear;
use easel_cpu::{Activation, BlockFormat, PackedWeight, Weight};
use std::path::Path;

/// Blocks of `tests/golden/gguf-blocks`, and the numbers that the Python package `gguf` reads from them.
fn reference(format: BlockFormat) -> (Vec<u8>, Vec<f32>) {
    const ELEMENTS: usize = 2048;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gguf-blocks");
    let mut bytes = std::fs::read(folder.join(format!("{}.bin", format.name()))).unwrap();
    let numbers = bytes.split_off(ELEMENTS / format.length() * format.bytes());
    (bytes, numbers.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn blocks_are_widened_to_the_bit() {
    at_every_level(|| {
        for format in BlockFormat::ALL.iter().copied() {
            let (blocks, numbers) = reference(format);
            let mut got = vec![f32::NAN; numbers.len()];
            format.widen(&blocks, &mut got);
            assert_eq!(bits(&got), bits(&numbers), "{format:?}");
        }
    });
}

/// Products with widened blocks are near the exact ones, and equal those with a plain matrix of the widened numbers bit for
/// bit.
#[test]
fn products_with_blocks() {
    at_every_level(|| {
        for format in BlockFormat::ALL.iter().copied() {
            let (blocks, numbers) = reference(format);
            // Numbers of random bits are of all sizes; here they must not drown each other.
            let numbers: Vec<f32> = numbers.repeat(18);
            let blocks = blocks.repeat(18);
            for [m, n, k] in [[3, 36, 1024], [1, 24, 1536], [13, 18, 768], [2, 3, 512]] {
                let x = values(m * k, 1, 0.0);
                let bias = values(n, 2, 0.0);
                let w = &numbers[..n * k];
                let bytes = &blocks[..n * k / format.length() * format.bytes()];
                let weight = Weight::Blocks { format, bytes };
                let what = format!("{format:?} {m}x{n}x{k}");
                let mut got = vec![f32::NAN; m * n];
                linear(&x, [m, n, k], weight, Some(&bias), None, Activation::None, &mut got);
                assert_near(&got, &product(&x, w, &bias, [m, n, k]), 3e-6, &what);
                let mut packed = vec![f32::NAN; m * n];
                let layer = PackedWeight::new(weight, [n, k]);
                linear(&x, [m, n, k], &layer, Some(&bias), None, Activation::None, &mut packed);
                assert_eq!(bits(&got), bits(&packed), "{what} packed");
            }
        }
    });
}

/// `x w^T + bias` in `f64`, with the sum of magnitudes.
fn product(x: &[f32], w: &[f32], bias: &[f32], [m, n, k]: [usize; 3]) -> Vec<(f64, f64)> {
    let element = |i: usize| {
        let terms = x[i / n * k..][..k].iter().zip(&w[i % n * k..][..k]).map(|(x, w)| f64::from(*x) * f64::from(*w));
        terms.chain([f64::from(bias[i % n])]).fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()))
    };
    (0..m * n).map(element).collect()
}

#[test]
fn a_block_of_eight_bits_is_off_by_half_a_step_at_most() {
    let format = BlockFormat::Q8_0;
    for seed in 0..50 {
        let x = values(32, seed, 0.0);
        let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        // Half a step, and what the scale loses by being stored in half precision.
        let allowed = largest / 254.0 + largest / 2048.0;
        let mut got = vec![f32::NAN; 32];
        format.widen(&format.quantise(&x).unwrap(), &mut got);
        assert!(got.iter().zip(&x).all(|(got, x)| (got - x).abs() <= allowed));
    }
    assert_eq!(format.quantise(&[-2.0; 32]).unwrap()[2..], [-127_i8 as u8; 32]);
}

/// The relative error of blocks made of normal numbers, beside what ggml's own reference functions leave.
#[test]
fn blocks_come_as_near_as_those_of_ggml() {
    let x: Vec<f32> = values(256 * 64, 3, 0.0).iter().map(|x| 0.02 * x).collect();
    let bounds = [
        (BlockFormat::Q4_0, 0.0840),
        (BlockFormat::Q4_1, 0.0780),
        (BlockFormat::Q5_0, 0.0412),
        (BlockFormat::Q5_1, 0.0373),
        (BlockFormat::Q8_0, 0.0051),
        (BlockFormat::Q4K, 0.0700),
        (BlockFormat::Q5K, 0.0353),
        (BlockFormat::Q6K, 0.0170),
    ];
    for (format, bound) in bounds {
        let error = error(format, &x);
        println!("{}: {error:.4}", format.name());
        assert!(error < bound, "{format:?}: {error}");
    }
    let quantising = BlockFormat::ALL.iter().filter(|format| format.quantises()).count();
    assert_eq!(quantising, bounds.len());
}

fn error(format: BlockFormat, x: &[f32]) -> f64 {
    let mut got = vec![f32::NAN; x.len()];
    format.widen(&format.quantise(x).unwrap(), &mut got);
    let power = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| f64::from(x).powi(2)).sum::<f64>();
    (power(&mut got.iter().zip(x).map(|(a, b)| a - b)) / power(&mut x.iter().copied())).sqrt()
}

/// Zeros stay zeros; numbers all alike and single ones stay near.
#[test]
fn blocks_of_nothing_and_of_one_number() {
    for format in BlockFormat::ALL.iter().copied().filter(|format| format.quantises()) {
        for x in [[0.0; 256], [0.7; 256], [-0.7; 256], std::array::from_fn(|i| if i == 100 { -3.0 } else { 0.0 })] {
            let mut got = [f32::NAN; 256];
            format.widen(&format.quantise(&x).unwrap(), &mut got);
            let far = x.iter().zip(&got).map(|(x, got)| (x - got).abs()).fold(0.0, f32::max);
            assert!(far <= 0.02 && (x[0] != 0.0 || got[0] == 0.0), "{format:?}: {far} {:?}", &got[..2]);
        }
    }
}
