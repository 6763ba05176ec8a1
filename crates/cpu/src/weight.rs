//! A weight matrix as it lies in memory, in any of the float types that checkpoints use.

use crate::parallel::for_each_chunk;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// A borrowed row-major weight matrix `[out, in]`. 16-bit types are widened block by block inside the kernels.
#[derive(Clone, Copy, Debug)]
pub enum Weight<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// bfloat16.
    Bf16(&'a [bf16]),
}

impl<'a> Weight<'a> {
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

    /// The elements `start..start + len` as `f32`: borrowed if they are, else widened into `scratch`.
    pub(crate) fn widen<'s>(&self, start: usize, len: usize, scratch: &'s mut Vec<f32>) -> &'s [f32]
    where
        'a: 's,
    {
        const CHUNK: usize = 64 * 1024;
        if let Self::F32(w) = self {
            return &w[start..start + len];
        }
        scratch.resize(len, 0.0);
        let weight = *self;
        for_each_chunk(scratch, CHUNK, |i, out| {
            let at = start + i * CHUNK;
            match weight {
                Self::F16(w) => w[at..at + out.len()].convert_to_f32_slice(out),
                Self::Bf16(w) => w[at..at + out.len()].convert_to_f32_slice(out),
                Self::F32(w) => out.copy_from_slice(&w[at..at + out.len()]),
            }
        });
        scratch
    }

    /// How many rows of width `k` fit a block: all of them when nothing has to be widened.
    pub(crate) fn rows_per_block(&self, rows: usize, k: usize) -> usize {
        /// 16 MiB of widened weights at a time.
        const BLOCK: usize = 4 << 20;
        match self {
            Self::F32(_) => rows,
            _ => (BLOCK / k.max(1)).clamp(1, rows),
        }
    }
}
