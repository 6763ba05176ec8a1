//! Arrays above the binding limit give the same results as on a device with a larger limit.

mod common;

use common::open;
use easel_cpu::BlockFormat;
use easel_webgpu::ops::{self, Activation, Binary, Conv2d, Epilogue};
use easel_webgpu::shader::Format;
use easel_webgpu::{Array, Context, Error, Options, Result};

/// Bytes that the narrow device binds.
const NARROW: u64 = 64 << 10;

fn array(context: &Context, shape: &[usize]) -> Array {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| ((i * 7919 + i / 97) % 1024) as f32 / 512.0 - 1.0).collect();
    Array::from_f32(context, &values, shape).unwrap()
}

/// Runs an op on both devices and compares.
fn check(what: &str, op: impl Fn(&Context) -> Result<Array>) {
    check_with(NARROW, what, op);
}

/// Compares with another limit.
fn check_with(narrow: u64, what: &str, op: impl Fn(&Context) -> Result<Array>) {
    let run = |storage_binding| {
        let context = open(&Options { storage_binding, ..Options::default() })?;
        let y = op(&context).unwrap_or_else(|error| panic!("{what}: {error}"));
        Some(common::floats(&context, y.buffer()).unwrap())
    };
    let (Some(whole), Some(cut)) = (run(None), run(Some(narrow))) else { return };
    assert!(whole.len() as u64 * 4 > narrow, "{what}: nothing to cut");
    for (i, (whole, cut)) in whole.iter().zip(&cut).enumerate() {
        assert!((whole - cut).abs() <= 1e-5 * whole.abs().max(1.0), "{what}, element {i}: {cut} instead of {whole}");
    }
}

#[test]
fn linear_in_pieces() {
    check("linear", |context| {
        let x = array(context, &[1001, 20]);
        let w = [array(context, &[30, 20]), array(context, &[3, 20])];
        let residual = array(context, &[1001, 33]);
        let epilogue = Epilogue { residual: Some(&residual), activation: Activation::Silu };
        ops::linear(context, &x, &w, Some(&array(context, &[33])), epilogue)
    });
}

/// Blocks that are widened to halves for many rows are widened in slices.
#[test]
fn blocks_in_slices() {
    const SIDE: usize = 1536;
    check_with(3 << 20, "linear of blocks", |context| {
        let file: Vec<u8> =
            (0..SIDE * SIDE / 32 * 18).map(|i| if i % 18 < 2 { 0x10 } else { (i * 7919 / 97) as u8 }).collect();
        let w = ops::repack(context, &context.upload(&file)?, &[SIDE, SIDE], BlockFormat::Q4_0)?;
        let x = array(context, &[1024, SIDE]);
        let x = if context.capabilities().f16 { ops::cast(context, &x, Format::F16)? } else { x };
        let y = ops::linear(context, &x, &[w], None, Epilogue::default())?;
        ops::cast(context, &y, Format::F32)
    });
}

#[test]
fn conv2d_in_pieces() {
    let same = Conv2d::padded(1);
    for (x, out, conv) in [
        ([2, 40, 32, 20], 12, same),
        ([3, 37, 32, 12], 40, Conv2d { stride: 2, ..same }),
        ([1, 33, 20, 5], 16, Conv2d { stretch_to: Some([66, 40]), ..same }),
        ([2, 150, 9, 8], 16, Conv2d { padding_before: 0, padding_after: 2, ..same }),
    ] {
        check(&format!("conv2d {x:?} {conv:?}"), |context| {
            let array_x = array(context, &x);
            let w = [array(context, &[out, 3, 3, x[3]])];
            let epilogue = Epilogue { residual: None, activation: Activation::None };
            let y = ops::conv2d(context, &array_x, &w, None, conv, epilogue)?;
            ops::conv2d(context, &array_x, &w, None, conv, Epilogue { residual: Some(&y), ..epilogue })
        });
    }
}

#[test]
fn group_norm_in_pieces() {
    for (shape, groups) in [([2, 60, 50, 8], 4), ([3, 41, 43, 5], 1)] {
        check(&format!("group_norm {shape:?}"), |context| {
            let weight = array(context, &shape[3..]);
            let bias = array(context, &shape[3..]);
            ops::group_norm(context, &array(context, &shape), groups, 1e-5, &weight, &bias, Activation::Silu)
        });
    }
}

#[test]
fn elementwise_in_pieces() {
    check("activation", |context| ops::activation(context, &array(context, &[50_001]), Activation::Gelu));
    for other in [&[2, 100, 101, 4][..], &[4], &[2, 1, 1, 1], &[1, 100, 1, 4]] {
        check(&format!("add {other:?}"), |context| {
            ops::binary(context, Binary::Add, &array(context, &[2, 100, 101, 4]), &array(context, other))
        });
    }
}

#[test]
fn attention_in_pieces() {
    for (batch, queries, keys, causal) in [(2, 1500, 77, false), (3, 333, 333, true), (1, 1001, 400, false)] {
        check(&format!("attention {batch} x {queries} x {keys}"), |context| {
            let q = array(context, &[batch, queries, 24]);
            let k = array(context, &[batch, keys, 24]);
            ops::attention(context, &q, &k, &ops::affine(context, &k, -1.0, 0.5)?, 3, causal)
        });
    }
}

#[test]
fn rows_in_pieces() {
    let shape = [3, 700, 12];
    check("layer_norm", |context| {
        let weight = array(context, &shape[2..]);
        let bias = array(context, &shape[2..]);
        let [scale, shift] = [0.5, 2.0].map(|factor| ops::affine(context, &array(context, &[3, 12]), factor, 0.0));
        let scale = scale?;
        let shift = shift?;
        let norm = ops::LayerNorm { weight: Some(&weight), bias: Some(&bias), modulation: Some((&scale, &shift)) };
        ops::layer_norm(context, &array(context, &shape), 1e-5, norm)
    });
    check("geglu", |context| ops::geglu(context, &array(context, &[2, 3001, 24])));
    check("rope", |context| ops::rope(context, &array(context, &shape), &array(context, &[700, 3, 2])));
    check("combine", |context| {
        let [a, b] = [1.0, -0.5].map(|factor| ops::affine(context, &array(context, &[50_001]), factor, 0.0));
        let a = a?;
        let b = b?;
        ops::combine(context, &array(context, &[50_001]), 0.5, &[(2.0, &a), (1.0, &b), (3.0, &a), (-1.0, &b)])
    });
}

#[test]
fn copies_in_pieces() {
    for (shape, axes) in
        [(&[200, 201][..], &[1, 0][..]), (&[2, 33, 64, 12], &[0, 3, 1, 2]), (&[7, 64, 64, 4], &[3, 2, 1, 0])]
    {
        check(&format!("permute {shape:?} by {axes:?}"), |context| ops::permute(context, &array(context, shape), axes));
    }
    for (axis, start, length) in [(0, 3, 290), (1, 5, 180), (2, 1, 2)] {
        let shape = [300, 190, 4];
        check(&format!("narrow axis {axis}"), |context| {
            ops::narrow(context, &array(context, &shape), axis, start, length)
        });
    }
    for axis in 0..3 {
        check(&format!("concat on axis {axis}"), |context| {
            let (x, shorter) =
                (array(context, &[60, 50, 7]), ops::narrow(context, &array(context, &[60, 50, 7]), axis, 1, 5)?);
            ops::concat(context, &[&x, &shorter, &x], axis)
        });
    }
    check("repeat", |context| ops::repeat(context, &array(context, &[9, 1111]), 5));
}

#[test]
fn what_is_not_cut_is_refused() {
    let Some(context) = open(&Options { storage_binding: Some(NARROW), ..Options::default() }) else { return };
    let x = array(&context, &[1, 1000, 20]);
    let attention = ops::attention(&context, &x, &x, &x, 1, false);
    assert!(
        matches!(attention, Err(Error::Dispatch { kernel: "attention", .. })),
        "one entry's keys are bound together"
    );
}
