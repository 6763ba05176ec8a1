//! Tensors on a GPU through WebGPU: the bridge to `easel-webgpu`, which has the kernels.
//!
//! Activations are one array. A weight above the device's binding limit is split into several along its first axis.

mod device;
mod ops;
mod replay;
mod upload;

pub use device::GpuDevice;
pub(super) use replay::Recorded;
pub(super) use upload::Upload;

use super::{DType, Data, Device, Storage, Tensor, host};
use crate::{Error, Result};
use easel_webgpu::shader::Format;
use easel_webgpu::{Array, Context};

/// Bytes of GPU memory that this process has allocated through WebGPU.
pub fn gpu_memory() -> u64 {
    easel_webgpu::allocated()
}

/// A tensor on a GPU, in one array or in several along the first axis.
#[derive(Clone)]
pub(super) struct Gpu {
    device: GpuDevice,
    /// The runtime at the time of the upload. If the device is lost, the data is lost with it.
    context: Context,
    parts: Vec<Array>,
    shape: Vec<usize>,
}

impl Gpu {
    fn new(device: &GpuDevice, context: &Context, array: Array) -> Self {
        let shape = array.shape().to_vec();
        Self { device: device.clone(), context: context.clone(), parts: vec![array], shape }
    }

    /// Copies data to the device: to pooled memory, or to separate memory for weights.
    pub(super) fn upload(device: &GpuDevice, data: &Data, shape: &[usize], stays: bool) -> Result<Tensor> {
        if !stays && !data.dtype().is_blocks() {
            let context = device.context();
            let array = Array::from_bytes(&context, data.as_bytes(), shape, format(data.dtype()))?;
            return Ok(Tensor { storage: Storage::Gpu(Self::new(device, &context, array)) });
        }
        let upload = Upload::new(device, data.dtype(), shape)?;
        let bytes = data.as_bytes();
        let row = bytes.len() / shape.first().copied().unwrap_or(1).max(1);
        for rows in upload.runs() {
            upload.write(rows.clone(), &bytes[rows.start * row..rows.end * row])?;
        }
        Ok(upload.finish())
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The device of the op set.
    pub(super) fn home(&self) -> Device {
        Device::Gpu(self.device.clone())
    }

    pub(super) fn dtype(&self) -> DType {
        match self.parts.first().map(Array::format) {
            Some(Format::F16) => DType::F16,
            Some(Format::Bf16) => DType::Bf16,
            Some(Format::U32) => DType::U32,
            Some(Format::Blocks(format)) => DType::Blocks(format),
            _ => DType::F32,
        }
    }

    /// Waits for the device and reads the numbers back.
    pub(super) async fn read(&self) -> Result<Data> {
        if self.dtype().is_blocks() {
            return Err(host::unsupported("to_host", self.dtype()));
        }
        // All reads are started before the first one is awaited.
        let reads: Vec<_> = self.parts.iter().map(|part| (part, self.context.read(part.buffer(), ..))).collect();
        let mut bytes = Vec::new();
        for (part, read) in reads {
            let length = part.elements() * self.dtype().size();
            let read = read.await?;
            bytes.extend_from_slice(read.get(..length).unwrap_or(&read));
        }
        Ok(Data::from_bytes(&bytes, self.dtype()))
    }

    /// The array of an activation or a small weight.
    fn array(&self, op: &'static str) -> Result<&Array> {
        match self.parts.as_slice() {
            [array] => Ok(array),
            _ => Err(Error::Backend { op, reason: "the tensor exceeds the binding limit of this GPU".into() }),
        }
    }
}

impl Tensor {
    /// The operand's GPU storage, which is an error for other devices.
    fn gpu(&self, op: &'static str) -> Result<&Gpu> {
        match &self.storage {
            Storage::Gpu(gpu) => Ok(gpu),
            _ => Err(host::elsewhere(op, self, "the GPU")),
        }
    }
}

fn format(dtype: DType) -> Format {
    match dtype {
        DType::F32 => Format::F32,
        DType::F16 => Format::F16,
        DType::Bf16 => Format::Bf16,
        DType::U32 => Format::U32,
        DType::Blocks(format) => Format::Blocks(format),
    }
}

impl From<easel_webgpu::Error> for Error {
    fn from(error: easel_webgpu::Error) -> Self {
        match error {
            easel_webgpu::Error::DeviceLost { reason } => Self::DeviceLost { reason },
            easel_webgpu::Error::OutOfMemory { bytes, in_use } => Self::OutOfMemory { bytes, in_use },
            easel_webgpu::Error::BufferTooLarge { bytes, limit } => Self::OutOfMemory { bytes, in_use: limit },
            easel_webgpu::Error::Shape { op, expected, got } => Self::Shape { op, expected, got },
            error @ (easel_webgpu::Error::NoAdapter { .. } | easel_webgpu::Error::NoDevice { .. }) => {
                Self::Device { device: "gpu".into(), reason: error.to_string() }
            }
            error => Self::Backend { op: "gpu", reason: error.to_string() },
        }
    }
}
