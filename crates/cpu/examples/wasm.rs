//! A WebAssembly module for `benches/wasm.mjs`: the 3x3 convolution of 320 channels at 64x64, also at the plain level.
//!
//!     cargo build --release -p easel-cpu --no-default-features --features plain --target wasm32-unknown-unknown \
//!       --example wasm
//!
//! It also builds on other platforms, where nothing calls it.

use easel_cpu::conv2d::{Conv2dShape, conv2d};
use easel_cpu::linear::linear;
use easel_cpu::{Activation, Level, PackedWeight, Weight};

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
