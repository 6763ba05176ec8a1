//! The embedded model on a GPU: the same pictures as on the processor, also with only WebGPU's guaranteed limits, with
//! one component in memory at a time, if the device is lost during the run, and if half precision overflows.

use easel_inference::families::{ComponentSource, ModelFiles, OpenOptions};
use easel_inference::pipeline::{
    CancelToken, InitImage, LoadOptions, Phase, Picture, Pipeline, Progress, Request, Unwatched, Watcher,
};
use easel_inference::tensor::{DeviceKind, GpuDevice, GpuOptions, Products};
use easel_inference::{DType, Device, Error};
use easel_tests::files::repository;
use easel_tests::original;
use pollster::block_on;
use std::path::Path;

/// The side and the steps of a picture that a software rasteriser draws quickly.
const SMALL: [usize; 2] = [32, 2];

/// Opens a GPU that computes in `f32`, or prints why there is none.
fn open(guaranteed_only: bool) -> Option<Device> {
    open_as(DType::F32, guaranteed_only)
}

/// Opens a GPU that computes in this type, or says why there is none.
fn open_as(float: DType, guaranteed_only: bool) -> Option<Device> {
    let options = GpuOptions { float: Some(float), guaranteed_only, ..GpuOptions::default() };
    match block_on(Device::open(DeviceKind::Gpu, &options)) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("EASEL_REQUIRE_GPU").is_some() => panic!("EASEL_REQUIRE_GPU is set: {error}"),
        Err(error) => {
            println!("not tested: {error}");
            None
        }
    }
}

fn load(options: &LoadOptions) -> Pipeline {
    let path = repository().join("models/easel-emoji");
    let files = block_on(ModelFiles::open_path(&path, &OpenOptions::default())).unwrap();
    block_on(Pipeline::load(&files, options, &mut Unwatched, &CancelToken::default())).unwrap()
}

/// Draws a picture with this side and number of steps.
fn draw(pipeline: &Pipeline, [side, steps]: [usize; 2], watcher: &mut dyn Watcher) -> Picture {
    let mut request = Request::new("a red apple", Some("blue"), 3, 1);
    (request.width, request.height, request.steps) = (Some(side), Some(side), Some(steps));
    block_on(pipeline.generate(&request, watcher, &CancelToken::default())).unwrap().remove(0)
}

fn gpu(device: &Device) -> &GpuDevice {
    let Device::Gpu(gpu) = device else { panic!("{device} is not a GPU") };
    gpu
}

#[test]
fn a_gpu_draws_what_the_processor_draws() {
    let exact = LoadOptions { products: Some(Products::F32), ..LoadOptions::new(Device::Cpu) };
    let expected = draw(&load(&exact), [128, 4], &mut Unwatched).image.rgb8;
    for guaranteed_only in [false, true] {
        let Some(device) = open(guaranteed_only) else { return };
        let got = draw(&load(&LoadOptions::new(device)), [128, 4], &mut Unwatched).image.rgb8;
        assert_eq!(got.len(), expected.len());
        let worst = got.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(3), "{worst:?} levels apart, guaranteed limits only: {guaranteed_only}");
    }
}

#[test]
fn one_component_at_a_time_needs_less_memory() {
    let run = |low_memory: bool| {
        let device = open(false)?;
        let pipeline = load(&LoadOptions { low_memory, ..LoadOptions::new(device.clone()) });
        let loaded = gpu(&device).context().stats().memory.in_use;
        let picture = draw(&pipeline, SMALL, &mut Unwatched);
        Some((picture.image.rgb8, loaded, gpu(&device).context().stats().memory.peak))
    };
    let (Some((all, loaded, all_peak)), Some((one, nothing, one_peak))) = (run(false), run(true)) else { return };
    assert!(all == one, "the pictures differ");
    assert_eq!(nothing, 0, "nothing is loaded before it is needed");
    // Text encoder and autoencoder are a third of the model.
    assert!(one_peak < all_peak - loaded / 5, "{one_peak} bytes, {all_peak} with all {loaded} of the model loaded");
}

/// Destroys the device at the first event of a phase and step, and records the warnings.
struct Saboteur<'a> {
    device: &'a GpuDevice,
    at: (Phase, usize),
    warnings: Vec<String>,
}

impl Watcher for Saboteur<'_> {
    fn progress(&mut self, progress: &Progress) {
        if (progress.phase, progress.step) == self.at && self.warnings.is_empty() {
            self.device.context().destroy();
        }
    }

    fn warning(&mut self, message: &str) {
        self.warnings.push(message.to_owned());
    }
}

#[test]
fn a_run_survives_the_loss_of_its_device() {
    let Some(device) = open(false) else { return };
    let pipeline = load(&LoadOptions::new(device.clone()));
    let undisturbed = draw(&pipeline, SMALL, &mut Unwatched).image.rgb8;
    for at in [(Phase::Encode, 0), (Phase::Denoise, 1), (Phase::Denoise, 2)] {
        let mut saboteur = Saboteur { device: gpu(&device), at, warnings: Vec::new() };
        let disturbed = draw(&pipeline, SMALL, &mut saboteur).image.rgb8;
        assert!(disturbed == undisturbed, "lost at {at:?}: the pictures differ");
        let [warning] = &saboteur.warnings[..] else { panic!("lost at {at:?}: {:?}", saboteur.warnings) };
        assert_eq!(warning, "the GPU was lost (destroyed) and was opened again; the run continues from the last step");
    }
    // Every handle to the device works again.
    assert!(!gpu(&device).context().is_lost());
}

/// Keeps the warnings.
#[derive(Default)]
struct Warnings(Vec<String>);

impl Watcher for Warnings {
    fn warning(&mut self, message: &str) {
        self.0.push(message.to_owned());
    }
}

/// The golden model `sd15` with one layer of a component multiplied by a factor.
fn scaled(component: &str, layer: &str, factor: f32, folder: &Path) -> ModelFiles {
    let base = repository().join("tests/golden/sd15");
    let mut tensors = original::read(&base.join(component).join("diffusion_pytorch_model.safetensors")).unwrap();
    let weight = tensors.get_mut(&format!("{layer}.weight")).unwrap();
    let widened = weight.bytes.as_chunks::<2>().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32());
    weight.bytes = widened.flat_map(|x| (x * factor).to_le_bytes()).collect();
    weight.dtype = safetensors::Dtype::F32;
    let path = folder.join(format!("{component}.safetensors"));
    original::write_safetensors(&tensors, &path).unwrap();
    let mut options = OpenOptions::default();
    options.components.insert(component.to_owned(), ComponentSource::open_path(&path).unwrap());
    block_on(ModelFiles::open_path(&base, &options)).unwrap()
}

/// A small picture, with an initial one if `from` says so.
fn draw_small(files: &ModelFiles, device: Device, from: bool, watcher: &mut dyn Watcher) -> Result<Vec<u8>, Error> {
    let options = LoadOptions { products: Some(Products::F32), ..LoadOptions::new(device) };
    let pipeline = block_on(Pipeline::load(files, &options, watcher, &CancelToken::default()))?;
    let mut request = Request::new("a red apple", None, 3, 1);
    (request.width, request.height, request.steps) = (Some(64), Some(64), Some(2));
    if from {
        let image = easel_picture::Image::new(64, 64, (0..64 * 64 * 3).map(|i| (i % 251) as u8).collect()).unwrap();
        request.init = Some(InitImage { image, strength: 1.0, all_steps: false, mask: None });
    }
    let pictures = block_on(pipeline.generate(&request, watcher, &CancelToken::default()))?;
    Ok(pictures[0].image.rgb8.clone())
}

/// Numbers beyond 65504 appear after the scaled layer, and the norms that follow bring them back.
#[test]
fn what_overflows_in_half_precision_is_computed_again_in_f32() {
    let Some(device) = open_as(DType::F16, false) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (component, layer, network, from) in [
        ("vae", "decoder.conv_in", "the autoencoder", false),
        ("vae", "encoder.conv_in", "the autoencoder", true),
        ("unet", "conv_in", "the denoiser", false),
    ] {
        let files = scaled(component, layer, 3e6, folder.path());
        let expected = draw_small(&files, Device::Cpu, from, &mut Unwatched).unwrap();
        let mut warnings = Warnings::default();
        let got = draw_small(&files, device.clone(), from, &mut warnings).unwrap();
        let said =
            format!("{network} overflowed in half precision and is computed again in f32 (--dtype f32 always uses it)");
        assert_eq!(warnings.0, [said], "{layer}");
        let worst = got.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(12), "{layer}: {worst:?} levels apart");
    }
}

#[test]
fn what_overflows_in_f32_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (component, layer, result) in
        [("vae", "decoder.conv_in", "the decoded picture"), ("unet", "conv_in", "the denoiser's prediction")]
    {
        let files = scaled(component, layer, 3e38, folder.path());
        let error = draw_small(&files, Device::Cpu, false, &mut Unwatched).unwrap_err().to_string();
        let said =
            "holds a value that is not a finite number, although it was computed in f32: the weights may be damaged";
        assert_eq!(error, format!("{result} {said}"));
    }
}
