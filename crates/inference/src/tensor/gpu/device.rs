//! Opens a GPU, and provides its properties for the op set.

use crate::lock::lock;
use crate::tensor::{DType, DeviceInfo, GpuOptions};
use crate::{Error, Result};
use easel_webgpu::{Capabilities, Choice, Context, Kind, Options};
use std::fmt;
use std::sync::{Arc, Mutex};

/// An open GPU. Cloning copies the handle; [reviving](Self::revive) it affects all clones.
#[derive(Clone)]
pub struct GpuDevice {
    open: Arc<Mutex<Context>>,
    float: DType,
}

impl GpuDevice {
    /// Opens a device.
    ///
    /// Errors: [`Error::Device`] if there is no such adapter, or if 16-bit floats are requested and not supported.
    pub async fn open(options: &GpuOptions) -> Result<Self> {
        let adapter = match options.adapter.parse() {
            Ok(index) => Choice::Index(index),
            Err(_) if options.adapter.is_empty() => Choice::Best,
            Err(_) => Choice::Name(options.adapter.clone()),
        };
        let GpuOptions { guaranteed_only, cooperative, memory, .. } = *options;
        let options_there = Options { adapter, guaranteed_only, cooperative, memory, ..Options::default() };
        let context = Context::open(&options_there).await?;
        let float = float(context.capabilities(), options.float)?;
        Ok(Self { open: Arc::new(Mutex::new(context)), float })
    }

    /// Reopens the device if it was lost. Its tensors stay lost.
    pub(in crate::tensor) async fn revive(&self) -> Result<()> {
        let lost = self.context();
        if !lost.is_lost() {
            return Ok(());
        }
        let fresh = lost.reopen().await?;
        let mut open = lock(&self.open);
        // Another clone may have reopened it already.
        if open.is(&lost) {
            *open = fresh;
        }
        Ok(())
    }

    /// The current runtime, for statistics, profiling and limits.
    pub fn context(&self) -> Context {
        lock(&self.open).clone()
    }

    /// Its name for users.
    pub fn name(&self) -> String {
        info(self.context().capabilities()).name
    }

    /// Whether it is a software GPU: correct, but slower than the processor's kernels.
    pub fn is_software(&self) -> bool {
        self.context().capabilities().is_software()
    }

    /// Returns unused pooled memory to the driver.
    pub(in crate::tensor) fn release_idle(&self) {
        // If this fails, the next op fails too and reports it.
        let _ = self.context().trim();
    }

    /// All GPUs.
    pub(in crate::tensor) async fn list() -> Vec<DeviceInfo> {
        easel_webgpu::adapters().await.iter().map(info).collect()
    }

    /// The type that models compute in.
    pub fn float(&self) -> DType {
        self.float
    }

    /// Another handle to the same device, for models that compute in `f32`.
    pub(in crate::tensor) fn in_f32(&self) -> Self {
        Self { float: DType::F32, ..self.clone() }
    }
}

impl fmt::Debug for GpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GpuDevice({}, {:?})", self.context().capabilities().adapter.name, self.float)
    }
}

fn float(capabilities: &Capabilities, asked: Option<DType>) -> Result<DType> {
    let reason = match asked {
        Some(DType::F32) => return Ok(DType::F32),
        Some(DType::F16) if capabilities.f16 => return Ok(DType::F16),
        // `f32` is always correct, and a software GPU is not faster with half the bytes.
        None if !capabilities.f16 || capabilities.is_software() => return Ok(DType::F32),
        None => return Ok(DType::F16),
        Some(DType::F16) => format!("{} has no 16-bit floats (shader-f16)", capabilities.adapter.name),
        Some(other) => format!("models compute in F32 or F16, got {other:?}"),
    };
    Err(Error::Device { device: "gpu".into(), reason })
}

fn info(capabilities: &Capabilities) -> DeviceInfo {
    let adapter = &capabilities.adapter;
    let limits = &capabilities.limits;
    let kind = match adapter.kind {
        Kind::Discrete => "discrete",
        Kind::Integrated => "integrated",
        Kind::Virtual => "virtual",
        Kind::Software => "software, slow",
        Kind::Other => "kind unknown",
    };
    let mut features = vec![format!("{} MiB buffers", limits.storage_binding.min(limits.buffer) >> 20)];
    features.push(if capabilities.f16 { "f16".into() } else { "f32 only".into() });
    if let Some((smallest, largest)) = capabilities.subgroups {
        features.push(if smallest == largest {
            format!("subgroups of {largest}")
        } else {
            format!("subgroups of {smallest} to {largest}")
        });
    }
    if !capabilities.cooperative.is_empty() {
        features.push("matrix cores".into());
    }
    DeviceInfo {
        id: format!("gpu:{}", adapter.index),
        name: format!("{} ({kind}; {}; {})", adapter.name, adapter.backend, features.join(", ")),
        available: true,
        reason: None,
        software: capabilities.is_software(),
    }
}
