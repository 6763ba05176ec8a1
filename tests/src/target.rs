//! The device of the golden cases, the CPU unless `golden --device` says otherwise, and its tolerances.

use anyhow::{Context, Result, bail};
use easel_inference::Device;
use easel_inference::tensor::{DType, DeviceKind, GpuOptions};
use pollster::block_on;
use serde_json::Value;
use std::sync::OnceLock;

/// A device and its tolerances.
#[derive(Debug)]
pub struct Target {
    /// Where models compute.
    pub device: Device,
    /// The device adds in another order than the reference: errors in `f32` may be ten times as large.
    other_order: bool,
}

static TARGET: OnceLock<Target> = OnceLock::new();

/// The target of this process.
pub fn target() -> &'static Target {
    TARGET.get_or_init(|| Target { device: Device::Cpu, other_order: false })
}

/// Chooses the target, once and before the first case.
pub fn choose(device: &str, float: Option<&str>) -> Result<()> {
    let float = match float {
        None => None,
        Some("f32") => Some(DType::F32),
        Some("f16") => Some(DType::F16),
        Some(other) => bail!("--float: {other:?} is not one of f32, f16"),
    };
    let adapter = std::env::var("EASEL_GPU").unwrap_or_default();
    let guaranteed_only = std::env::var_os("EASEL_GPU_GUARANTEED_ONLY").is_some();
    let options = GpuOptions { adapter, float, guaranteed_only, ..GpuOptions::default() };
    let device = if device == "candle-cpu" {
        Device::candle_cpu()
    } else {
        block_on(Device::open(device.parse::<DeviceKind>()?, &options))?
    };
    let other_order = !matches!(device, Device::Cpu);
    TARGET.set(Target { device, other_order }).ok().context("the target is chosen once")
}

impl Target {
    /// The tolerances of a case, from its `tol`: in half precision those for `f16`, or where weights are in `bf16` those for
    /// that, which has fewer bits.
    pub fn tolerances<'a>(&self, case: &'a Value) -> &'a Value {
        let all = &case["tol"];
        let is_half = self.device.float() == DType::F16;
        let names: &[&str] = if is_half { &["f16", "bf16"] } else { &["f32"] };
        names.iter().map(|name| &all[*name]).find(|tolerances| !tolerances.is_null()).unwrap_or(&Value::Null)
    }

    /// The tolerance here for a CPU tolerance in `f32`.
    pub fn widened(&self, tolerance: f64) -> f64 {
        match self.device.float() {
            DType::F32 if self.other_order => tolerance * 10.0,
            _ => tolerance,
        }
    }

    /// How many 8-bit levels a pixel may be off, if the whole picture has this tolerance.
    pub fn levels(&self, tolerance: f64) -> f64 {
        if self.device.float() == DType::F16 { (tolerance * 255.0).ceil() } else { 2.0 }
    }
}
