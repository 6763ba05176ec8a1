//! Devices: their kinds, their names and their list.

use super::{CandleDevice, DType, GpuDevice, OutlineDevice};
use crate::{Error, Result};
use easel_cpu::parallel::{self, Movable};
use std::fmt;
use std::str::FromStr;

/// The place where tensors are stored and computed.
#[derive(Clone, Debug)]
pub enum Device {
    /// The processor with Easel's own kernels.
    Cpu,
    /// A GPU through WebGPU.
    Gpu(GpuDevice),
    /// A candle device: CUDA, Metal, or candle's own CPU kernels for tests.
    Candle(CandleDevice),
    /// No device: its tensors have shapes but no data. Networks run on it to find out how much memory they need.
    Outline(OutlineDevice),
}

/// The device's name for users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceKind {
    /// The best available device.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A GPU through WebGPU: Vulkan, Metal, DX12 or the browser's.
    Gpu,
    /// NVIDIA through CUDA (feature `cuda`).
    Cuda,
    /// Apple through Metal (feature `metal`).
    Metal,
}

/// How to open a GPU.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Its position in the list of adapters, or part of its name. If empty, the best one.
    pub adapter: String,
    /// The type of activations: `F32` or `F16`. By default `F16` on hardware that supports it.
    pub float: Option<DType>,
    /// Use only the limits that WebGPU guarantees, for tests.
    pub guaranteed_only: bool,
    /// Use tensor cores for products in `F16`, if there are any.
    pub cooperative: bool,
    /// The most bytes of GPU memory to use.
    pub memory: Option<u64>,
}

impl FromStr for DeviceKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            "cuda" => Ok(Self::Cuda),
            "metal" => Ok(Self::Metal),
            _ => Err(Error::invalid("device", format!("expected one of auto, cpu, gpu, cuda, metal, got {name:?}"))),
        }
    }
}

/// An entry in the list of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name in requests.
    pub id: String,
    /// Its description.
    pub name: String,
    /// Whether it can be used.
    pub available: bool,
    /// Why it cannot be used.
    pub reason: Option<String>,
    /// Whether it is a software GPU: correct, but slower than the processor's kernels.
    pub software: bool,
}

impl Device {
    /// Opens the device of this kind. For `Auto`, [`Device::select`] chooses.
    pub async fn open(kind: DeviceKind, options: &GpuOptions) -> Result<Self> {
        match kind {
            DeviceKind::Cpu => Ok(Self::Cpu),
            DeviceKind::Gpu => Ok(Self::Gpu(GpuDevice::open(options).await?)),
            DeviceKind::Cuda | DeviceKind::Metal => Ok(Self::Candle(CandleDevice::open(kind)?)),
            DeviceKind::Auto => Ok(Box::pin(Self::select(kind, options)).await?.device),
        }
    }

    /// The device's name for users.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu(_) => "gpu",
            Self::Candle(device) => device.name(),
            Self::Outline(outline) => outline.stands_for().name(),
        }
    }

    /// The type that models compute in on this device.
    pub fn float(&self) -> DType {
        match self {
            Self::Gpu(device) => device.float(),
            Self::Cpu | Self::Candle(_) => DType::F32,
            Self::Outline(outline) => outline.stands_for().float(),
        }
    }

    /// The same device for models that compute in `f32` regardless of [`float`](Self::float), because half precision is
    /// too narrow for them.
    pub fn in_f32(&self) -> Self {
        match self {
            Self::Gpu(device) => Self::Gpu(device.in_f32()),
            Self::Cpu | Self::Candle(_) | Self::Outline(_) => self.clone(),
        }
    }

    /// candle's kernels on the CPU: slower than [`Device::Cpu`], but with the same code path as CUDA and Metal.
    #[cfg(feature = "candle")]
    pub fn candle_cpu() -> Self {
        Self::Candle(CandleDevice::cpu())
    }

    /// Calls `f`, which runs many ops. On the processor it runs on one of the kernels' threads, so that ops need not be
    /// handed over one by one; otherwise on the current thread.
    pub fn enter<R: Movable>(&self, f: impl FnOnce() -> R + Movable) -> R {
        match self {
            Self::Cpu => parallel::enter(f),
            Self::Gpu(_) | Self::Candle(_) | Self::Outline(_) => f(),
        }
    }

    /// Returns pooled memory to the system, at the end of a phase that is followed by one with other sizes. Tensors are
    /// not affected.
    pub fn release_idle(&self) {
        match self {
            Self::Cpu => easel_cpu::memory::release_idle(),
            Self::Gpu(device) => device.release_idle(),
            Self::Outline(device) => device.release_idle(),
            Self::Candle(_) => {}
        }
    }

    /// Reopens a lost GPU for all clones of this device. Its tensors stay lost.
    pub async fn revive(&self) -> Result<()> {
        match self {
            Self::Gpu(device) => device.revive().await,
            Self::Cpu | Self::Candle(_) | Self::Outline(_) => Ok(()),
        }
    }

    /// All kinds of devices and all GPUs, with the reason for those that cannot be used.
    pub async fn list() -> Vec<DeviceInfo> {
        let info = |id: &str, name: String, error: Option<Error>| DeviceInfo {
            id: id.into(),
            name,
            available: error.is_none(),
            reason: error.map(|error| error.to_string()),
            software: false,
        };
        let threads = parallel::threads();
        let mut list = vec![info("cpu", format!("processor, {threads} threads, {}", std::env::consts::ARCH), None)];
        match GpuDevice::list().await {
            found if found.is_empty() => {
                let error = GpuDevice::open(&GpuOptions::default()).await.err();
                list.push(info("gpu", "GPU through WebGPU".into(), error));
            }
            found => list.extend(found),
        }
        for (kind, id, name) in [
            (DeviceKind::Cuda, "cuda", "NVIDIA GPU through CUDA"),
            (DeviceKind::Metal, "metal", "Apple GPU through Metal"),
        ] {
            list.push(info(id, name.into(), Self::open(kind, &GpuOptions::default()).await.err()));
        }
        list
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The message for a device that is not compiled in.
pub(super) fn not_built(device: &str) -> String {
    format!("this build has no {device} (cargo feature `{device}`)")
}
