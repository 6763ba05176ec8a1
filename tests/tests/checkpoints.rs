//! Checkpoints written by PyTorch (`fixtures/make_checkpoints.py`), in both formats of `torch.save`.

use easel_inference::weights::{FileSource, TensorIndex};
use easel_inference::{DType, Device};
use easel_tests::files::repository;
use pollster::block_on;
use std::sync::Arc;

fn open(name: &str) -> TensorIndex {
    let path = repository().join("tests/fixtures").join(name);
    block_on(TensorIndex::open(Arc::new(FileSource::open(path).unwrap()))).unwrap()
}

#[test]
fn the_tensors_are_those_of_the_safetensors_file() {
    let expected = open("torch.safetensors");
    let expected_weights = block_on(expected.load(&Device::Cpu, None)).unwrap();
    assert_eq!(expected.len(), 13);
    for name in ["torch-zip.ckpt", "torch-legacy.ckpt"] {
        let index = open(name);
        let weights = block_on(index.load(&Device::Cpu, None)).unwrap();
        assert_eq!(index.len(), expected.len());
        for (tensor, view) in expected.iter() {
            let got = index.get(tensor).unwrap();
            assert_eq!((got.shape(), got.dtype()), (view.shape(), view.dtype()), "{name}: {tensor}");
            if view.dtype().weight_type().is_none() {
                assert!(!weights.contains(tensor));
                continue;
            }
            let take = |weights: &easel_inference::weights::Weights| match *view.shape() {
                [o, i, kh, kw] => weights.conv(tensor, [o, i, kh, kw]).unwrap(),
                ref shape => weights.get(tensor, shape).unwrap(),
            };
            let got = take(&weights);
            let expected = take(&expected_weights);
            assert_eq!(got.dtype(), expected.dtype());
            let bits = |tensor: &easel_inference::Tensor| -> Vec<u32> {
                block_on(tensor.to_vec()).unwrap().into_iter().map(f32::to_bits).collect()
            };
            assert_eq!(bits(&got), bits(&expected), "{name}: {tensor}");
        }
        assert_eq!(weights.get("f64", &[2, 2]).unwrap().dtype(), DType::F32);
    }
}

/// A file written by the Python package `gguf` (`fixtures/make_gguf.py`) gives the same numbers as with the package.
#[test]
fn the_tensors_of_a_gguf_file_are_those_of_the_package() {
    let expected = block_on(open("python.safetensors").load(&Device::Cpu, None)).unwrap();
    let index = open("python.gguf");
    assert_eq!(index.len(), 7);
    let weights = block_on(index.load(&Device::Cpu, None)).unwrap();
    for (name, view) in index.iter() {
        let take = |weights: &easel_inference::weights::Weights| match *view.shape() {
            [o, i, kh, kw] => weights.conv(name, [o, i, kh, kw]).unwrap(),
            ref shape => weights.get(name, shape).unwrap(),
        };
        let got = take(&weights);
        let kept = if name == "kernel" { Some(DType::F16) } else { view.dtype().weight_type() };
        assert_eq!(Some(got.dtype()), kept, "{name}: blocks of a kernel are widened");
        let numbers = block_on(got.to_vec()).unwrap();
        let wanted = block_on(take(&expected).to_vec()).unwrap();
        let far = if name == "kernel" { 2e-3 } else { 0.0 };
        assert!(numbers.iter().zip(&wanted).all(|(got, x)| (got - x).abs() <= far), "{name}");
    }
    let whole = block_on(index.load(&Device::Cpu, Some(DType::F32))).unwrap();
    let kernel = |weights: &easel_inference::weights::Weights| {
        block_on(weights.conv("kernel", [4, 8, 2, 2]).unwrap().to_vec()).unwrap()
    };
    assert_eq!(kernel(&whole), kernel(&expected));
}
