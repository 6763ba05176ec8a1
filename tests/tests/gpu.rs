//! The embedded model on a GPU: the same pictures as on the processor, also with only WebGPU's guaranteed limits, with
//! one component in memory at a time, and if the device is lost during the run.

use easel_inference::families::{ModelFiles, OpenOptions};
use easel_inference::pipeline::{
    CancelToken, LoadOptions, Phase, Picture, Pipeline, Progress, Request, Unwatched, Watcher,
};
use easel_inference::tensor::{DeviceKind, GpuDevice, GpuOptions, Products};
use easel_inference::{DType, Device};
use easel_tests::files::repository;
use pollster::block_on;

/// The side and the steps of a picture that a software rasteriser draws quickly.
const SMALL: [usize; 2] = [32, 2];

/// Opens a GPU that computes in `f32`, or prints why there is none.
fn open(guaranteed_only: bool) -> Option<Device> {
    let options = GpuOptions { float: Some(DType::F32), guaranteed_only, ..GpuOptions::default() };
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
        assert_eq!(warning, "the GPU was lost (destroyed); going on from the last step on a fresh one");
    }
    // Every handle to the device works again.
    assert!(!gpu(&device).context().is_lost());
}
