//! Opening a GPU, and what a device of the op set knows of it.

use crate::tensor::{DType, DeviceInfo, GpuOptions};
use crate::{Error, Result};
use easel_webgpu::ops::repack_q8_0;
use easel_webgpu::shader::Format;
use easel_webgpu::{Array, Capabilities, Choice, Context, Kind, Options};
use std::fmt;

/// An open GPU. Cloning copies the handle.
#[derive(Clone)]
pub struct GpuDevice {
    context: Context,
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
        let GpuOptions { guaranteed_only, memory, .. } = *options;
        let context = Context::open(&Options { adapter, guaranteed_only, memory, ..Options::default() }).await?;
        let float = float(context.capabilities(), options.float)?;
        Ok(Self { context, float })
    }

    /// The same adapter opened anew, after the device was lost.
    pub async fn reopen(&self) -> Result<Self> {
        Ok(Self { context: self.context.reopen().await?, float: self.float })
    }

    /// The runtime underneath: statistics, profiling, limits.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether it is a software rasteriser: right, but slower than the kernels for the CPU.
    pub fn is_software(&self) -> bool {
        self.context.capabilities().is_software()
    }

    /// Gives pooled memory that nothing uses back to the driver.
    pub(in crate::tensor) fn release_idle(&self) {
        // What fails here fails again at the next op, which says so.
        let _ = self.context.trim();
    }

    /// Every GPU that there is.
    pub(in crate::tensor) async fn list() -> Vec<DeviceInfo> {
        easel_webgpu::adapters().await.iter().map(info).collect()
    }

    /// The type that models compute in.
    pub fn float(&self) -> DType {
        self.float
    }

    /// Numbers copied to the device: to memory that ops share, or to memory of their own for what stays.
    pub(super) fn array(&self, bytes: &[u8], shape: &[usize], format: Format, stays: bool) -> Result<Array> {
        if format == Format::Q8_0 {
            // Blocks of 34 bytes, which the kernel reads as words and takes apart.
            let mut words = bytes.to_vec();
            words.resize(bytes.len().next_multiple_of(4), 0);
            return Ok(repack_q8_0(&self.context, &self.context.upload(&words)?, shape)?);
        }
        let buffer = if stays {
            let buffer = self.context.resident(bytes.len() as u64)?;
            self.context.write(&buffer, 0, bytes)?;
            buffer
        } else {
            self.context.upload(bytes)?
        };
        Ok(Array::new(buffer, shape, format)?)
    }

    /// Bytes of the largest array that a kernel can see as one.
    pub(super) fn largest_array(&self) -> usize {
        let limits = &self.context.capabilities().limits;
        usize::try_from(limits.storage_binding.min(limits.buffer)).unwrap_or(usize::MAX)
    }
}

impl fmt::Debug for GpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GpuDevice({}, {:?})", self.context.capabilities().adapter.name, self.float)
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
    let (adapter, limits) = (&capabilities.adapter, &capabilities.limits);
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
