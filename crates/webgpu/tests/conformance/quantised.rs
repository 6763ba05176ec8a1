//! Weights in GGUF's blocks: every format against its exact widening on the processor.

use super::products::finish;
use super::{Expected, activations, assert_near, exactly, random, read};
use easel_cpu::BlockFormat;
use easel_webgpu::ops::{self, Activation, Epilogue};
use easel_webgpu::shader::Format;
use easel_webgpu::{Array, Context};

/// As for weights in plain formats: only the sums are rounded.
const TOLERANCE: f64 = 2e-6;

/// If weights are rounded to halves: half a unit in the last of 11 places.
const ROUNDED: f64 = 1.0 / 2048.0 + TOLERANCE;

/// Single numbers equal those that the processor reads. If a minimum is added, compilers may round once instead of
/// twice.
pub(crate) async fn blocks_are_widened_exactly(context: &Context) {
    for format in BlockFormat::ALL.iter().copied() {
        // Units of two blocks of 32 may be half full.
        for rows in [1, 2, 5] {
            let shape = [rows, format.length()];
            let weight = random(context, &shape, rows as u32, Format::Blocks(format));
            let what = format!("{format:?}, {rows} rows");
            let wide = ops::cast(context, &weight.array, Format::F32).unwrap();
            if format.halves().len() == 1 {
                assert_eq!(read(context, &wide).await, weight.values, "{what}");
            }
            let largest = weight.values.iter().fold(0.0_f64, |largest, x| largest.max(f64::from(x.abs())));
            let want: Vec<Expected> = weight.values.iter().map(|x| (f64::from(*x), largest)).collect();
            assert_near(context, &wide, &shape, &want, 3e-7, &what).await;
            if context.capabilities().f16 {
                let halves = ops::cast(context, &weight.array, Format::F16).unwrap();
                let want = exactly(weight.values.iter().map(|x| f64::from(*x)));
                assert_near(context, &halves, &shape, &want, 0.0, &what).await;
            }
        }
    }
}

/// The actual and the expected product of `m` rows, `n` columns and depth `k`.
fn product(context: &Context, [m, n, k]: [usize; 3], x: Format, weight: BlockFormat) -> (Array, Vec<Expected>) {
    let x = random(context, &[m, k], 1, x);
    let w = random(context, &[n, k], 2, Format::Blocks(weight));
    let bias = random(context, &[n], 3, Format::F32);
    let epilogue = Epilogue { residual: None, activation: Activation::None };
    let y = ops::linear(context, &x.array, &[w.array], Some(&bias.array), epilogue).unwrap();
    let mut want = Vec::new();
    for x in x.values.chunks(k) {
        for (w, bias) in w.values.chunks(k).zip(&bias.values) {
            let terms = x.iter().copied().zip(w.iter().copied());
            want.push(finish(terms, [*bias, 0.0], Activation::None));
        }
    }
    (y, want)
}

pub(crate) async fn linear_in_every_format_of_blocks(context: &Context) {
    for weight in BlockFormat::ALL.iter().copied() {
        // Rows of an odd number of blocks.
        let k = if weight.length() == 32 { 96 } else { 256 };
        // One row and a few, then tiles of two sizes.
        for [m, n, k] in [[1, 5, k], [7, 33, 2 * k], [9, 40, k], [130, 65, k]] {
            for &x in activations(context) {
                let (y, want) = product(context, [m, n, k], x, weight);
                let rounds = x == Format::F16 && !context.capabilities().cooperative.is_empty();
                let tolerance = if rounds { ROUNDED } else { TOLERANCE };
                let what = format!("linear {m}x{n}x{k} {x:?} {weight:?}");
                assert_near(context, &y, &[m, n], &want, tolerance, &what).await;
            }
        }
    }
}

/// From 1024 rows of halves on. Rows of `f32` are never multiplied with rounded weights.
pub(crate) async fn blocks_are_widened_once_for_many_rows(context: &Context) {
    for weight in [BlockFormat::Q5_1, BlockFormat::Q3K] {
        for &x in activations(context) {
            let (y, want) = product(context, [1025, 17, 256], x, weight);
            let tolerance = if x == Format::F16 { ROUNDED } else { TOLERANCE };
            assert_near(context, &y, &[1025, 17], &want, tolerance, &format!("{x:?} {weight:?}")).await;
        }
    }
}

/// All three ways of multiplying with blocks can be recorded and replayed.
pub(crate) async fn a_product_of_blocks_is_replayed(context: &Context) {
    for &format in activations(context) {
        for m in [3, 20, 1030] {
            let [x, other] = [1, 9].map(|seed| random(context, &[m, 256], seed, format).array);
            let weights = [BlockFormat::Q4K, BlockFormat::Q5_0];
            let [first, second] = weights.map(|weight| random(context, &[256, 256], 2, Format::Blocks(weight)).array);
            let run = |x: &Array| {
                let y = ops::linear(context, x, std::slice::from_ref(&first), None, Epilogue::default())?;
                ops::linear(context, &y, std::slice::from_ref(&second), None, Epilogue::default())
            };
            let expected = read(context, &run(&other).unwrap()).await;
            let (plan, y) = context.capture(|| run(&x)).unwrap();
            let bytes = x.elements() as u64 * format.size();
            context.copy(other.buffer(), 0, x.buffer(), 0, bytes).unwrap();
            plan.replay().unwrap();
            assert_eq!(read(context, &y).await, expected, "{m} rows of {format:?}");
        }
    }
}
