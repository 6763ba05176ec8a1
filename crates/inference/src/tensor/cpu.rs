//! The bridge between candle's host storage and the slices that `easel-cpu` works on.

use super::{Storage, Tensor, backend};
use crate::{Error, Result};
use candle_core::CpuStorage;
use std::ops::Deref;

/// A contiguous tensor in host memory, held open for reading.
pub(super) struct Host {
    tensor: candle_core::Tensor,
}

impl Host {
    /// Opens a tensor; a strided view is copied into a contiguous one first.
    pub(super) fn open(op: &'static str, tensor: &candle_core::Tensor) -> Result<Self> {
        Ok(Self { tensor: tensor.contiguous().map_err(backend(op))? })
    }

    /// Calls `f` with the numbers, which must be `f32`.
    pub(super) fn with_f32<R>(&self, op: &'static str, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
        self.with_storage(|storage, range| match storage {
            CpuStorage::F32(data) => Ok(f(&data[range])),
            _ => Err(Error::Backend { op, reason: format!("expected f32 on the CPU, got {:?}", self.tensor.dtype()) }),
        })
    }

    /// Calls `f` with the numbers as a weight of any float type.
    pub(super) fn with_weight<R>(&self, op: &'static str, f: impl FnOnce(easel_cpu::Weight<'_>) -> R) -> Result<R> {
        self.with_storage(|storage, range| match storage {
            CpuStorage::F32(data) => Ok(f(easel_cpu::Weight::F32(&data[range]))),
            CpuStorage::F16(data) => Ok(f(easel_cpu::Weight::F16(&data[range]))),
            CpuStorage::BF16(data) => Ok(f(easel_cpu::Weight::Bf16(&data[range]))),
            _ => Err(Error::Backend { op, reason: format!("expected a float weight, got {:?}", self.tensor.dtype()) }),
        })
    }

    fn with_storage<R>(&self, f: impl FnOnce(&CpuStorage, std::ops::Range<usize>) -> Result<R>) -> Result<R> {
        let (storage, layout) = self.tensor.storage_and_layout();
        let start = layout.start_offset();
        match storage.deref() {
            candle_core::Storage::Cpu(storage) => f(storage, start..start + layout.shape().elem_count()),
            _ => Err(Error::Backend { op: "read", reason: "the tensor is not in host memory".into() }),
        }
    }
}

/// Nested access to several optional `f32` tensors: `None` stays `None`.
pub(super) fn with_optional<R>(
    op: &'static str,
    tensor: Option<&Host>,
    f: impl FnOnce(Option<&[f32]>) -> Result<R>,
) -> Result<R> {
    match tensor {
        None => f(None),
        Some(host) => host.with_f32(op, |data| f(Some(data)))?,
    }
}

/// Opens a tensor for the kernels, widened to `f32` if it is stored in a smaller type (biases, norm weights).
pub(super) fn widened(op: &'static str, tensor: &Tensor) -> Result<Host> {
    Host::open(op, &tensor.candle().to_dtype(candle_core::DType::F32).map_err(backend(op))?)
}

/// The result of a kernel as a tensor.
pub(super) fn finish(op: &'static str, data: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
    let tensor = candle_core::Tensor::from_vec(data, shape, &candle_core::Device::Cpu).map_err(backend(op))?;
    Ok(Tensor { storage: Storage::Cpu(tensor) })
}
