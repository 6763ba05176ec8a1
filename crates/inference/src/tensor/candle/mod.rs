//! Tensors of candle (<https://github.com/huggingface/candle>): the bridge to its devices for CUDA and Metal. On the
//! CPU the same code is the oracle of the conformance table.

mod attention;
mod ops;

use super::{DType, Data, Device, DeviceKind, Storage, Tensor, host};
use crate::{Error, Result};

/// A candle device.
#[derive(Clone, Debug)]
pub struct CandleDevice(candle_core::Device);

impl CandleDevice {
    /// Opens the first GPU of a kind.
    pub(super) fn open(kind: DeviceKind) -> Result<Self> {
        match kind {
            DeviceKind::Metal => Self::opened("metal", cfg!(feature = "metal"), candle_core::Device::new_metal(0)),
            _ => Self::opened("cuda", cfg!(feature = "cuda"), candle_core::Device::new_cuda(0)),
        }
    }

    fn opened(name: &str, built: bool, device: candle_core::Result<candle_core::Device>) -> Result<Self> {
        device.map(Self).map_err(|error| {
            let reason = if built { first_line(&error) } else { super::not_built(name) };
            Error::Device { device: name.into(), reason }
        })
    }

    /// The device with candle's kernels on the CPU.
    pub(super) fn cpu() -> Self {
        Self(candle_core::Device::Cpu)
    }

    /// The device's name for users.
    pub(super) fn name(&self) -> &'static str {
        match self.0 {
            candle_core::Device::Cpu => "candle-cpu",
            candle_core::Device::Cuda(_) => "cuda",
            candle_core::Device::Metal(_) => "metal",
        }
    }
}

/// A tensor on a candle device.
#[derive(Clone)]
pub(super) struct Candle(candle_core::Tensor);

impl Candle {
    /// Copies numbers to the device.
    pub(super) fn upload(device: &CandleDevice, data: Data, shape: &[usize]) -> Result<Tensor> {
        let device = &device.0;
        let tensor = match data {
            Data::F32(data) => candle_core::Tensor::from_vec(data, shape, device),
            Data::F16(data) => candle_core::Tensor::from_vec(data, shape, device),
            Data::Bf16(data) => candle_core::Tensor::from_vec(data, shape, device),
            Data::U32(data) => candle_core::Tensor::from_vec(data, shape, device),
            // `DType::on` has widened them.
            Data::Blocks(format, _) => return Err(host::unsupported("upload", DType::Blocks(format))),
        };
        made("upload", tensor)
    }

    pub(super) fn shape(&self) -> &[usize] {
        self.0.dims()
    }

    /// The device of the op set.
    pub(super) fn home(&self) -> Device {
        Device::Candle(CandleDevice(self.0.device().clone()))
    }

    pub(super) fn dtype(&self) -> DType {
        match self.0.dtype() {
            candle_core::DType::F16 => DType::F16,
            candle_core::DType::BF16 => DType::Bf16,
            candle_core::DType::U32 => DType::U32,
            // The constructors and `cast` create no other type.
            _ => DType::F32,
        }
    }

    pub(super) fn to_device(&self, device: &CandleDevice) -> Result<Tensor> {
        made("to_device", self.0.to_device(&device.0))
    }

    pub(super) fn cast(&self, dtype: DType) -> Result<Tensor> {
        made("cast", self.0.to_dtype(candle_type(dtype)))
    }

    /// The numbers in host memory. Waits for the device.
    pub(super) fn read(&self) -> Result<Data> {
        self.to_data().map_err(backend("to_host"))
    }

    fn to_data(&self) -> candle_core::Result<Data> {
        let flat = self.0.to_device(&candle_core::Device::Cpu)?.flatten_all()?;
        Ok(match flat.dtype() {
            candle_core::DType::F16 => Data::F16(flat.to_vec1()?),
            candle_core::DType::BF16 => Data::Bf16(flat.to_vec1()?),
            candle_core::DType::U32 => Data::U32(flat.to_vec1()?),
            _ => Data::F32(flat.to_vec1()?),
        })
    }
}

/// candle's name for a type.
fn candle_type(dtype: DType) -> candle_core::DType {
    match dtype {
        DType::F32 => candle_core::DType::F32,
        DType::F16 | DType::Blocks(_) => candle_core::DType::F16,
        DType::Bf16 => candle_core::DType::BF16,
        DType::U32 => candle_core::DType::U32,
    }
}

/// The candle tensor of an operand of an op on a candle device.
fn operand<'a>(op: &'static str, tensor: &'a Tensor) -> Result<&'a candle_core::Tensor> {
    match &tensor.storage {
        Storage::Candle(Candle(tensor)) => Ok(tensor),
        Storage::Cpu(_) | Storage::Gpu(_) | Storage::Outline(_) => Err(host::elsewhere(op, tensor, "the op's device")),
    }
}

/// An optional operand.
fn optional<'a>(op: &'static str, tensor: Option<&'a Tensor>) -> Result<Option<&'a candle_core::Tensor>> {
    tensor.map(|tensor| operand(op, tensor)).transpose()
}

/// The result of a candle call.
fn made(op: &'static str, result: candle_core::Result<candle_core::Tensor>) -> Result<Tensor> {
    Ok(Tensor { storage: Storage::Candle(Candle(result.map_err(backend(op))?)) })
}

/// Turns candle's error into ours.
fn backend(op: &'static str) -> impl Fn(candle_core::Error) -> Error {
    move |error| Error::Backend { op, reason: first_line(&error) }
}

/// The first line of candle's message; the rest is a backtrace.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
