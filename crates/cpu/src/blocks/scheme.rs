//! Splits blocks into integers, for products that need no floats inside a block: weight = scale * (quant - offset) +
//! least, with one scale, and in some formats one minimum, per 16 or 32 weights.
//!
//! [`Scheme`] describes a format, [`scale_codes`](Scheme) reads its scales, and [`quants`] reads the quants of 32
//! weights. The layouts are those that `legacy`, `super_blocks` and `iq4` widen.

use super::BlockFormat;
use super::super_blocks::scale_and_least;
use crate::simd::copy;

/// The encoding of a block's scales, besides the half-precision scales of every block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codes {
    /// The first half is the scale, and a second one the minimum.
    None,
    /// Four bits each for scale and minimum, in one byte.
    Nibbles,
    /// Six bits each for scale and minimum.
    Six,
    /// A signed byte for the scale.
    Signed,
}

/// The integers of a format.
pub(crate) struct Scheme {
    /// Weights that share a scale.
    pub(crate) shared: usize,
    /// Bits of a quant: 2 to 6 without a sign, or 8 with one.
    pub(crate) bits: usize,
    /// The offset, which is subtracted from a quant.
    pub(crate) offset: i32,
    /// Whether quants are indices into a table of signed 8-bit values.
    pub(crate) table: bool,
    /// Whether a minimum is added.
    pub(crate) least: bool,
    pub(crate) codes: Codes,
    /// The offsets of the half-precision scale and, if there is one, minimum.
    pub(crate) halves: &'static [usize],
}

impl BlockFormat {
    /// Its weights as integers.
    #[inline(always)]
    pub(crate) const fn scheme(self) -> Scheme {
        let row = self.row();
        let (shared, bits, offset, codes) = match self {
            Self::Q4_0 => (32, 4, 8, Codes::None),
            Self::Q4_1 => (32, 4, 0, Codes::None),
            Self::Q5_0 => (32, 5, 16, Codes::None),
            Self::Q5_1 => (32, 5, 0, Codes::None),
            Self::Q8_0 => (32, 8, 0, Codes::None),
            Self::Q2K => (16, 2, 0, Codes::Nibbles),
            Self::Q3K => (16, 3, 4, Codes::Signed),
            Self::Q4K => (32, 4, 0, Codes::Six),
            Self::Q5K => (32, 5, 0, Codes::Six),
            Self::Q6K => (16, 6, 32, Codes::Signed),
            Self::Iq4Nl => (32, 4, 0, Codes::None),
            Self::Iq4Xs => (32, 4, 0, Codes::Signed),
        };
        let table = matches!(self, Self::Iq4Nl | Self::Iq4Xs);
        Scheme { shared, bits, offset, table, least: row.halves.len() == 2, codes, halves: row.halves }
    }
}

/// The codes of the scale and, if the format has one, of the minimum of group `group` of a block.
#[inline(always)]
pub(crate) fn codes(format: BlockFormat, block: &[u8], group: usize) -> [u8; 2] {
    match format {
        BlockFormat::Q2K => [block[group], 0],
        BlockFormat::Q3K => {
            let scales = &block[96..108];
            let low = scales[group % 8] >> (group / 8 * 4) & 15;
            let high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
            [(low | high << 4).wrapping_sub(32), 0]
        }
        BlockFormat::Q4K | BlockFormat::Q5K => scale_and_least(&block[4..16], group),
        BlockFormat::Q6K => [block[192 + group], 0],
        BlockFormat::Iq4Xs => {
            let low = block[4 + group / 2] >> (4 * (group % 2)) & 15;
            let high = (u16::from_le_bytes([block[2], block[3]]) >> (2 * group) & 3) as u8;
            [(low | high << 4).wrapping_sub(32), 0]
        }
        _ => [1, 1],
    }
}

/// The quants of the weights `32 * part ..` of a block.
#[inline(always)]
pub(crate) fn quants(format: BlockFormat, block: &[u8], part: usize) -> [u8; 32] {
    let mut out = [0; 32];
    match format {
        BlockFormat::Q4_0 | BlockFormat::Iq4Nl => nibbles(&block[2..18], &mut out),
        BlockFormat::Q4_1 => nibbles(&block[4..20], &mut out),
        BlockFormat::Iq4Xs => nibbles(&block[8 + 16 * part..][..16], &mut out),
        BlockFormat::Q5_0 => {
            nibbles(&block[6..22], &mut out);
            fifth_bits([block[2], block[3], block[4], block[5]], &mut out);
        }
        BlockFormat::Q5_1 => {
            nibbles(&block[8..24], &mut out);
            fifth_bits([block[4], block[5], block[6], block[7]], &mut out);
        }
        BlockFormat::Q8_0 => copy(&block[2..34], &mut out),
        BlockFormat::Q2K => bits(&block[16 + part / 4 * 32..][..32], part % 4 * 2, 3, &mut out),
        BlockFormat::Q3K => {
            bits(&block[32 + part / 4 * 32..][..32], part % 4 * 2, 3, &mut out);
            add_bits(&block[..32], part, 1, 2, &mut out);
        }
        BlockFormat::Q4K => bits(&block[16 + part / 2 * 32..][..32], part % 2 * 4, 15, &mut out),
        BlockFormat::Q5K => {
            bits(&block[48 + part / 2 * 32..][..32], part % 2 * 4, 15, &mut out);
            add_bits(&block[16..48], part, 1, 4, &mut out);
        }
        BlockFormat::Q6K => {
            let half = part / 4;
            let place = part % 4;
            bits(&block[64 * half + place % 2 * 32..][..32], place / 2 * 4, 15, &mut out);
            add_bits(&block[128 + 32 * half..][..32], 2 * place, 3, 4, &mut out);
        }
    }
    out
}

/// Reads sixteen bytes, each with weights `i` and `16 + i`.
#[inline(always)]
fn nibbles(bytes: &[u8], out: &mut [u8; 32]) {
    assert!(bytes.len() == 16);
    for i in 0..16 {
        out[i] = bytes[i] & 15;
        out[16 + i] = bytes[i] >> 4;
    }
}

/// Adds the fifth bits: bit `i` of a word belongs to weight `i`.
#[inline(always)]
fn fifth_bits(word: [u8; 4], out: &mut [u8; 32]) {
    let word = u32::from_le_bytes(word);
    for i in 0..32 {
        out[i] |= ((word >> i & 1) as u8) << 4;
    }
}

/// The bits `mask` at `shift` of each byte.
#[inline(always)]
fn bits(bytes: &[u8], shift: usize, mask: u8, out: &mut [u8; 32]) {
    assert!(bytes.len() == 32);
    for i in 0..32 {
        out[i] = bytes[i] >> shift & mask;
    }
}

/// Adds the bits `mask` at `shift` of each byte, above the `above` bits read before.
#[inline(always)]
fn add_bits(bytes: &[u8], shift: usize, mask: u8, above: usize, out: &mut [u8; 32]) {
    assert!(bytes.len() == 32);
    for i in 0..32 {
        out[i] |= (bytes[i] >> shift & mask) << above;
    }
}
