//! Blocks whose four-bit quants are indices into a table of values: `dequantize_row_iq4_nl` and `dequantize_row_iq4_xs`
//! of ggml's `ggml-quants.c`.

use super::half;

/// The values, denser where most weights are: `kvalues_iq4nl`.
pub(crate) const VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Widens sixteen bytes, each with weights `i` and `16 + i`.
#[inline(always)]
fn widen_32(scale: f32, quants: &[u8], out: &mut [f32]) {
    assert!(quants.len() == 16 && out.len() == 32);
    for i in 0..16 {
        out[i] = scale * f32::from(VALUES[usize::from(quants[i] & 15)]);
        out[16 + i] = scale * f32::from(VALUES[usize::from(quants[i] >> 4)]);
    }
}

#[inline(always)]
pub(super) fn widen_iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    widen_32(half(block[0], block[1]), &block[2..], out);
}

#[inline(always)]
pub(super) fn widen_iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let scale = half(block[0], block[1]);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for part in 0..8 {
        let low = block[4 + part / 2] >> (4 * (part % 2)) & 15;
        let high = (high >> (2 * part) & 3) as u8;
        let scale = scale * f32::from((low | high << 4) as i8 - 32);
        widen_32(scale, &block[8 + 16 * part..][..16], &mut out[32 * part..][..32]);
    }
}
