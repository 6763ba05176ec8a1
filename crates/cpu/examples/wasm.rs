//! A WebAssembly module for `benches/wasm.mjs`: the 3x3 convolution of 320 channels at 64x64, products with quantised
//! weights, and their plain twins.
//!
//!     cargo build --release -p easel-cpu --no-default-features --target wasm32-unknown-unknown --example wasm
//!
//! It also builds, and does nothing, on other platforms.

use easel_cpu::conv2d::{Conv2dShape, conv2d};
use easel_cpu::linear::linear;
use easel_cpu::{Activation, BlockFormat, Level, PackedWeight, Weight};

const CHANNELS: usize = 320;

/// Convolves a picture of 64 columns and `rows` rows `runs` times; returns the sum of the magnitudes of the outputs.
#[unsafe(no_mangle)]
pub extern "C" fn convolve(rows: usize, runs: usize, plain: bool) -> f64 {
    let level = if plain { Level::Plain } else { Level::current() };
    let out = level.with(|| run(rows, runs));
    out.iter().map(|x| f64::from(x.abs())).sum()
}

/// A product of matrices `[m, k]` and `[n, k]`, `runs` times with packed weights; returns the sum of magnitudes.
#[unsafe(no_mangle)]
pub extern "C" fn multiply(m: usize, n: usize, k: usize, runs: usize) -> f64 {
    let x = values(m * k);
    let w = PackedWeight::new(Weight::F32(&values(n * k)), [n, k]);
    let mut out = vec![0.0; m * n];
    for _ in 0..runs {
        linear(&x, [m, n, k], &w, None, None, Activation::None, &mut out);
    }
    out.iter().map(|x| f64::from(x.abs())).sum()
}

/// A product with weights in the format that has this number in GGUF files, in integers or widened, `runs` times; returns
/// the sum of magnitudes, or a NaN if there is no such format or `k` does not fill its blocks.
#[unsafe(no_mangle)]
pub extern "C" fn multiply_blocks(format: u32, integers: bool, m: usize, n: usize, k: usize, runs: usize) -> f64 {
    let format = BlockFormat::from_id(format).filter(|format| k.is_multiple_of(format.length()));
    let Some(format) = format else { return f64::NAN };
    let out = blocks(format, integers, [m, n, k], runs);
    out.iter().map(|x| f64::from(x.abs())).sum()
}

/// The largest distance between the fast level's products in integers and those of the plain level, relative to the
/// largest output, over all formats.
#[unsafe(no_mangle)]
pub extern "C" fn largest_error_in_integers() -> f64 {
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0_f32, |a, b| a.max(b.abs()));
    let error = |format: &BlockFormat| {
        let size = [5, 21, 512];
        let fast = blocks(*format, true, size, 1);
        let plain = Level::Plain.with(|| blocks(*format, true, size, 1));
        let error = largest(&mut fast.iter().zip(&plain).map(|(a, b)| a - b));
        f64::from(error / largest(&mut plain.iter().copied()))
    };
    // Not `max`, which would pass over a NaN.
    BlockFormat::ALL.iter().map(error).fold(0.0, |a, b| if b < a { a } else { b })
}

fn blocks(format: BlockFormat, integers: bool, [m, n, k]: [usize; 3], runs: usize) -> Vec<f32> {
    let x = values(m * k);
    let w = values(n * k);
    // Blocks that are only read are made of random bits, with moderate halves at both ends of a block.
    let random = || {
        let bytes = values(n * k / format.length() * format.bytes());
        let mut bytes: Vec<u8> = bytes.iter().map(|x| (x * 4096.0) as i32 as u8).collect();
        for block in bytes.chunks_exact_mut(format.bytes()) {
            for at in [0, 80, 82, 108].into_iter().filter(|at| at + 1 < format.bytes()) {
                block[at + 1] = 0x20 | block[at + 1] & 3;
            }
        }
        bytes
    };
    let bytes = format.quantise(&w).unwrap_or_else(random);
    let weight = Weight::Blocks { format, bytes: &bytes };
    let weight = if integers { PackedWeight::integers(weight, [n, k]) } else { PackedWeight::new(weight, [n, k]) };
    let mut out = vec![0.0; m * n];
    for _ in 0..runs {
        linear(&x, [m, n, k], &weight, None, None, Activation::None, &mut out);
    }
    out
}

/// The largest distance between the fast level and the plain one, relative to the largest output.
#[unsafe(no_mangle)]
pub extern "C" fn largest_error(rows: usize) -> f64 {
    let fast = run(rows, 1);
    let plain = Level::Plain.with(|| run(rows, 1));
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0_f32, |a, b| a.max(b.abs()));
    let error = largest(&mut fast.iter().zip(&plain).map(|(a, b)| a - b));
    f64::from(error / largest(&mut plain.iter().copied()))
}

fn run(rows: usize, runs: usize) -> Vec<f32> {
    let x = values(rows * 64 * CHANNELS);
    let w = values(9 * CHANNELS * CHANNELS);
    let shape = Conv2dShape {
        batch: 1,
        input: [rows, 64],
        stretched: [rows, 64],
        in_channels: CHANNELS,
        out_channels: CHANNELS,
        kernel: [3, 3],
        stride: 1,
        padding_before: [1, 1],
        output: [rows, 64],
    };
    let mut out = vec![0.0; rows * 64 * CHANNELS];
    for _ in 0..runs {
        conv2d(&x, &shape, Weight::F32(&w), None, None, Activation::None, &mut out);
    }
    out
}

/// Reproducible numbers between -1 and 1.
fn values(len: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}
