//! Quantised matrices as in GGUF files: rows of blocks with a few bits per weight and scales per block.
//!
//! The layouts are those of ggml (<https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>), the arithmetic
//! that of its `ggml-quants.c`: `legacy` has the blocks of 32, `super_blocks` the K formats' blocks of 256, and `iq4`
//! those whose quants are indices into a table of values.
//!
//! A format is a row of the table below, a function that widens one block, and its `scheme`, which splits a block into
//! integers. A matrix stays quantised in memory: an exact product widens it slice by slice (`gemm::quantised`), and a
//! product in integers reads quants and scales directly (`integers`).

mod iq4;
mod legacy;
mod quantise;
mod quantise_k;
mod scheme;
mod super_blocks;

pub(crate) use iq4::VALUES;
pub(crate) use scheme::{Codes, Scheme, codes, quants};

use crate::Level;
use crate::simd::{Kernel, Simd};

/// Turns whole blocks of floats into whole blocks of bytes.
type Quantise = fn(&[f32], &mut [u8]);

/// The properties of a format.
struct Row {
    name: &'static str,
    id: u32,
    length: usize,
    bytes: usize,
    /// The offsets of the half-precision scales.
    halves: &'static [usize],
    quantise: Option<Quantise>,
}

/// Declares the formats: name and number in GGUF, elements and bytes of a block, the offsets of its half-precision
/// scales, the function that widens one block, and the one that encodes blocks, if any.
macro_rules! formats {
    ($($(#[$doc:meta])* $format:ident: $name:literal, $id:literal, $length:literal in $bytes:literal, $halves:expr, $widen:path, $quantise:expr;)*) => {
        /// A format of quantised blocks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum BlockFormat {
            $($(#[$doc])* $format,)*
        }

        impl BlockFormat {
            /// All formats.
            pub const ALL: &[Self] = &[$(Self::$format),*];

            #[inline(always)]
            const fn row(self) -> Row {
                match self {
                    $(Self::$format => {
                        Row { name: $name, id: $id, length: $length, bytes: $bytes, halves: &$halves, quantise: $quantise }
                    })*
                }
            }
        }

        impl Kernel for WidenBlocks<'_> {
            type Output = ();

            #[inline(always)]
            fn run<S: Simd>(self, _: S) {
                match self.format {
                    $(BlockFormat::$format => {
                        let blocks = self.bytes.as_chunks::<$bytes>().0;
                        let wide = self.out.as_chunks_mut::<$length>().0;
                        assert!(blocks.len() == wide.len());
                        for i in 0..wide.len() {
                            $widen(&blocks[i], &mut wide[i]);
                        }
                    })*
                }
            }
        }
    };
}

formats! {
    /// 4.5 bits: a scale.
    Q4_0: "Q4_0", 2, 32 in 18, [0], legacy::widen_q4_0, Some(quantise::q4_0);
    /// 5 bits: a scale and a minimum.
    Q4_1: "Q4_1", 3, 32 in 20, [0, 2], legacy::widen_q4_1, Some(quantise::q4_1);
    /// 5.5 bits: a scale.
    Q5_0: "Q5_0", 6, 32 in 22, [0], legacy::widen_q5_0, Some(quantise::q5_0);
    /// 6 bits: a scale and a minimum.
    Q5_1: "Q5_1", 7, 32 in 24, [0, 2], legacy::widen_q5_1, Some(quantise::q5_1);
    /// 8.5 bits: a scale.
    Q8_0: "Q8_0", 8, 32 in 34, [0], legacy::widen_q8_0, Some(quantise::q8_0);
    /// 2.6 bits: 4-bit scales and minimums for groups of 16.
    Q2K: "Q2_K", 10, 256 in 84, [80, 82], super_blocks::widen_q2_k, None;
    /// 3.4 bits: 6-bit scales for groups of 16.
    Q3K: "Q3_K", 11, 256 in 110, [108], super_blocks::widen_q3_k, None;
    /// 4.5 bits: 6-bit scales and minimums for groups of 32.
    Q4K: "Q4_K", 12, 256 in 144, [0, 2], super_blocks::widen_q4_k, Some(quantise_k::q4_k);
    /// 5.5 bits: 6-bit scales and minimums for groups of 32.
    Q5K: "Q5_K", 13, 256 in 176, [0, 2], super_blocks::widen_q5_k, Some(quantise_k::q5_k);
    /// 6.6 bits: 8-bit scales for groups of 16.
    Q6K: "Q6_K", 14, 256 in 210, [208], super_blocks::widen_q6_k, Some(quantise_k::q6_k);
    /// 4.5 bits: indices into a table of values, and a scale.
    Iq4Nl: "IQ4_NL", 20, 32 in 18, [0], iq4::widen_iq4_nl, None;
    /// 4.3 bits: indices into a table of values, and 6-bit scales for groups of 32.
    Iq4Xs: "IQ4_XS", 23, 256 in 136, [0], iq4::widen_iq4_xs, None;
}

impl BlockFormat {
    /// Its name in GGUF.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Its number in GGUF files.
    pub const fn id(self) -> u32 {
        self.row().id
    }

    /// Elements of one block.
    #[inline(always)]
    pub const fn length(self) -> usize {
        self.row().length
    }

    /// Bytes of one block.
    #[inline(always)]
    pub const fn bytes(self) -> usize {
        self.row().bytes
    }

    /// The offsets in a block of its half-precision numbers: its scale, and the scale of its minimums if it has any.
    pub const fn halves(self) -> &'static [usize] {
        self.row().halves
    }

    /// The format with this number in GGUF files.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.id() == id)
    }

    /// The format with this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The format for rows of this width if this one is requested: itself if the rows are whole blocks; otherwise, for
    /// K formats, one with blocks of 32 and about one more bit, as in llama.cpp (`llama_tensor_get_type`).
    pub fn for_rows(self, width: usize) -> Option<Self> {
        let instead = match self {
            Self::Q4K => Self::Q5_0,
            Self::Q5K => Self::Q5_1,
            Self::Q6K => Self::Q8_0,
            other => other,
        };
        [self, instead].into_iter().find(|format| width.is_multiple_of(format.length()))
    }

    /// Widens whole blocks into `out`, which has the same number of elements.
    pub fn widen(self, bytes: &[u8], out: &mut [f32]) {
        let blocks = bytes.len() / self.bytes();
        assert_eq!((blocks * self.bytes(), blocks * self.length()), (bytes.len(), out.len()));
        Level::current().run(WidenBlocks { format: self, bytes, out });
    }

    /// Whether all numbers in whole blocks are finite.
    pub fn is_finite(self, bytes: &[u8]) -> bool {
        let row = self.row();
        let finite = |block: &[u8]| row.halves.iter().all(|at| block[at + 1] & 0x7c != 0x7c);
        bytes.chunks_exact(row.bytes).all(finite)
    }

    /// Whether there is an encoder for this format.
    pub const fn quantises(self) -> bool {
        self.row().quantise.is_some()
    }

    /// Quantises numbers into whole blocks; `None` if there is no encoder.
    pub fn quantise(self, x: &[f32]) -> Option<Vec<u8>> {
        let quantise = self.row().quantise?;
        assert!(x.len().is_multiple_of(self.length()));
        let mut bytes = vec![0; x.len() / self.length() * self.bytes()];
        quantise(x, &mut bytes);
        Some(bytes)
    }
}

/// Widens whole blocks into floats.
pub(crate) struct WidenBlocks<'a> {
    pub(crate) format: BlockFormat,
    pub(crate) bytes: &'a [u8],
    pub(crate) out: &'a mut [f32],
}

/// A half-precision float from its two bytes. The result is that of `f16::to_f32`, without its detection of processor
/// features.
#[inline(always)]
fn half(low: u8, high: u8) -> f32 {
    const EXPONENT: u32 = 0x1f << 23;
    let bits = u32::from(u16::from_le_bytes([low, high]));
    let shifted = (bits & 0x7fff) << 13;
    let exponent = shifted & EXPONENT;
    let normal = f32::from_bits(shifted + (112 << 23));
    let subnormal = f32::from_bits(shifted + (113 << 23)) - f32::from_bits(113 << 23);
    let special = f32::from_bits(shifted | (0xff << 23));
    let magnitude = if exponent == 0 {
        subnormal
    } else if exponent == EXPONENT {
        special
    } else {
        normal
    };
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_numbers_that_they_stand_for() {
        for bits in 0..=u16::MAX {
            let [low, high] = bits.to_le_bytes();
            let expected = half::f16::from_bits(bits).to_f32();
            let got = super::half(low, high);
            assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(), "{bits:#x}");
        }
    }

    #[test]
    fn names_and_numbers_are_one_to_one() {
        for format in BlockFormat::ALL.iter().copied() {
            assert_eq!(BlockFormat::from_id(format.id()), Some(format));
            assert_eq!(BlockFormat::from_name(&format.name().to_lowercase()), Some(format));
        }
        assert_eq!((BlockFormat::from_id(9), BlockFormat::from_name("Q4_2")), (None, None));
    }

    #[test]
    fn rows_that_do_not_fill_blocks_get_others() {
        let rows = |width| BlockFormat::Q4K.for_rows(width);
        assert_eq!((rows(512), rows(320), rows(40)), (Some(BlockFormat::Q4K), Some(BlockFormat::Q5_0), None));
    }
}
