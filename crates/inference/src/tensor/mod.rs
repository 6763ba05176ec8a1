//! `Tensor`, `Device`, `DType` and the op set: the only room that knows about devices.
//!
//! A [`Tensor`] is a cheaply cloned handle (shape, type, storage). Activations are channels-last `[n, h, w, c]`, so a
//! transformer's `[n, h * w, c]` is a free view; convolution weights are `[out, kh, kw, in]`. Weights may be `f32`,
//! `f16`, `bf16` or quantised blocks: the op widens them and always accumulates in `f32`.
//!
//! Storage is a closed enum. Each op has one file with a `match` on it, so a new kind of storage is a new variant and
//! one arm per op, and no model changes. Ops only enqueue work; [`Tensor::to_host`] and [`Tensor::to_vec`] wait for the
//! device.
//!
//! # Memory
//!
//! Host tensors are contiguous: another shape, or a range of the first axis, is a view; everything else is a copy. The
//! results of ops are in pooled memory (`easel_cpu::Floats`, pooled by length; a request may get a slightly longer
//! buffer), so from its second step on a sampling loop only allocates handles of a few dozen bytes
//! (`tests/allocations.rs`). The pipeline returns idle memory between its phases. The largest product of a transformer,
//! which GEGLU halves, is computed a few rows at a time (`linear_geglu`).
//!
//! # Weights
//!
//! A weight keeps its stored type; ops widen it block by block and accumulate in `f32`. Half-precision checkpoints
//! therefore need half the memory, and give the numbers that diffusers gives after `.float()`. On the CPU a matrix or
//! kernel is packed into the panels that the kernels read, and the loaded copy is dropped at once, so loading never
//! needs more memory than the model and one tensor. Weights are uploaded to a GPU in runs of rows of about 16 MiB
//! (`Upload`), and after every 64 MiB the loader waits for the driver, so the host never holds a large tensor.
//! Convolution weights are permuted from `[out, in, kh, kw]` to `[out, kh, kw, in]`. Only matrices are quantised; the
//! other weights of such a model keep their stored type. Blocks stay blocks on the CPU and, repacked into words, on a
//! GPU; candle's devices get them as `f16` ([`DType::on`]).
//!
//! # Types
//!
//! A model computes in its device's type (`Device::float`): `f32`, or `f16` on a GPU that supports it. Text encoders
//! always compute in `f32`, and so do autoencoders whose configuration says `force_upcast`.
//!
//! On the CPU some products have lower precision ([`Products`]), unless `--dtype f32` or `f16` is set: quantised
//! weights are multiplied in integers, with the input rounded to blocks of eight bits, and denoisers and autoencoders
//! use bfloat16 products if the processor has them and they are faster. Everything between two products stays `f32`.
//! `tests/tests/rounded.rs` shows the loss of precision.
//!
//! On `Device::Outline` tensors have shapes but no data. Networks run there to find out how much memory they need.
//!
//! The conformance table (`tests/conformance`) runs every op on every device against plain loops. `Device::candle_cpu`
//! (feature `candle`) runs the code path of CUDA and Metal on any machine.

mod activation;
mod attention;
#[cfg(feature = "candle")]
mod candle;
#[cfg(not(feature = "candle"))]
#[path = "no_candle.rs"]
mod candle;
mod choice;
mod conv2d;
mod data;
mod depthwise;
mod device;
mod elementwise;
mod embedding;
mod finite;
#[cfg(feature = "webgpu")]
mod gpu;
#[cfg(not(feature = "webgpu"))]
#[path = "no_gpu.rs"]
mod gpu;
mod host;
mod layout;
mod linear;
#[cfg(not(all(feature = "candle", feature = "webgpu")))]
mod never;
mod norm;
mod outline;
mod products;
mod replay;
mod threshold;
mod upload;
mod work;

pub use attention::{Relative, Scores};
pub use candle::CandleDevice;
pub use choice::Selection;
pub use conv2d::Conv2d;
pub use data::Data;
pub use device::{Device, DeviceInfo, DeviceKind, GpuOptions};
pub use easel_cpu::{Activation, BlockFormat};
pub use gpu::{GpuDevice, gpu_memory};
pub use linear::Epilogue;
pub use outline::OutlineDevice;
pub use products::Products;
pub use replay::Replay;
pub(crate) use upload::Upload;
pub use work::multiply_adds;

use crate::{Error, Result};
use candle::Candle;
use device::not_built;
use easel_cpu::Floats;
#[cfg(not(all(feature = "candle", feature = "webgpu")))]
use never::never;
use outline::Outline;

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// Unsigned 32-bit integer: token ids.
    U32,
    /// GGUF's quantised blocks along the last axis: matrices of weights.
    Blocks(BlockFormat),
}

impl DType {
    /// Blocks of 32 eight-bit integers, each with a scale.
    pub const Q8_0: Self = Self::Blocks(BlockFormat::Q8_0);

    /// Bytes of one element, or of one block for quantised types.
    pub fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Blocks(format) => format.bytes(),
        }
    }

    /// Elements per block; 1 for types that are not quantised.
    pub fn block(self) -> usize {
        match self {
            Self::Blocks(format) => format.length(),
            _ => 1,
        }
    }

    /// Whether this is a quantised type.
    pub fn is_blocks(self) -> bool {
        matches!(self, Self::Blocks(_))
    }

    /// Whether a weight of this shape can have this type: only matrices whose rows are whole blocks can be quantised.
    pub(crate) fn fits(self, shape: &[usize]) -> bool {
        !self.is_blocks() || matches!(shape, [_, width] if width.is_multiple_of(self.block()))
    }

    /// The type of a weight of this shape that is stored as `stored`, if this type is requested. Only matrices whose
    /// rows are whole blocks of some format are quantised, and quantised weights keep their format.
    pub(crate) fn of_weight(self, shape: &[usize], stored: Self) -> Self {
        match (self, shape) {
            (Self::Blocks(_), _) if stored.is_blocks() => stored,
            (Self::Blocks(format), [_, width]) => format.for_rows(*width).map_or(stored, Self::Blocks),
            (Self::Blocks(_), _) => stored,
            _ => self,
        }
    }

    /// The type of such a weight on a device. Blocks that the device does not support are widened to `f16`.
    pub fn on(self, device: &Device) -> Self {
        match (self, device) {
            (Self::Blocks(_), Device::Candle(_)) => Self::F16,
            (_, Device::Outline(outline)) => self.on(outline.stands_for()),
            _ => self,
        }
    }
}

/// An n-dimensional array on a device. Cloning copies the handle, not the data.
#[derive(Clone)]
pub struct Tensor {
    storage: Storage,
}

/// The storage of a tensor, which determines the kernels.
#[derive(Clone)]
enum Storage {
    /// Host memory and Easel's own kernels (`easel-cpu`).
    Cpu(host::Host),
    /// A GPU through WebGPU and Easel's own kernels (`easel-webgpu`).
    #[cfg_attr(not(feature = "webgpu"), allow(dead_code, reason = "a build without it makes none"))]
    Gpu(gpu::Gpu),
    /// A candle device with candle's kernels: CUDA, Metal, and on the CPU the oracle of the conformance table.
    #[cfg_attr(not(feature = "candle"), allow(dead_code, reason = "a build without it makes none"))]
    Candle(Candle),
    /// No data, for plans.
    Outline(Outline),
}

impl Tensor {
    /// A tensor of `f32`.
    pub fn from_vec(data: Vec<f32>, shape: &[usize], device: &Device) -> Result<Self> {
        check_length("from_vec", data.len(), shape)?;
        Self::upload(Data::F32(data), shape, device, false)
    }

    /// A tensor of token ids.
    pub fn from_ids(data: Vec<u32>, shape: &[usize], device: &Device) -> Result<Self> {
        check_length("from_ids", data.len(), shape)?;
        Self::upload(Data::U32(data), shape, device, false)
    }

    /// A weight from its little-endian bytes, in its stored type.
    pub fn from_bytes(bytes: &[u8], dtype: DType, shape: &[usize], device: &Device) -> Result<Self> {
        if !bytes.len().is_multiple_of(dtype.size()) {
            let expected = format!("whole elements of {} bytes, got {} bytes", dtype.size(), bytes.len());
            return Err(Error::Shape { op: "from_bytes", expected, got: shape.to_vec() });
        }
        check_length("from_bytes", bytes.len() / dtype.size() * dtype.block(), shape)?;
        Self::from_data(Data::from_bytes(bytes, dtype), shape, device)
    }

    /// A tensor of `f32` zeros.
    pub fn zeros(shape: &[usize], device: &Device) -> Result<Self> {
        match (count(shape), device) {
            (Some(length), Device::Cpu) => Ok(Self::made(Floats::zeros(length), shape)),
            (Some(_), Device::Outline(device)) => Ok(Outline::plain(device, DType::F32, shape)),
            (Some(length), device) => Self::upload(Data::zeros(DType::F32, length), shape, device, false),
            (None, _) => {
                Err(Error::Shape { op: "zeros", expected: "a shape that fits memory".into(), got: shape.to_vec() })
            }
        }
    }

    /// Uploads data of the right length. `stays` is set for weights.
    fn upload(data: Data, shape: &[usize], device: &Device, stays: bool) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Self::on_host(host::Numbers::Plain(data), shape)),
            Device::Gpu(_) | Device::Candle(_) if data.dtype().on(device) != data.dtype() => {
                let dtype = data.dtype().on(device);
                let widened = Self::on_host(host::Numbers::Plain(data), shape).cast(dtype)?;
                Self::upload(widened.host("upload")?.to_data("upload")?, shape, device, stays)
            }
            Device::Gpu(device) => gpu::Gpu::upload(device, &data, shape, stays),
            Device::Candle(device) => Candle::upload(device, data, shape),
            Device::Outline(device) => Ok(Outline::plain(device, data.dtype(), shape)),
        }
    }

    /// A tensor of a plan, with only type and shape.
    pub(crate) fn outlined(dtype: DType, shape: &[usize], device: &OutlineDevice) -> Self {
        Outline::plain(device, dtype, shape)
    }

    /// The sizes of all axes.
    pub fn shape(&self) -> &[usize] {
        match &self.storage {
            Storage::Cpu(host) => &host.shape,
            Storage::Gpu(gpu) => gpu.shape(),
            Storage::Candle(candle) => candle.shape(),
            Storage::Outline(outline) => outline.shape(),
        }
    }

    /// The sizes of exactly `N` axes, or an error that names the op.
    pub fn dims<const N: usize>(&self, op: &'static str) -> Result<[usize; N]> {
        self.shape().try_into().map_err(|_| self.shape_error(op, format!("{N} axes")))
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match &self.storage {
            Storage::Cpu(host) => host.dtype(),
            Storage::Gpu(gpu) => gpu.dtype(),
            Storage::Candle(candle) => candle.dtype(),
            Storage::Outline(outline) => outline.dtype(),
        }
    }

    /// The device of the tensor.
    pub fn device(&self) -> Device {
        match &self.storage {
            Storage::Cpu(_) => Device::Cpu,
            Storage::Gpu(gpu) => gpu.home(),
            Storage::Candle(candle) => candle.home(),
            Storage::Outline(outline) => outline.home(),
        }
    }

    /// Copies the tensor to another device. From a GPU only [`to_host`](Self::to_host) copies, because it has to wait.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        const OP: &str = "to_device";
        match (&self.storage, device) {
            (Storage::Cpu(_), Device::Cpu) => Ok(self.clone()),
            (Storage::Candle(candle), Device::Candle(device)) => candle.to_device(device),
            (Storage::Gpu(_), Device::Gpu(_)) | (Storage::Outline(_), _) => Ok(self.clone()),
            (Storage::Gpu(_), _) => Err(host::elsewhere(OP, self, &device.to_string())),
            (Storage::Cpu(host), device) => Self::upload(host.to_data(OP)?, self.shape(), device, false),
            (Storage::Candle(candle), device) => Self::upload(candle.read()?, self.shape(), device, false),
        }
    }

    /// Converts the elements to another type.
    pub fn cast(&self, dtype: DType) -> Result<Self> {
        const OP: &str = "cast";
        match &self.storage {
            Storage::Cpu(_) if self.dtype() == dtype => Ok(self.clone()),
            Storage::Cpu(host) => Ok(Self::on_host(host.cast(OP, dtype)?, self.shape())),
            Storage::Gpu(x) => x.cast(dtype),
            Storage::Candle(x) => x.cast(dtype),
            Storage::Outline(x) => Ok(x.cast(dtype)),
        }
    }

    /// Copies the tensor to host memory, as `f32`. Only this and [`to_vec`](Self::to_vec) wait for a device.
    pub async fn to_host(&self) -> Result<Self> {
        let on_host = match &self.storage {
            Storage::Cpu(_) | Storage::Outline(_) => self.clone(),
            Storage::Gpu(gpu) => Self::upload(gpu.read().await?, self.shape(), &Device::Cpu, false)?,
            Storage::Candle(_) => self.to_device(&Device::Cpu)?,
        };
        on_host.cast(DType::F32)
    }

    /// Reads the elements back as `f32`, in row-major order.
    pub async fn to_vec(&self) -> Result<Vec<f32>> {
        const OP: &str = "to_vec";
        match &self.storage {
            Storage::Cpu(host) => Ok(host.widened(OP)?.into_owned()),
            Storage::Gpu(_) | Storage::Candle(_) => Ok(self.to_host().await?.host(OP)?.widened(OP)?.into_owned()),
            Storage::Outline(_) => Err(outline::no_numbers(OP)),
        }
    }

    fn shape_error(&self, op: &'static str, expected: impl Into<String>) -> Error {
        Error::Shape { op, expected: expected.into(), got: self.shape().to_vec() }
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({:?} {:?} on {})", self.dtype(), self.shape(), self.device())
    }
}

fn check_length(op: &'static str, length: usize, shape: &[usize]) -> Result<()> {
    if count(shape) == Some(length) {
        return Ok(());
    }
    Err(Error::Shape { op, expected: format!("a shape of {length} elements"), got: shape.to_vec() })
}

/// The number of elements of a shape; `None` if it exceeds the address space.
fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size))
}
