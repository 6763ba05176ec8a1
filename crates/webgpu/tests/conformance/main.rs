//! Every op against plain loops in `f64`, on the device with all its features and with only what WebGPU guarantees.
//!
//! Tolerances are relative to the sum of the magnitudes that a result is made of; a result in `f16` may also be off by
//! the rounding of its own size. Without an adapter the tests print that and pass, unless `EASEL_REQUIRE_GPU` is set.
//! The example `browser` runs the same table in a browser.

mod attention;
mod elementwise;
mod errors;
mod layout;
mod norms;
mod products;
mod quantised;
mod weights;

use easel_webgpu::shader::Format;
use easel_webgpu::{Array, Context, ops};
#[cfg(not(target_arch = "wasm32"))]
use easel_webgpu::{Error, Options};
use half::{bf16, f16};

/// Runs a row of the table on all available devices.
#[cfg(not(target_arch = "wasm32"))]
fn on_every_device(row: impl AsyncFn(&Context)) {
    let plain = Options::default();
    let guaranteed = Options { guaranteed_only: true, ..plain.clone() };
    let cooperative = Options { cooperative: true, ..plain.clone() };
    for options in [plain, guaranteed, cooperative] {
        match pollster::block_on(Context::open(&options)) {
            Ok(context) if options.cooperative && context.capabilities().cooperative.is_empty() => {}
            Ok(context) => {
                println!("{:?}, {options:?}", context.capabilities().adapter.name);
                pollster::block_on(row(&context));
            }
            Err(error @ Error::NoAdapter { .. }) if std::env::var_os("EASEL_REQUIRE_GPU").is_none() => {
                eprintln!("skipped: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Makes each row a test, and a list of all rows for callers that cannot run tests.
macro_rules! table {
    ($($module:ident: $($row:ident),*;)*) => {
        /// Runs rows on one device. `wanted` gets the name of each row and decides whether it runs.
        #[allow(dead_code)]
        pub(crate) async fn run(context: &Context, mut wanted: impl FnMut(&str) -> bool) {
            $($(
                if wanted(concat!(stringify!($module), "::", stringify!($row))) {
                    $module::$row(context).await;
                }
            )*)*
        }

        $($(
            #[cfg(all(test, not(target_arch = "wasm32")))]
            #[test]
            fn $row() {
                on_every_device($module::$row);
            }
        )*)*
    };
}

table! {
    attention: attention_of_every_width, a_bias_is_added_to_the_scaled_scores, large_scores_do_not_overflow, a_long_attention_is_cut, rope_turns_pairs;
    elementwise: binary_with_every_broadcast, functions_of_every_element, nan_is_never_hidden, combine_sums_any_number_of_terms, geglu_multiplies_left_by_gelu_of_right;
    errors: shapes_that_do_not_fit, formats_that_do_not_fit;
    layout: permute_in_every_format, narrow_in_every_format, concat_along_every_axis, repeat_in_every_format;
    norms: group_norm_of_every_shape, row_norms_of_every_shape, mean_and_std_of_every_picture;
    products: linear_at_every_tile_and_tail, linear_with_every_activation, a_weight_in_parts_is_one_weight, conv2d_of_every_kind, conv2d_in_every_geometry, a_long_product_is_cut;
    quantised: blocks_are_widened_exactly, linear_in_every_format_of_blocks, blocks_are_widened_once_for_many_rows, a_product_of_blocks_is_replayed;
    weights: every_format_is_read_exactly, casts_round_to_nearest, embedding_looks_rows_up;
}

/// The formats that activations can have on this device.
fn activations(context: &Context) -> &'static [Format] {
    if context.capabilities().f16 { &[Format::F32, Format::F16] } else { &[Format::F32] }
}

/// Reproducible values, roughly normal, around `mean`.
fn values(len: usize, seed: u32, mean: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next() + next() + next() + mean).collect()
}

/// An array on the device, and its numbers rounded to its format.
struct Stored {
    array: Array,
    values: Vec<f32>,
}

/// Stores numbers in any format.
fn store(context: &Context, values: &[f32], shape: &[usize], format: Format) -> Stored {
    let (bytes, values): (Vec<u8>, Vec<f32>) = match format {
        Format::F32 => (values.iter().flat_map(|x| x.to_le_bytes()).collect(), values.to_vec()),
        Format::F16 => {
            let halves: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
            (halves.iter().flat_map(|x| x.to_le_bytes()).collect(), halves.iter().map(|x| x.to_f32()).collect())
        }
        Format::Bf16 => {
            let halves: Vec<bf16> = values.iter().map(|&x| bf16::from_f32(x)).collect();
            (halves.iter().flat_map(|x| x.to_le_bytes()).collect(), halves.iter().map(|x| x.to_f32()).collect())
        }
        Format::Blocks(_) | Format::U32 | Format::U16 => panic!("{format:?} is not made of floats"),
    };
    Stored { array: Array::from_bytes(context, &bytes, shape, format).unwrap(), values }
}

/// Random numbers in any format.
fn random(context: &Context, shape: &[usize], seed: u32, format: Format) -> Stored {
    if let Format::Blocks(format) = format {
        let (file, values) = weights::blocks(format, shape.iter().product(), seed);
        let raw = context.upload(&file).unwrap();
        return Stored { array: ops::repack(context, &raw, shape, format).unwrap(), values };
    }
    store(context, &values(shape.iter().product(), seed, 0.0), shape, format)
}

/// Reads an activation back.
async fn read(context: &Context, array: &Array) -> Vec<f32> {
    let bytes = context.read(array.buffer(), ..).await.unwrap();
    match array.format() {
        Format::F16 => bytes.chunks_exact(2).map(|x| f16::from_le_bytes([x[0], x[1]]).to_f32()).collect(),
        _ => bytes.chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect(),
    }
}

/// The expected result, and the sum of the magnitudes of its terms.
type Expected = (f64, f64);

/// Asserts that each element is within `tolerance` of its magnitude.
async fn assert_near(context: &Context, got: &Array, shape: &[usize], want: &[Expected], tolerance: f64, what: &str) {
    assert_eq!(got.shape(), shape, "{what}");
    let rounding = if got.format() == Format::F16 { 1.0 / 1024.0 } else { 0.0 };
    let got = read(context, got).await;
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, (want, magnitude))) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        let allowed = tolerance * magnitude.max(1e-30) + rounding * (want.abs() + 1e-4);
        assert!(error <= allowed, "{what}, element {i}: {got} instead of {want}, {:.1} times too far", error / allowed);
    }
}

/// Results that are copies of their inputs.
fn exactly(values: impl IntoIterator<Item = f64>) -> Vec<Expected> {
    values.into_iter().map(|value| (value, value.abs())).collect()
}

/// An activation in `f64`.
fn activate(activation: ops::Activation, x: f64) -> f64 {
    use ops::Activation::*;
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        None => x,
        Relu => x.max(0.0),
        Silu => x * sigmoid(x),
        Gelu => x * 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2),
        GeluTanh => x * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)),
        QuickGelu => x * sigmoid(1.702 * x),
        Tanh => x.tanh(),
        Sigmoid => sigmoid(x),
    }
}
