//! Weight matrices: as stored in checkpoints, in any of their types, or packed for the kernels.

pub use crate::gemm::PackedWeight;
use crate::gemm::Panels;
use crate::{BlockFormat, Level};
use half::{bf16, f16};

/// A borrowed row-major weight matrix `[out, in]`. Smaller types are widened in pieces inside the kernels.
#[derive(Clone, Copy, Debug)]
pub enum Weight<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// bfloat16.
    Bf16(&'a [bf16]),
    /// Quantised blocks along each row, which consists of whole blocks.
    Blocks {
        /// Their format.
        format: BlockFormat,
        /// Whole blocks.
        bytes: &'a [u8],
    },
}

impl Weight<'_> {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(w) => w.len(),
            Self::F16(w) => w.len(),
            Self::Bf16(w) => w.len(),
            Self::Blocks { format, bytes } => bytes.len() / format.bytes() * format.length(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The right-hand side of a product: a matrix `[out, in]` that is packed during the product, or was packed before.
#[derive(Clone, Copy)]
pub enum Matrix<'a> {
    /// Row-major, of any type.
    Rows(Weight<'a>),
    /// Packed. The kernel then uses the level for which it was packed.
    Packed(&'a PackedWeight),
}

impl<'a> From<Weight<'a>> for Matrix<'a> {
    fn from(weight: Weight<'a>) -> Self {
        Self::Rows(weight)
    }
}

impl<'a> From<&'a PackedWeight> for Matrix<'a> {
    fn from(weight: &'a PackedWeight) -> Self {
        Self::Packed(weight)
    }
}

impl<'a> Matrix<'a> {
    /// Asserts that this is a matrix `[n, k]`. Returns the level of the product and the operand.
    pub(crate) fn open(self, n: usize, k: usize) -> (Level, Operand<'a>) {
        match self {
            Self::Rows(weight) => {
                assert_eq!(weight.len(), n * k);
                (Level::current(), Operand::Floats(Panels::Rows(weight)))
            }
            Self::Packed(packed) => {
                assert_eq!((packed.n, packed.k), (n, k));
                (packed.level, packed.operand())
            }
        }
    }
}

/// The right-hand side in the form for the kernels.
pub(crate) enum Operand<'a> {
    /// Multiplied with floats.
    Floats(Panels<'a>),
    /// Pairs of bfloat16 along `k`, each as one float: `k` is half as long.
    Pairs(Panels<'a>),
    /// Quantised, multiplied in integers.
    Integers(&'a crate::integers::Panels),
}
