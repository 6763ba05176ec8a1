//! Every kernel at every level of this machine against plain loops in `f64`.
//!
//! Tolerances are relative to the sum of the magnitudes that a result is made of, in units of `f32` rounding.
//! `EASEL_LEVELS=Avx512,Avx512Vnni,Avx512Dot` runs these levels alone: in an emulator the others would be a waste of time.

mod blocks;
mod elementwise;
mod integers;
mod products;
mod rounded;

use easel_cpu::attention::{AttentionShape, attention};
use easel_cpu::conv2d::conv2d;
use easel_cpu::linear::linear;
use easel_cpu::norm::{group_norm, layer_norm};
use easel_cpu::{Activation, Level, Weight};
use products::shape;

/// Reproducible values, roughly normal, around `mean`.
fn values(len: usize, seed: u32, mean: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next() + next() + next() + mean).collect()
}

/// The levels to test: those that `EASEL_LEVELS` names, else all that this machine has.
fn levels() -> Vec<Level> {
    let available = Level::available();
    let Ok(names) = std::env::var("EASEL_LEVELS") else { return available };
    let named = |name: &str| available.iter().copied().find(|level| format!("{level:?}") == name);
    let found = |name| named(name).unwrap_or_else(|| panic!("EASEL_LEVELS: {name:?} is not one of {available:?}"));
    names.split(',').map(found).collect()
}

/// Runs `f` at every level, and says at which one it failed.
fn at_every_level(f: impl Fn()) {
    for level in levels() {
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
    let x = repeat(values(700, 1, 0.0));
    let w = values(70 * 700, 2, 0.0);
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
