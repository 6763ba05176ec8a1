//! candle's devices in a build without them (cargo feature `candle`): uninhabited types.

use super::{Activation, Conv2d, DType, Data, Device, DeviceKind, Epilogue, Scores, Tensor};
use crate::{Error, Result};
use easel_cpu::elementwise::Binary;

/// A candle device. This build has none.
#[derive(Clone, Debug)]
pub enum CandleDevice {}

impl CandleDevice {
    /// Returns the error that this build has no such device.
    pub(super) fn open(kind: DeviceKind) -> Result<Self> {
        let name = if kind == DeviceKind::Metal { "metal" } else { "cuda" };
        Err(Error::Device { device: name.into(), reason: super::not_built(name) })
    }

    pub(super) fn name(&self) -> &'static str {
        match *self {}
    }
}

/// A tensor on a candle device.
#[derive(Clone)]
pub(super) enum Candle {}

impl Candle {
    pub(super) fn upload(device: &CandleDevice, _: Data, _: &[usize]) -> Result<Tensor> {
        match *device {}
    }
}

super::never! { Candle:
    shape() -> &[usize];
    home() -> Device;
    dtype() -> DType;
    to_device(&CandleDevice) -> Result<Tensor>;
    read() -> Result<Data>;
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
    mean_and_std(&[usize]) -> Result<(Tensor, Tensor)>;
    dynamic_threshold(usize, f64, f64) -> Result<Tensor>;
    reshape(&[usize]) -> Result<Tensor>;
    permute(&[usize]) -> Result<Tensor>;
    narrow(usize, usize, usize) -> Result<Tensor>;
    concat(&[&Tensor], usize) -> Result<Tensor>;
    cast(DType) -> Result<Tensor>;
}
