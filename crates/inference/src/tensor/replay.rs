//! `Replay`: a function of tensors that runs repeatedly with the same shapes. It is recorded once if the device can do
//! that.

use super::{Storage, Tensor, gpu};
use crate::Result;
use easel_cpu::parallel::Movable;

/// Records the first call of a function. On a GPU later calls replay its kernels with new inputs, without allocations
/// or checks of shapes. On other devices every call runs the function.
///
/// The function must only depend on its inputs: all other values are those of the recording.
#[derive(Default)]
pub struct Replay {
    recorded: Option<gpu::Recorded>,
}

impl Replay {
    /// `function(inputs)`. If the inputs have other shapes, types or devices than before, it is recorded again.
    pub fn run(
        &mut self,
        inputs: &[&Tensor],
        function: impl FnOnce(&[Tensor]) -> Result<Tensor> + Movable,
    ) -> Result<Tensor> {
        let on_gpu = |tensor: &&Tensor| match &tensor.storage {
            Storage::Gpu(gpu) => Some(gpu.clone()),
            _ => None,
        };
        let Some(arrays) = inputs.iter().map(on_gpu).collect::<Option<Vec<_>>>() else {
            let inputs: Vec<Tensor> = inputs.iter().map(|tensor| (*tensor).clone()).collect();
            let Some(first) = inputs.first() else { return function(&inputs) };
            return first.device().enter(|| function(&inputs));
        };
        match self.recorded.take().filter(|recorded| recorded.fits(&arrays)) {
            Some(recorded) => self.recorded.insert(recorded).replay(&arrays),
            None => self.recorded.insert(gpu::Recorded::new(&arrays, function)?).output(),
        }
    }
}
