//! GPUs with engines of their own. A GPU in software is enough for them.

use crate::{Host, command, data};
use serde_json::Value;
use std::process::Command;

/// Whether this machine has a GPU, as `easel devices` says; printed if not.
fn has_gpu() -> bool {
    let output = Command::new(env!("CARGO_BIN_EXE_easel")).args(["devices", "--json"]).output().unwrap();
    let devices: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = devices.as_array().unwrap().iter().any(|device| device["id"] == "gpu:0" && device["available"] == true);
    if !found {
        assert!(std::env::var_os("EASEL_REQUIRE_GPU").is_none(), "EASEL_REQUIRE_GPU is set: {devices}");
        eprintln!("skipped: there is no GPU: {devices}");
    }
    found
}

/// The exit code and the message of a start that fails.
fn refused(device: &str) -> (Option<i32>, String) {
    let folder = data();
    let output = command(folder.path(), &["--device", device]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_gpu_that_is_not_there_is_refused_with_a_list() {
    let (code, said) = refused("gpu:97");
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.starts_with("easel: device gpu:97 is not there; this machine has "), "{said}");
    let (code, said) = refused("gpu:0,tpu:1");
    assert!(code == Some(2) && said.contains("GPUs such as gpu:0,gpu:1"), "{said}");
}

#[test]
fn a_listed_gpu_draws_and_its_memory_is_counted() {
    if !has_gpu() {
        return;
    }
    let folder = data();
    let host = Host::start(folder.path(), &["--device", "gpu:0"]);
    let task = host.submit(1);
    host.until(&task, "completed");
    let metrics = host.get("/metrics").body_mut().read_to_string().unwrap();
    let bytes = metrics.lines().find_map(|line| line.strip_prefix("easel_gpu_memory_bytes ")).unwrap();
    assert!(bytes.parse::<u64>().unwrap() > 1 << 20, "{bytes}");
    let devices = host.json("/pipeline/devices");
    let selected = devices["devices"].as_array().unwrap().iter().filter(|device| device["selected"] == true).count();
    assert!(selected <= 1, "{devices}");
}
