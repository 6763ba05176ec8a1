//! Quantised denoisers on a GPU: from one GGUF file a GPU draws what the processor draws with the same weights widened to
//! `f32`, and holds them in their blocks.

use easel_inference::families::{ComponentSource, ModelFiles, OpenOptions};
use easel_inference::pipeline::{CancelToken, LoadOptions, Pipeline, Request, Unwatched};
use easel_inference::tensor::{BlockFormat, DeviceKind, GpuOptions, Products};
use easel_inference::weights::{Source, TensorIndex};
use easel_inference::{DType, Device};
use easel_tests::files::repository;
use easel_tests::original::write_gguf;
use pollster::block_on;
use std::path::Path;
use std::sync::Arc;

/// Opens a GPU that computes in `float` with what WebGPU guarantees, or says why there is none.
fn open(float: DType) -> Option<Device> {
    let options = GpuOptions { float: Some(float), guaranteed_only: float == DType::F32, ..GpuOptions::default() };
    match block_on(Device::open(DeviceKind::Gpu, &options)) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("EASEL_REQUIRE_GPU").is_some() => panic!("EASEL_REQUIRE_GPU is set: {error}"),
        Err(error) => {
            println!("not tested: {error}");
            None
        }
    }
}

/// The embedded model with this file for its denoiser, and the picture that it draws.
fn draw(denoiser: &Path, options: &LoadOptions) -> Vec<u8> {
    let components = [("unet".to_owned(), ComponentSource::open_path(denoiser).unwrap())].into();
    let open = OpenOptions { components, ..OpenOptions::default() };
    let files = block_on(ModelFiles::open_path(&repository().join("models/easel-emoji"), &open)).unwrap();
    let pipeline = block_on(Pipeline::load(&files, options, &mut Unwatched, &CancelToken::default())).unwrap();
    let mut request = Request::new("a red apple", None, 1, 1);
    (request.width, request.height, request.steps) = (Some(64), Some(64), Some(2));
    block_on(pipeline.generate(&request, &mut Unwatched, &CancelToken::default())).unwrap().remove(0).image.rgb8
}

/// The ratio of the largest level's power to that of the difference, in decibels.
fn psnr(got: &[u8], expected: &[u8]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let power: f64 = got.iter().zip(expected).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0_f64.powi(2) * got.len() as f64 / power).log10()
}

/// The least decibels: in `f32` hardly a level differs; in halves 45 are a level and a half, which nobody sees.
#[test]
fn a_gpu_draws_a_quantised_file_as_the_processor_does() {
    let folder = tempfile::tempdir().unwrap();
    let unet = repository().join("models/easel-emoji/unet/diffusion_pytorch_model.safetensors");
    for (format, float, least) in [
        (BlockFormat::Q4K, DType::F32, 60.0),
        (BlockFormat::Q4_0, DType::F16, 45.0),
        (BlockFormat::Q8_0, DType::F16, 45.0),
    ] {
        let Some(device) = open(float) else { return };
        let file = folder.path().join(format!("{}.gguf", format.name()));
        write_gguf(&unet, Some(format), &file).unwrap();
        let products = Some(Products::F32);
        let widened = LoadOptions { dtype: Some(DType::F32), products, ..LoadOptions::new(Device::Cpu) };
        let decibels = psnr(&draw(&file, &LoadOptions::new(device)), &draw(&file, &widened));
        println!("{format:?}, {float:?} on the GPU: {decibels:.1} dB, at least {least}");
        assert!(decibels >= least, "{format:?}, {float:?}: {decibels:.1} dB");
    }
}

/// Matrices take the bits of their format, not those of halves.
#[test]
fn blocks_stay_blocks_in_the_memory_of_a_gpu() {
    let Some(device) = open(DType::F32) else { return };
    let Device::Gpu(gpu) = &device else { panic!("{device} is no GPU") };
    let folder = tempfile::tempdir().unwrap();
    let unet = repository().join("models/easel-emoji/unet/diffusion_pytorch_model.safetensors");
    let file = folder.path().join("unet.gguf");
    write_gguf(&unet, Some(BlockFormat::Q4_0), &file).unwrap();
    let source: Arc<dyn Source> = Arc::new(easel_inference::weights::FileSource::open(&file).unwrap());
    let index = block_on(TensorIndex::open(source)).unwrap();
    let before = gpu.context().stats().memory.in_use;
    let weights = block_on(index.load(&device, None)).unwrap();
    let taken = gpu.context().stats().memory.in_use - before;
    // Buffers are of whole multiples of some bytes.
    let room = index.bytes() + 512 * index.len() as u64;
    assert!(taken <= room, "{taken} bytes for a file of {}", index.bytes());
    drop(weights);
}
