//! Every reference case, through the program behind `cargo xtask golden`.

use easel_inference::tensor::{DeviceKind, GpuOptions};
use easel_inference::{DType, Device};
use easel_tests::files::repository;
use std::process::Command;

/// Every folder with networks but `easel-emoji`, whose hundreds of steps would take a software rasteriser too long.
const NETWORKS: [&str; 19] = [
    "sd15",
    "sd15-inpaint",
    "sd15-lcm",
    "sd15-tiny-vae",
    "sd21",
    "sdxl",
    "taesd",
    "extras",
    "extras-sdxl",
    "sd3",
    "sd35-medium",
    "sd35-large",
    "flux-schnell",
    "flux-dev",
    "taef1",
    "taesd3",
    "flow-pictures",
    "clip-vit",
    "sam",
];

/// Folders that are run in half precision, too.
const HALF: [&str; 9] =
    ["sd15", "taesd", "sd3", "sd35-medium", "flux-schnell", "flux-dev", "taef1", "taesd3", "flow-pictures"];

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
