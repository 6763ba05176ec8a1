//! `Upload`: uploads a weight to a device, some rows at a time.

use super::{DType, Data, Device, Tensor, gpu};
use crate::Result;
use std::ops::Range;

/// A weight that arrives in runs of rows, the entries of its first axis. Each run is uploaded to a GPU at once, so that
/// the host never holds a whole large weight. On other devices all rows are one run.
pub(crate) struct Upload {
    dtype: DType,
    shape: Vec<usize>,
    to: To,
}

enum To {
    Whole(Device, Option<Tensor>),
    Gpu(gpu::Upload),
}

impl Upload {
    /// Prepares for a weight of this type and shape.
    pub(crate) fn new(dtype: DType, shape: &[usize], device: &Device) -> Result<Self> {
        let to = match device {
            Device::Gpu(gpu) => To::Gpu(gpu::Upload::new(gpu, dtype, shape)?),
            _ => To::Whole(device.clone(), None),
        };
        Ok(Self { dtype, shape: shape.to_vec(), to })
    }

    /// The runs of rows to [push](Self::push), in order.
    pub(crate) fn runs(&self) -> Vec<Range<usize>> {
        match &self.to {
            To::Whole(..) => std::iter::once(0..self.shape.first().copied().unwrap_or(1)).collect(),
            To::Gpu(gpu) => gpu.runs(),
        }
    }

    /// Uploads one run, in any type.
    pub(crate) async fn push(&mut self, rows: Range<usize>, data: Data) -> Result<()> {
        let same = data.dtype() == self.dtype;
        match &mut self.to {
            To::Whole(device, weight) if same => *weight = Some(Tensor::from_data(data, &self.shape, device)?),
            To::Whole(device, weight) => {
                let converted = Tensor::from_data(data, &self.shape, &Device::Cpu)?.cast(self.dtype)?;
                *weight = Some(converted.to_device(device)?);
            }
            To::Gpu(gpu) if same => gpu.push(rows, &data).await?,
            To::Gpu(gpu) => {
                let run = [&[rows.len()], self.shape.get(1..).unwrap_or_default()].concat();
                let converted = Tensor::from_data(data, &run, &Device::Cpu)?.cast(self.dtype)?;
                gpu.push(rows, &converted.host("upload")?.to_data("upload")?).await?;
            }
        }
        Ok(())
    }

    /// The weight, after all runs.
    pub(crate) fn finish(self) -> Result<Tensor> {
        match self.to {
            To::Whole(_, Some(weight)) => Ok(weight),
            To::Whole(device, None) => Tensor::from_data(Data::zeros(self.dtype, 0), &self.shape, &device),
            To::Gpu(gpu) => Ok(gpu.finish()),
        }
    }
}
