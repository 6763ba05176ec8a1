//! Every reference case, through the same program that `cargo xtask golden` runs on any folder.

use easel_inference::tensor::{DeviceKind, GpuOptions};
use easel_inference::{DType, Device};
use easel_tests::files::repository;
use std::process::Command;

/// Folders without networks: what they test never runs on a device.
const NO_NETWORKS: [&str; 3] = ["schedulers", "rng", "tokenizer-clip"];

#[test]
fn every_reference_case_passes() {
    let cases = golden(&[], &[""]);
    assert!(cases > 900, "only {cases} cases");
}

#[test]
fn every_reference_case_passes_on_the_gpu() {
    for (float, dtype) in [("f32", DType::F32), ("f16", DType::F16)] {
        let options = GpuOptions { float: Some(dtype), ..GpuOptions::default() };
        if let Err(error) = pollster::block_on(Device::open(DeviceKind::Gpu, &options)) {
            // f16 is not everywhere, not even where a GPU was promised.
            let promised = std::env::var_os("EASEL_REQUIRE_GPU").is_some() && dtype == DType::F32;
            assert!(!promised, "EASEL_REQUIRE_GPU is set: {error}");
            println!("not tested: {error}");
            continue;
        }
        let root = repository().join("tests/golden");
        let folders: Vec<_> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap()).collect();
        let folders: Vec<String> = folders
            .iter()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| !NO_NETWORKS.contains(&name.as_str()))
            .collect();
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        let cases = golden(&["--device", "gpu", "--float", float], &folders);
        assert!(cases > 50, "only {cases} cases");
    }
}

/// Runs the program on these folders of the reference; the number of cases, all of which passed.
fn golden(options: &[&str], folders: &[&str]) -> usize {
    let root = repository().join("tests/golden");
    let folders = folders.iter().map(|folder| root.join(folder));
    let output = Command::new(env!("CARGO_BIN_EXE_golden")).args(options).args(folders).output().unwrap();
    let (lines, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{lines}{errors}");
    lines.lines().count()
}
