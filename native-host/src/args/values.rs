//! Values and groups of options that several commands share.

use clap::{Args, ValueEnum};
use easel_host::model::ComponentPath;
use easel_inference::DType;
use easel_inference::tensor::DeviceKind;

/// Which model, and how it is loaded.
#[derive(Args, Clone)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// A name (see `easel models`), a file, a folder or a hub repository [env: EASEL_MODEL or MODEL]
    /// [default: easel-emoji]
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// Where to compute; auto takes a GPU that passes a self-test, else the processor, and the processor at once for the
    /// built-in model
    #[arg(long, value_enum, env = "EASEL_DEVICE", hide_env_values = true, default_value_t = DeviceArg::Auto)]
    pub(crate) device: DeviceArg,
    /// Keep weights in this type, and compute in it on a GPU [default: as stored, f16 on GPUs that have it, and products in
    /// bf16 on processors that are faster at those]
    #[arg(long, value_enum)]
    pub(crate) dtype: Option<DtypeArg>,
    /// Prefer the weight files of this variant, fp16 for example
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<String>,
    /// Take a component from a place of its own: a file that holds it, alone or among others, or its folder; can be given
    /// several times
    #[arg(long, value_name = "NAME=PATH")]
    pub(crate) component: Vec<ComponentPath>,
    /// Which autoencoder decodes: the small, fast one or the model's own
    #[arg(long, value_enum)]
    pub(crate) vae: Option<Vae>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceArg {
    Auto,
    Cpu,
    /// Vulkan, Metal or DX12 through WebGPU; EASEL_GPU picks an adapter of `easel devices` by number or name
    Gpu,
    Cuda,
    Metal,
}

impl DeviceArg {
    /// The name as it is typed.
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
    /// The name as it is typed.
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
    /// The name as it is typed.
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

    /// The name as it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }
}
