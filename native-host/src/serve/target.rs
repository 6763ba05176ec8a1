//! Where engines compute: on the selected kind of device, or each on its own one of several GPUs (`--device gpu:0,gpu:1`).

use easel_inference::tensor::DeviceKind;
use std::fmt;
use std::str::FromStr;

/// A device of a task: its kind, and which GPU if engines have their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) kind: DeviceKind,
    /// Its number in `easel devices`; `None` for the one that `EASEL_GPU` names, or the best.
    pub(super) gpu: Option<usize>,
}

impl From<DeviceKind> for Target {
    fn from(kind: DeviceKind) -> Self {
        Self { kind, gpu: None }
    }
}

/// The devices of a deployment, from their text: a kind, or GPUs by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// The kind.
    pub kind: DeviceKind,
    /// The numbers of GPUs, each with engines of its own; empty if all engines share one device.
    pub gpus: Vec<usize>,
}

/// Why a text names no devices.
#[derive(Debug, PartialEq, Eq)]
pub struct NotTargets(String);

impl fmt::Display for NotTargets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotTargets {}

impl FromStr for Targets {
    type Err = NotTargets;

    fn from_str(text: &str) -> Result<Self, NotTargets> {
        if let Ok(kind) = text.parse() {
            return Ok(Self { kind, gpus: Vec::new() });
        }
        let number = |part: &str| part.trim().to_ascii_lowercase().strip_prefix("gpu:")?.parse().ok();
        let gpus: Option<Vec<usize>> = text.split(',').map(number).collect();
        let unknown = || format!("expected auto, cpu, gpu, cuda, metal, or GPUs such as gpu:0,gpu:1, got {text:?}");
        let gpus = gpus.ok_or_else(|| NotTargets(unknown()))?;
        if let Some(twice) = (1..gpus.len()).find(|at| gpus[..*at].contains(&gpus[*at])) {
            return Err(NotTargets(format!(
                "gpu:{} is listed twice; --engines adds engines for each GPU",
                gpus[twice]
            )));
        }
        Ok(Self { kind: DeviceKind::Gpu, gpus })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Targets, String> {
        text.parse().map_err(|error: NotTargets| error.to_string())
    }

    #[test]
    fn a_kind_or_gpus_by_number() {
        assert_eq!(read("CPU"), Ok(Targets { kind: DeviceKind::Cpu, gpus: vec![] }));
        assert_eq!(read("gpu"), Ok(Targets { kind: DeviceKind::Gpu, gpus: vec![] }));
        assert_eq!(read("gpu:1"), Ok(Targets { kind: DeviceKind::Gpu, gpus: vec![1] }));
        assert_eq!(read("gpu:0, GPU:2"), Ok(Targets { kind: DeviceKind::Gpu, gpus: vec![0, 2] }));
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected() {
        for bad in ["", "gpu:", "gpu:x", "gpu:-1", "gpu:0,cpu", "gpu:0,", "cuda:0", "tpu"] {
            let said = read(bad).unwrap_err();
            assert!(said.starts_with("expected auto, cpu, gpu, cuda, metal, or GPUs such as gpu:0,gpu:1"), "{said}");
        }
        assert!(read("gpu:3,gpu:0,gpu:3").unwrap_err().starts_with("gpu:3 is listed twice"));
    }
}
