//! Uploads a weight to the GPU, some rows at a time.

use super::{Gpu, GpuDevice, format};
use crate::tensor::{DType, Data, Storage, Tensor};
use crate::{Error, Result};
use easel_webgpu::ops::repack_rows;
use easel_webgpu::shader::Format;
use easel_webgpu::{Array, Context};
use std::ops::Range;

/// Bytes per write.
const RUN: usize = 16 << 20;

/// A partly written weight: separate memory, in parts that a kernel can bind.
pub(in crate::tensor) struct Upload {
    device: GpuDevice,
    context: Context,
    shape: Vec<usize>,
    parts: Vec<Array>,
    rows_per_part: usize,
    rows_per_run: usize,
}

impl Upload {
    /// Allocates the memory.
    pub(in crate::tensor) fn new(device: &GpuDevice, dtype: DType, shape: &[usize]) -> Result<Self> {
        let context = device.context();
        let format = format(dtype);
        let rows = shape.first().copied().unwrap_or(1);
        let inner = shape.get(1..).unwrap_or_default();
        // Two rows of blocks are always whole units of words; one may not be.
        let two_rows = format.bytes(inner.iter().product::<usize>().saturating_mul(2) as u64);
        let row_bytes = usize::try_from(two_rows.div_ceil(2)).unwrap_or(usize::MAX).max(1);
        let largest = largest_array(&context);
        if row_bytes > largest {
            let expected = format!("rows of at most {largest} bytes, the binding limit of this GPU");
            return Err(Error::Shape { op: "upload", expected, got: shape.to_vec() });
        }
        let rows_per_part = (largest / row_bytes / 2 * 2).clamp(1, rows.max(1));
        let part = |first: usize| {
            let sizes = if shape.is_empty() { vec![] } else { [&[rows_per_part.min(rows - first)], inner].concat() };
            Array::resident(&context, &sizes, format)
        };
        let parts = (0..rows.max(1)).step_by(rows_per_part).map(part).collect::<easel_webgpu::Result<_>>()?;
        // A run starts at an offset that is valid for writes, or at a unit of blocks.
        let rows_per_run = (RUN / row_bytes / 2 * 2).max(2).min(rows_per_part);
        Ok(Self { device: device.clone(), context, shape: shape.to_vec(), parts, rows_per_part, rows_per_run })
    }

    /// The runs of rows to write, in order.
    pub(in crate::tensor) fn runs(&self) -> Vec<Range<usize>> {
        let rows = self.shape.first().copied().unwrap_or(1);
        let cut = |rows: Range<usize>, step| {
            let end = rows.end;
            rows.step_by(step).map(move |start| start..end.min(start + step))
        };
        cut(0..rows, self.rows_per_part).flat_map(|part| cut(part, self.rows_per_run)).collect()
    }

    /// Writes one run.
    pub(super) fn write(&self, rows: Range<usize>, bytes: &[u8]) -> Result<()> {
        let Some(part) = self.parts.get(rows.start / self.rows_per_part) else { return Ok(()) };
        let first = rows.start % self.rows_per_part;
        let count = rows.len();
        if let Format::Blocks(_) = part.format() {
            // Blocks may have any number of bytes. The kernel reads them as words and splits them.
            let mut words = bytes.to_vec();
            words.resize(bytes.len().next_multiple_of(4), 0);
            let raw = self.context.upload(&words)?;
            return Ok(repack_rows(&self.context, &raw, part, first..first + count)?);
        }
        let offset = first * (bytes.len() / count.max(1));
        Ok(self.context.write(part.buffer(), offset as u64, bytes)?)
    }

    /// Writes one run, and from time to time waits until the GPU has received the data.
    pub(in crate::tensor) async fn push(&self, rows: Range<usize>, data: &Data) -> Result<()> {
        let bytes = data.as_bytes();
        self.write(rows, bytes)?;
        Ok(self.context.throttle(bytes.len() as u64).await?)
    }

    /// The weight.
    pub(in crate::tensor) fn finish(self) -> Tensor {
        let Self { device, context, shape, parts, .. } = self;
        Tensor { storage: Storage::Gpu(Gpu { device, context, parts, shape }) }
    }
}

/// Bytes of the largest array that a kernel can bind.
fn largest_array(context: &Context) -> usize {
    let limits = &context.capabilities().limits;
    usize::try_from(limits.storage_binding.min(limits.buffer)).unwrap_or(usize::MAX)
}
