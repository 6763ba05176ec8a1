//! A weight matrix as it lies in memory, in any of the float types that checkpoints use.

use half::{bf16, f16};

/// A borrowed row-major weight matrix `[out, in]`. 16-bit types are widened piece by piece inside the kernels.
#[derive(Clone, Copy, Debug)]
pub enum Weight<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// bfloat16.
    Bf16(&'a [bf16]),
}

impl Weight<'_> {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(w) => w.len(),
            Self::F16(w) => w.len(),
            Self::Bf16(w) => w.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
