//! Opening a GPU, and its properties as the op set needs them.

use crate::lock::lock;
use crate::tensor::{DType, DeviceInfo, GpuOptions};
use crate::{Error, Result};
use easel_webgpu::{Capabilities, Choice, Context, Kind, Options};
use std::fmt;
use std::sync::{Arc, Mutex};

/// An open GPU. Cloning copies the handle, and a GPU that was [revived](Self::revive) is so for all clones.
#[derive(Clone)]
pub struct GpuDevice {
    open: Arc<Mutex<Context>>,
    float: DType,
}

impl GpuDevice {
    /// Opens a device.
    ///
    /// Errors: [`Error::Device`] if there is no such adapter, or it has no 16-bit floats and they are asked for.
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

    /// Opens the device anew if it is lost. Tensors that were on it stay lost.
    pub(in crate::tensor) async fn revive(&self) -> Result<()> {
        let lost = self.context();
        if !lost.is_lost() {
            return Ok(());
        }
        let fresh = lost.reopen().await?;
        let mut open = lock(&self.open);
        // Another clone may have been faster.
        if open.is(&lost) {
            *open = fresh;
        }
        Ok(())
    }

    /// The runtime underneath as it is open now: statistics, profiling, limits.
    pub fn context(&self) -> Context {
        lock(&self.open).clone()
    }

    /// What it is, for people.
    pub fn name(&self) -> String {
        info(self.context().capabilities()).name
    }

    /// Whether it is a software rasteriser: right, but slower than the kernels for the CPU.
    pub fn is_software(&self) -> bool {
        self.context().capabilities().is_software()
    }

    /// Gives pooled memory that nothing uses back to the driver.
    pub(in crate::tensor) fn release_idle(&self) {
        // What fails here fails again at the next op, which says so.
        let _ = self.context().trim();
    }

    /// Every GPU that there is.
    pub(in crate::tensor) async fn list() -> Vec<DeviceInfo> {
        easel_webgpu::adapters().await.iter().map(info).collect()
    }

    /// The type that models compute in.
    pub fn float(&self) -> DType {
        self.float
    }

    /// Another handle of the same device, for models that compute in `f32`.
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
        // Right everywhere, and a software rasteriser gains nothing from half the bytes.
        None if !capabilities.f16 || capabilities.is_software() => return Ok(DType::F32),
        None => return Ok(DType::F16),
        Some(DType::F16) => format!("{} has no 16-bit floats (shader-f16)", capabilities.adapter.name),
        Some(other) => format!("models compute in F32 or F16 there, not {other:?}"),
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
