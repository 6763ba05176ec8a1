//! The backend: the name that the worker chose, and its device.

use easel_inference::tensor::{DeviceKind, GpuOptions};
use easel_inference::{Device, Error, Result};

/// The backend of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The processor, through WebAssembly.
    Wasm,
    /// The graphics device, through WebGPU.
    WebGpu,
}

impl Backend {
    /// The backend of this name. The worker chooses the best one before it loads a module.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "wasm" => Ok(Self::Wasm),
            "webgpu" => Ok(Self::WebGpu),
            _ => Err(Error::invalid("backend", format!("{name:?} is not one of wasm, webgpu"))),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::WebGpu => "webgpu",
        }
    }

    /// Opens its device. Returns [`Error::Device`] with the reason if that fails.
    pub async fn open(self) -> Result<Device> {
        let kind = match self {
            Self::Wasm => DeviceKind::Cpu,
            Self::WebGpu => DeviceKind::Gpu,
        };
        Device::open(kind, &GpuOptions::default()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_backends_or_say_what_is_expected() {
        for backend in [Backend::Wasm, Backend::WebGpu] {
            assert_eq!(Backend::parse(backend.name()).unwrap(), backend);
        }
        let text = Backend::parse("cuda").unwrap_err().to_string();
        assert_eq!(text, r#"backend: "cuda" is not one of wasm, webgpu"#);
    }
}
