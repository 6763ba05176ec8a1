//! Devices: which there are, and how a name becomes one.

use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Where tensors live and who computes with them.
#[derive(Clone, Debug)]
pub enum Device {
    /// The host's processor with Easel's own kernels.
    Cpu,
    /// A candle device: CUDA, Metal, or candle's own CPU kernels (see [`Device::candle_cpu`]).
    Candle(candle_core::Device),
}

/// The device as a user names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceKind {
    /// The best that is there.
    #[default]
    Auto,
    /// The host's processor.
    Cpu,
    /// NVIDIA through CUDA (feature `cuda`).
    Cuda,
    /// Apple through Metal (feature `metal`).
    Metal,
}

impl FromStr for DeviceKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            "metal" => Ok(Self::Metal),
            _ => Err(Error::invalid("device", format!("{name:?} is not one of auto, cpu, cuda, metal"))),
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
}

impl Device {
    /// Opens the device of this kind; `Auto` takes CUDA, then Metal, then the CPU.
    pub fn open(kind: DeviceKind) -> Result<Self> {
        match kind {
            DeviceKind::Cpu => Ok(Self::Cpu),
            DeviceKind::Cuda => candle_core::Device::new_cuda(0).map(Self::Candle).map_err(unavailable("cuda")),
            DeviceKind::Metal => candle_core::Device::new_metal(0).map(Self::Candle).map_err(unavailable("metal")),
            DeviceKind::Auto => {
                Ok(Self::open(DeviceKind::Cuda).or_else(|_| Self::open(DeviceKind::Metal)).unwrap_or(Self::Cpu))
            }
        }
    }

    /// candle's kernels on the CPU: slower than [`Device::Cpu`], and the same code path as CUDA and Metal.
    pub fn candle_cpu() -> Self {
        Self::Candle(candle_core::Device::Cpu)
    }

    /// Gives memory that is kept for ops of the sizes seen so far back to the system: for the end of a phase that another,
    /// of other sizes, follows. Tensors are not touched.
    pub fn release_idle(&self) {
        match self {
            Self::Cpu => easel_cpu::memory::release_idle(),
            Self::Candle(_) => {}
        }
    }

    /// Every kind of device, with the reason for each that cannot be used.
    pub fn list() -> Vec<DeviceInfo> {
        let cpu = DeviceInfo {
            id: "cpu".into(),
            name: format!("processor, {} threads, {}", easel_cpu::parallel::threads(), std::env::consts::ARCH),
            available: true,
            reason: None,
        };
        let optional = |kind, id: &str, name: &str| {
            let error = Self::open(kind).err();
            DeviceInfo {
                id: id.into(),
                name: name.into(),
                available: error.is_none(),
                reason: error.map(|error| error.to_string()),
            }
        };
        vec![
            cpu,
            optional(DeviceKind::Cuda, "cuda", "NVIDIA GPU through CUDA"),
            optional(DeviceKind::Metal, "metal", "Apple GPU through Metal"),
        ]
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cpu => "cpu",
            Self::Candle(device) if device.is_cuda() => "cuda",
            Self::Candle(device) if device.is_metal() => "metal",
            Self::Candle(_) => "candle-cpu",
        })
    }
}

fn unavailable(device: &'static str) -> impl Fn(candle_core::Error) -> Error {
    move |error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default().to_owned();
        let compiled = (device == "cuda" && cfg!(feature = "cuda")) || (device == "metal" && cfg!(feature = "metal"));
        let reason = if compiled { first } else { format!("this build has no {device} (cargo feature `{device}`)") };
        Error::Device { device: device.into(), reason }
    }
}
