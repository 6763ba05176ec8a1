//! The errors from fewer bits: weights in bfloat16, half precision and quantised blocks, and products in bfloat16 and in
//! integers, on the processor, compared with `f32`. Products in bfloat16 run here on every machine, with dot product
//! instructions if it has them.

use easel_inference::families::{ModelFiles, OpenOptions};
use easel_inference::models::unet::{UNet, UNetConditioning, UNetConfig};
use easel_inference::pipeline::{CancelToken, LoadOptions, Pipeline, Request, Unwatched};
use easel_inference::tensor::{BlockFormat, Products};
use easel_inference::weights::{FileSource, TensorIndex};
use easel_inference::{DType, Device};
use easel_tests::files::{read_arrays, read_json, repository};
use easel_tests::relative_error;
use pollster::block_on;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// Pictures of the embedded model, with their pixels concatenated.
fn pictures(dtype: DType, products: Products) -> Vec<u8> {
    let path = repository().join("models/easel-emoji");
    let files = block_on(ModelFiles::open_path(&path, &OpenOptions::default())).unwrap();
    let options = LoadOptions { dtype: Some(dtype), products: Some(products), ..LoadOptions::new(Device::Cpu) };
    let pipeline = block_on(Pipeline::load(&files, &options, &mut Unwatched, &CancelToken::default())).unwrap();
    let draw = |(seed, prompt): (u64, &str)| {
        let request = Request::new(prompt, None, seed, 1);
        block_on(pipeline.generate(&request, &mut Unwatched, &CancelToken::default())).unwrap().remove(0).image.rgb8
    };
    [(1, "a red apple"), (2, "a green cactus"), (3, "a rocket on a blue background")]
        .into_iter()
        .flat_map(draw)
        .collect()
}

/// The peak signal-to-noise ratio in decibels.
fn psnr(got: &[u8], expected: &[u8]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let power: f64 = got.iter().zip(expected).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0_f64.powi(2) * got.len() as f64 / power).log10()
}

/// The model is stored in half precision, so that changes nothing. The other errors are invisible: 40 dB are 2.5
/// levels.
#[test]
fn pictures_stay_the_same() {
    let expected = pictures(DType::F32, Products::F32);
    for (dtype, products, least) in [
        (DType::F16, Products::F32, f64::INFINITY),
        (DType::Bf16, Products::F32, 40.0),
        (DType::F16, Products::Bf16, 40.0),
        (DType::Bf16, Products::Bf16, 40.0),
        (DType::Q8_0, Products::F32, 40.0),
        (DType::Q8_0, Products::Integers, 40.0),
        (DType::Q8_0, Products::Bf16, 40.0),
        // Most rows of this model do not fill blocks of 256 and are in Q5_0.
        (DType::Blocks(BlockFormat::Q4K), Products::F32, 25.0),
        (DType::Blocks(BlockFormat::Q4K), Products::Integers, 25.0),
    ] {
        let decibels = psnr(&pictures(dtype, products), &expected);
        let what = format!("weights in {dtype:?}, products in {products:?}");
        println!("{what}: {decibels:.1} dB, at least {least}");
        assert!(decibels >= least, "{what}: {decibels:.1} dB, expected at least {least}");
    }
}

/// The error of a golden folder's UNet with weights in this type, relative to diffusers in `f32`.
fn denoiser_error(folder: &Path, case: &Value, dtype: DType, products: Products) -> f64 {
    let arrays = read_arrays(&folder.join("cases").join(case["file"].as_str().unwrap())).unwrap();
    let source = FileSource::open(folder.join("unet/diffusion_pytorch_model.safetensors")).unwrap();
    let index = block_on(TensorIndex::open(Arc::new(source))).unwrap();
    let weights = block_on(index.load(&Device::Cpu, Some(dtype))).unwrap().with_products(products);
    let json = read_json(&folder.join("unet/config.json")).unwrap();
    let unet = UNet::new(&weights, UNetConfig::from_json("config.json", &json).unwrap()).unwrap();
    let sample = arrays["sample"].channels_last(&Device::Cpu).unwrap();
    let states = arrays["encoder_hidden_states"].tensor(&Device::Cpu).unwrap();
    let timestep = f64::from(arrays["timestep"].data[0]);
    let out = unet.forward(&sample, timestep, &states, &UNetConditioning::default()).unwrap();
    relative_error(&block_on(out.to_channels_first().unwrap().to_vec()).unwrap(), &arrays["out"].data)
}

/// The golden cases have tolerances for half precision. bfloat16 has three bits fewer, and so do 8-bit blocks: seven,
/// and a sign.
#[test]
fn denoisers_are_as_accurate_as_their_bits() {
    for folder in ["sd15", "sd21"] {
        let folder = repository().join("tests/golden").join(folder);
        let cases = read_json(&folder.join("cases/cases.json")).unwrap();
        let cases = cases["cases"].as_array().unwrap();
        for case in cases.iter().filter(|case| case["kind"] == "denoiser") {
            let half = case["tol"]["f16"]["out"].as_f64().unwrap();
            for (dtype, products, tolerance) in [
                (DType::F16, Products::F32, half),
                (DType::Bf16, Products::F32, 8.0 * half),
                (DType::F32, Products::Bf16, 8.0 * half),
                (DType::Bf16, Products::Bf16, 8.0 * half),
                (DType::Q8_0, Products::F32, 8.0 * half),
                (DType::Q8_0, Products::Integers, 8.0 * half),
            ] {
                let error = denoiser_error(&folder, case, dtype, products);
                let name = format!("{} of {}", case["name"], folder.display());
                let what = format!("{name}, weights in {dtype:?}, products in {products:?}");
                println!("{what}: {error:.1e} (tolerance {tolerance:.1e})");
                assert!(error <= tolerance, "{what}: {error:e}, expected at most {tolerance:e}");
            }
        }
    }
}
