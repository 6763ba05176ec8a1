//! Devices: which there are, and how a name becomes one.

use super::{CandleDevice, DType, GpuDevice, OutlineDevice};
use crate::{Error, Result};
use easel_cpu::parallel::{self, Movable};
use std::fmt;
use std::str::FromStr;

/// Where tensors live and who computes with them.
#[derive(Clone, Debug)]
pub enum Device {
    /// The host's processor with Easel's own kernels.
    Cpu,
    /// A GPU through WebGPU.
    Gpu(GpuDevice),
    /// A candle device: CUDA, Metal, or candle's own CPU kernels for tests.
    Candle(CandleDevice),
    /// None: tensors on it have shapes, but no numbers. Networks that run on it say how much memory they will need.
    Outline(OutlineDevice),
}

/// The device as a user names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceKind {
    /// The best that is there.
    #[default]
    Auto,
    /// The host's processor.
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
    /// Its place in the list of adapters, or part of its name; the best one if empty.
    pub adapter: String,
    /// The type of activations: `F32`, `F16`, or by default `F16` on hardware that has it.
    pub float: Option<DType>,
    /// Ask for nothing beyond what WebGPU guarantees everywhere: for tests of odd hardware.
    pub guaranteed_only: bool,
    /// Use tensor cores for products in `F16`, where there are any.
    pub cooperative: bool,
    /// The most bytes of GPU memory to hold.
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
            _ => Err(Error::invalid("device", format!("{name:?} is not one of auto, cpu, gpu, cuda, metal"))),
        }
    }
}

/// One line of the list of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The name to ask for it by.
    pub id: String,
    /// What it is.
    pub name: String,
    /// Whether it can be used now.
    pub available: bool,
    /// Why it cannot be used, if it cannot.
    pub reason: Option<String>,
    /// Whether it is a GPU that the processor pretends to be: right, but slower than the processor's own kernels.
    pub software: bool,
}

impl Device {
    /// Opens the device of this kind; `Auto` as [`Device::select`] chooses.
    pub async fn open(kind: DeviceKind, options: &GpuOptions) -> Result<Self> {
        match kind {
            DeviceKind::Cpu => Ok(Self::Cpu),
            DeviceKind::Gpu => Ok(Self::Gpu(GpuDevice::open(options).await?)),
            DeviceKind::Cuda | DeviceKind::Metal => Ok(Self::Candle(CandleDevice::open(kind)?)),
            DeviceKind::Auto => Ok(Box::pin(Self::select(kind, options)).await?.device),
        }
    }

    /// The device as a user names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu(_) => "gpu",
            Self::Candle(device) => device.name(),
            Self::Outline(outline) => outline.stands_for().name(),
        }
    }

    /// The type that models compute in here.
    pub fn float(&self) -> DType {
        match self {
            Self::Gpu(device) => device.float(),
            Self::Cpu | Self::Candle(_) => DType::F32,
            Self::Outline(outline) => outline.stands_for().float(),
        }
    }

    /// The same device for models that compute in `f32`, whatever [`float`](Self::float) says: where half precision is too
    /// narrow for what a network computes.
    pub fn in_f32(&self) -> Self {
        match self {
            Self::Gpu(device) => Self::Gpu(device.in_f32()),
            Self::Cpu | Self::Candle(_) | Self::Outline(_) => self.clone(),
        }
    }

    /// candle's kernels on the CPU: slower than [`Device::Cpu`], and the same code path as CUDA and Metal.
    #[cfg(feature = "candle")]
    pub fn candle_cpu() -> Self {
        Self::Candle(CandleDevice::cpu())
    }

    /// Calls `f`, in which many ops follow one another: on the processor on one of its own threads, so that they are not
    /// handed over one by one; elsewhere right here.
    pub fn enter<R: Movable>(&self, f: impl FnOnce() -> R + Movable) -> R {
        match self {
            Self::Cpu => parallel::enter(f),
            Self::Gpu(_) | Self::Candle(_) | Self::Outline(_) => f(),
        }
    }

    /// Gives memory that is kept for ops of the sizes seen so far back to the system: for the end of a phase that another,
    /// of other sizes, follows. Tensors are not touched.
    pub fn release_idle(&self) {
        match self {
            Self::Cpu => easel_cpu::memory::release_idle(),
            Self::Gpu(device) => device.release_idle(),
            Self::Outline(device) => device.release_idle(),
            Self::Candle(_) => {}
        }
    }

    /// Opens a GPU that was lost anew, for all clones of this device. Tensors that were on it stay lost.
    pub async fn revive(&self) -> Result<()> {
        match self {
            Self::Gpu(device) => device.revive().await,
            Self::Cpu | Self::Candle(_) | Self::Outline(_) => Ok(()),
        }
    }

    /// Every kind of device, and every GPU, with the reason for each that cannot be used.
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

/// Why there can be no such device in this build.
pub(super) fn not_built(device: &str) -> String {
    format!("this build has no {device} (cargo feature `{device}`)")
}
