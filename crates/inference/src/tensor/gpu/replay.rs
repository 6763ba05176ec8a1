//! The recorded work of a function of tensors: a plan of the runtime, with buffers for its inputs.

use super::Gpu;
use crate::tensor::{Storage, Tensor};
use crate::{Error, Result};
use easel_webgpu::{Array, Plan};

/// A plan, with the buffers of its inputs and its result.
pub(in crate::tensor) struct Recorded {
    plan: Plan,
    inputs: Vec<Gpu>,
    output: Gpu,
}

impl Recorded {
    /// Runs `function` on copies of the inputs and records it.
    pub(in crate::tensor) fn new(inputs: &[Gpu], function: impl FnOnce(&[Tensor]) -> Result<Tensor>) -> Result<Self> {
        let Some(first) = inputs.first() else {
            return Err(Error::Backend { op: "replay", reason: "expected at least one input".into() });
        };
        let inputs = inputs.iter().map(Gpu::copy).collect::<Result<Vec<_>>>()?;
        let tensors: Vec<_> = inputs.iter().map(|gpu| Tensor { storage: Storage::Gpu(gpu.clone()) }).collect();
        let (plan, output) = first.context.capture(|| function(&tensors))?;
        let output = output.gpu("replay")?.clone();
        Ok(Self { plan, inputs, output })
    }

    /// Whether the inputs have the shapes and types of the recording, and the device has not been reopened.
    pub(in crate::tensor) fn fits(&self, inputs: &[Gpu]) -> bool {
        let like = |(a, b): (&Gpu, &Gpu)| a.shape == b.shape && a.dtype() == b.dtype() && a.context.is(&b.context);
        self.inputs.len() == inputs.len() && self.inputs.iter().zip(inputs).all(like)
    }

    /// Replays the recording with other inputs.
    pub(in crate::tensor) fn replay(&self, inputs: &[Gpu]) -> Result<Tensor> {
        for (to, from) in self.inputs.iter().zip(inputs) {
            to.copy_from(from)?;
        }
        self.plan.replay()?;
        self.output()
    }

    /// A copy of the result: the next replay overwrites the original.
    pub(in crate::tensor) fn output(&self) -> Result<Tensor> {
        Ok(Tensor { storage: Storage::Gpu(self.output.copy()?) })
    }
}

impl Gpu {
    fn copy(&self) -> Result<Self> {
        let array = self.array("replay")?;
        let copy = Self::new(&self.device, &self.context, Array::alloc(&self.context, &self.shape, array.format())?);
        copy.copy_from(self)?;
        Ok(copy)
    }

    fn copy_from(&self, other: &Self) -> Result<()> {
        let to = self.array("replay")?;
        let from = other.array("replay")?;
        let bytes = to.elements() as u64 * to.format().size();
        Ok(self.context.copy(from.buffer(), 0, to.buffer(), 0, bytes)?)
    }
}
