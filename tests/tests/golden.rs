//! Every reference case, through the program behind `cargo xtask golden`.

use easel_inference::tensor::{DeviceKind, GpuOptions};
use easel_inference::{DType, Device};
use easel_tests::files::repository;
use std::process::Command;

/// What a GPU computes: every network, and what only some cases do (several pictures in one batch, tiles, rescaled guidance, a
/// mask, a start from a picture). Cases that differ in what the processor computes, such as schedulers, are left to it, and so
/// is `easel-emoji`: its hundreds of steps would take a software rasteriser too long.
const NETWORKS: [&str; 28] = [
    "sd15",
    "sd15-inpaint",
    "sd15-lcm",
    "sd15-tiny-vae",
    "sd21",
    "sdxl",
    "taesd",
    "extras/batch_2_one_generator",
    "extras/img2img_batch_2_generators",
    "extras/txt2img_clip_skip_2",
    "extras/txt2img_ddim_rescale",
    "extras/vae_decode_tiled_1",
    "extras/vae_encode_tiled_1",
    "extras-sdxl/inpaint_06",
    "extras-sdxl/txt2img_clip_skip_1",
    "sd3",
    "sd35-medium",
    "sd35-large",
    "flux-schnell",
    "flux-dev",
    "taef1",
    "taesd3",
    "flow-pictures/flux_dev_inpaint_06",
    "flow-pictures/flux_schnell_taef1_inpaint",
    "flow-pictures/sd3_img2img_batch_2_generators",
    "flow-pictures/sd3_inpaint_06",
    "clip-vit",
    "sam",
];

/// Folders that are run in half precision, too.
const HALF: [&str; 8] = ["sd15", "taesd", "sd3", "sd35-medium", "flux-schnell", "flux-dev", "taef1", "taesd3"];

#[test]
fn every_reference_case_passes() {
    let cases = golden(&[], &[""]);
    assert!(cases > 900, "only {cases} cases");
}

#[test]
fn the_networks_pass_on_a_gpu_in_f32() {
    if has_gpu(DType::F32) {
        let cases = golden(&["--device", "gpu", "--float", "f32"], &NETWORKS);
        assert!(cases > 60, "only {cases} cases");
    }
}

#[test]
fn the_networks_pass_on_a_gpu_in_f16() {
    if has_gpu(DType::F16) {
        let cases = golden(&["--device", "gpu", "--float", "f16"], &HALF);
        assert!(cases > 15, "only {cases} cases");
    }
}

/// Whether there is a GPU that computes in this type. If not, prints why, and fails if a GPU is required. Half
/// precision is never required, because not every GPU has it.
fn has_gpu(float: DType) -> bool {
    let options = GpuOptions { float: Some(float), ..GpuOptions::default() };
    let Err(error) = pollster::block_on(Device::open(DeviceKind::Gpu, &options)) else { return true };
    let required = std::env::var_os("EASEL_REQUIRE_GPU").is_some() && float == DType::F32;
    assert!(!required, "EASEL_REQUIRE_GPU is set: {error}");
    println!("not tested: {error}");
    false
}

/// Runs the program on these reference folders, checks that all cases passed, and returns their number.
fn golden(options: &[&str], folders: &[&str]) -> usize {
    let root = repository().join("tests/golden");
    let folders = folders.iter().map(|folder| root.join(folder));
    let output = Command::new(env!("CARGO_BIN_EXE_golden")).args(options).args(folders).output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{lines}{errors}");
    lines.lines().count()
}
