//! The GPU in a build without it (cargo feature `webgpu`): uninhabited types.

use super::{Activation, Conv2d, DType, Data, Device, DeviceInfo, Epilogue, GpuOptions, Scores, Tensor};
use crate::{Error, Result};
use easel_cpu::elementwise::Binary;
use std::ops::Range;

/// An open GPU. This build has none.
#[derive(Clone, Debug)]
pub enum GpuDevice {}

impl GpuDevice {
    /// Returns the error that this build has no WebGPU.
    pub async fn open(_: &GpuOptions) -> Result<Self> {
        let reason = "this build has no WebGPU (cargo feature `webgpu`)".into();
        Err(Error::Device { device: "gpu".into(), reason })
    }

    pub(super) async fn list() -> Vec<DeviceInfo> {
        Vec::new()
    }

    pub(super) fn release_idle(&self) {
        match *self {}
    }

    pub(super) async fn revive(&self) -> Result<()> {
        match *self {}
    }

    /// Never called.
    pub fn name(&self) -> String {
        match *self {}
    }

    /// Never called.
    pub fn is_software(&self) -> bool {
        match *self {}
    }

    /// Never called.
    pub fn float(&self) -> DType {
        match *self {}
    }

    pub(super) fn in_f32(&self) -> Self {
        match *self {}
    }
}

/// No memory.
pub fn gpu_memory() -> u64 {
    0
}

/// A tensor on a GPU.
#[derive(Clone)]
pub(super) enum Gpu {}

/// A recorded function.
pub(super) enum Recorded {}

super::never! { Recorded:
    fits(&[Gpu]) -> bool;
    replay(&[Gpu]) -> Result<Tensor>;
    output() -> Result<Tensor>;
}

impl Recorded {
    pub(super) fn new(inputs: &[Gpu], _: impl FnOnce(&[Tensor]) -> Result<Tensor>) -> Result<Self> {
        match inputs.first() {
            Some(gpu) => match *gpu {},
            None => Err(Error::Backend { op: "replay", reason: "expected at least one input".into() }),
        }
    }
}

impl Gpu {
    pub(super) fn upload(device: &GpuDevice, _: &Data, _: &[usize], _: bool) -> Result<Tensor> {
        match *device {}
    }

    pub(super) async fn read(&self) -> Result<Data> {
        match *self {}
    }
}

/// A weight that is being uploaded to a GPU.
pub(super) enum Upload {}

impl Upload {
    pub(super) fn new(device: &GpuDevice, _: DType, _: &[usize]) -> Result<Self> {
        match *device {}
    }

    pub(super) async fn push(&self, _: Range<usize>, _: &Data) -> Result<()> {
        match *self {}
    }

    pub(super) fn finish(self) -> Tensor {
        match self {}
    }
}

super::never! { Upload:
    runs() -> Vec<Range<usize>>;
}

super::never! { Gpu:
    shape() -> &[usize];
    home() -> Device;
    dtype() -> DType;
    linear(&Tensor, Option<&Tensor>, Epilogue<'_>) -> Result<Tensor>;
    conv2d(&Tensor, Option<&Tensor>, Conv2d, Epilogue<'_>) -> Result<Tensor>;
    depthwise(&Tensor, &Tensor, Conv2d, Activation) -> Result<Tensor>;
    attention(&Tensor, &Tensor, usize, Scores<'_>) -> Result<Tensor>;
    rope(&Tensor) -> Result<Tensor>;
    group_norm(usize, f64, [&Tensor; 2], Activation) -> Result<Tensor>;
    layer_norm(f64, [&Tensor; 2]) -> Result<Tensor>;
    modulated_norm(f64, [&Tensor; 2]) -> Result<Tensor>;
    rms_norm(f64, &Tensor) -> Result<Tensor>;
    activation(Activation) -> Result<Tensor>;
    geglu() -> Result<Tensor>;
    embedding(&Tensor) -> Result<Tensor>;
    binary(&'static str, Binary, &Tensor) -> Result<Tensor>;
    affine(f64, f64) -> Result<Tensor>;
    clamp(f32, f32) -> Result<Tensor>;
    exp() -> Result<Tensor>;
    combine(f64, &[(f64, &Tensor)]) -> Result<Tensor>;
    mean_and_std() -> Result<(Tensor, Tensor)>;
    reshape(&[usize]) -> Result<Tensor>;
    permute(&[usize]) -> Result<Tensor>;
    narrow(usize, usize, usize) -> Result<Tensor>;
    concat(&[&Tensor], usize) -> Result<Tensor>;
    repeat(usize) -> Result<Tensor>;
    cast(DType) -> Result<Tensor>;
}
