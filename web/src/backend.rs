//! The one place that chooses who computes.

use easel_inference::{Device, Error, Result};

/// Who computes in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// The processor, through WebAssembly.
    Wasm,
}

impl Backend {
    /// The backend of this name; `auto` is the best there is.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        match name {
            "auto" | "wasm" => Ok(Self::Wasm),
            "webgpu" => {
                let reason = "this build computes with WebAssembly only".into();
                Err(Error::Device { device: name.into(), reason })
            }
            _ => Err(Error::invalid("backend", format!("{name:?} is not one of auto, wasm, webgpu"))),
        }
    }

    /// The name that it is known by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
        }
    }

    /// Opens it.
    pub(crate) fn open(self) -> Result<Device> {
        match self {
            Self::Wasm => Ok(Device::Cpu),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_backends_or_say_what_is_expected() {
        assert_eq!(Backend::parse("auto").unwrap(), Backend::Wasm);
        assert_eq!(Backend::parse(Backend::Wasm.name()).unwrap(), Backend::Wasm);
        let text = Backend::parse("cuda").unwrap_err().to_string();
        assert_eq!(text, r#"backend: "cuda" is not one of auto, wasm, webgpu"#);
    }
}
