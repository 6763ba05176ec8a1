//! `Replay`: a function of tensors that runs again and again on the same shapes, recorded once where the device can.

use super::{Storage, Tensor, gpu};
use crate::Result;
use easel_cpu::parallel::Movable;

/// Remembers what a function did at its first call. On a GPU the following calls replay its kernels with new inputs: no
/// memory is taken, no shape looked at. Elsewhere every call is the function's own.
///
/// The function must depend on nothing that changes but its inputs; what else it uses keeps the value it had.
#[derive(Default)]
pub struct Replay {
    recorded: Option<gpu::Recorded>,
}

impl Replay {
    /// `function(inputs)`. A call with inputs of other shapes, types or devices than the last records anew.
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
