//! The errors of ops and their messages.

use super::random;
use easel_cpu::BlockFormat;
use easel_webgpu::ops::{self, Activation, Binary, Conv2d, Epilogue, LayerNorm};
use easel_webgpu::shader::Format;
use easel_webgpu::{Array, Context, Error, Result};

#[track_caller]
fn refused<T>(result: Result<T>, op: &str) {
    match result {
        Err(Error::Shape { op: named, .. }) => assert_eq!(named, op),
        Err(error) => panic!("{op}: {error}"),
        Ok(_) => panic!("{op} accepted it"),
    }
}

fn array(context: &Context, shape: &[usize]) -> Array {
    random(context, shape, 1, Format::F32).array
}

pub(crate) async fn shapes_that_do_not_fit(context: &Context) {
    let array = |shape: &[usize]| array(context, shape);
    let plain = Epilogue::default();
    refused(ops::linear(context, &array(&[2, 3]), &[array(&[4, 5])], None, plain), "linear");
    refused(ops::linear(context, &array(&[2, 3]), &[], None, plain), "linear");
    refused(ops::linear(context, &array(&[2, 3]), &[array(&[4, 3])], Some(&array(&[3])), plain), "linear");
    let residual = Epilogue { residual: Some(&array(&[4, 2])), ..plain };
    refused(ops::linear(context, &array(&[2, 3]), &[array(&[4, 3])], None, residual), "linear");
    let image = array(&[1, 2, 2, 3]);
    refused(ops::conv2d(context, &image, &[array(&[4, 3, 3, 2])], None, Conv2d::padded(1), plain), "conv2d");
    refused(ops::conv2d(context, &image, &[array(&[4, 3, 3, 3])], None, Conv2d::padded(0), plain), "conv2d");
    refused(ops::conv2d(context, &image, &[], None, Conv2d::padded(0), plain), "conv2d");
    let q = array(&[1, 2, 8]);
    let k = array(&[1, 2, 4]);
    refused(ops::attention(context, &q, &k, &k, 1, false), "attention");
    refused(ops::attention(context, &q, &q, &q, 3, false), "attention");
    refused(ops::rope(context, &q, &array(&[2, 3, 2])), "rope");
    let vector = array(&[8]);
    refused(ops::group_norm(context, &q, 3, 1e-5, &vector, &vector, Activation::None), "group_norm");
    refused(
        ops::layer_norm(context, &k, 1e-5, LayerNorm { weight: Some(&vector), ..Default::default() }),
        "layer_norm",
    );
    let modulation = Some((&vector, &vector));
    refused(ops::layer_norm(context, &q, 1e-5, LayerNorm { modulation, ..Default::default() }), "layer_norm");
    refused(ops::rms_norm(context, &k, 1e-5, Some(&vector)), "rms_norm");
    refused(ops::binary(context, Binary::Add, &k, &q), "add");
    refused(ops::combine(context, &k, 1.0, &[(1.0, &q)]), "combine");
    refused(ops::geglu(context, &array(&[2, 3])), "geglu");
    refused(ops::mean_and_std(context, &array(&[2, 1])), "mean_and_std");
    refused(ops::permute(context, &q, &[0, 0, 1]), "permute");
    refused(ops::narrow(context, &q, 2, 7, 2), "narrow");
    refused(ops::narrow(context, &q, 3, 0, 1), "narrow");
    refused(ops::concat(context, &[&q, &vector], 0), "concat");
    refused(ops::concat(context, &[], 0), "concat");
    refused(q.reshape(&[3, 5]), "reshape");
}

pub(crate) async fn formats_that_do_not_fit(context: &Context) {
    let ids = Array::from_bytes(context, &[0; 16], &[4], Format::U32).unwrap();
    let weight = random(context, &[4, 32], 1, Format::Blocks(BlockFormat::Q8_0)).array;
    refused(ops::activation(context, &ids, Activation::Silu), "activation");
    refused(ops::cast(context, &ids, Format::Bf16), "cast");
    refused(ops::permute(context, &weight, &[1, 0]), "permute");
    refused(ops::cast(context, &array(context, &[4, 32]), weight.format()), "cast");
    refused(ops::linear(context, &weight, &[array(context, &[4, 32])], None, Epilogue::default()), "linear");
    refused(ops::embedding(context, &[array(context, &[4, 4])], &array(context, &[4]), Format::F32), "embedding");
    refused(ops::embedding(context, &[array(context, &[4, 4])], &ids, Format::Bf16), "embedding");
    refused(Array::from_bytes(context, &[0; 12], &[4], Format::U32), "array");
    let raw = context.upload(&[0; 68]).unwrap();
    refused(ops::repack(context, &raw, &[3, 32], BlockFormat::Q8_0), "repack");
    refused(ops::repack(context, &raw, &[4, 16], BlockFormat::Q8_0), "array");
    refused(ops::repack_rows(context, &raw, &weight, 1..3), "repack");
    refused(ops::repack_rows(context, &raw, &array(context, &[2, 32]), 0..2), "repack");
    if !context.capabilities().f16 {
        let cast = ops::cast(context, &array(context, &[4]), Format::F16);
        assert!(matches!(cast, Err(Error::Unsupported { .. })));
        let halves = random(context, &[2, 4], 1, Format::F16).array;
        assert!(matches!(ops::concat(context, &[&halves, &halves], 0), Err(Error::Unsupported { .. })));
    }
}
