//! Values and groups of options that several commands share.

use clap::{Args, ValueEnum};
use easel_host::model::ComponentPath;
use easel_inference::DType;
use easel_inference::tensor::DeviceKind;

/// Which model to load, and how.
#[derive(Args, Clone)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// A name (see `easel models`), a file, a folder or a hub repository [env: EASEL_MODEL or MODEL]
    /// [default: easel-emoji]
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// Where to compute; auto uses a GPU that passes a self-test, else the processor, and always the processor for the
    /// built-in model
    #[arg(long, value_enum, env = "EASEL_DEVICE", hide_env_values = true, default_value_t = DeviceArg::Auto)]
    pub(crate) device: DeviceArg,
    /// Keep weights in this type, and compute in it on a GPU [default: as stored; f16 on GPUs that support it; on
    /// processors, products of quantised weights in integers and others in bf16 where that is faster]
    #[arg(long, value_enum)]
    pub(crate) dtype: Option<DtypeArg>,
    /// Prefer the weight files of this variant, for example fp16
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<String>,
    /// Take a component from a separate file, alone or among others in it, or from a folder; can be repeated
    #[arg(long, value_name = "NAME=PATH")]
    pub(crate) component: Vec<ComponentPath>,
    /// The autoencoder that decodes: tiny (TAESD: small and fast) or full (the model's own)
    #[arg(long, value_enum)]
    pub(crate) vae: Option<Vae>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceArg {
    Auto,
    Cpu,
    /// Vulkan, Metal or DX12 through WebGPU; EASEL_GPU picks an adapter from `easel devices` by number or name
    Gpu,
    Cuda,
    Metal,
}

impl DeviceArg {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        }
    }
}

impl From<DeviceArg> for DeviceKind {
    fn from(device: DeviceArg) -> Self {
        match device {
            DeviceArg::Auto => Self::Auto,
            DeviceArg::Cpu => Self::Cpu,
            DeviceArg::Gpu => Self::Gpu,
            DeviceArg::Cuda => Self::Cuda,
            DeviceArg::Metal => Self::Metal,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DtypeArg {
    F32,
    F16,
    Bf16,
    /// Eight bits for the matrices, the rest as it is stored.
    #[value(name = "q8_0")]
    Q8_0,
}

impl DtypeArg {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
        }
    }
}

impl From<DtypeArg> for DType {
    fn from(dtype: DtypeArg) -> Self {
        match dtype {
            DtypeArg::F32 => Self::F32,
            DtypeArg::F16 => Self::F16,
            DtypeArg::Bf16 => Self::Bf16,
            DtypeArg::Q8_0 => Self::Q8_0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Vae {
    Tiny,
    Full,
}

impl Vae {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Full => "full",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

/// A picture file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Png,
    #[value(alias = "jpg")]
    Jpeg,
    Webp,
}

impl Format {
    /// The usual file extension.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
        }
    }

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }
}
