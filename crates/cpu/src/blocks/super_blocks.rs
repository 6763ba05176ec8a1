//! The K formats: blocks of 256 with scales of a few bits per 16 or 32 weights, and a scale of the scales. Follows
//! `dequantize_row_q2_K` to `dequantize_row_q6_K` of ggml's `ggml-quants.c`.
//!
//! Loops over 16 or 32 weights with one scale are vectors; the loops around them are short.

use super::half;

#[inline(always)]
pub(super) fn widen_q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let scale = half(block[80], block[81]);
    let least_scale = half(block[82], block[83]);
    for part in 0..16 {
        let both = block[part];
        let scale = scale * f32::from(both & 15);
        let least = least_scale * f32::from(both >> 4);
        let shift = part % 8 / 2 * 2;
        let quants = &block[16 + part / 8 * 32 + part % 2 * 16..][..16];
        let out = &mut out[16 * part..][..16];
        for i in 0..16 {
            out[i] = scale * f32::from(quants[i] >> shift & 3) - least;
        }
    }
}

#[inline(always)]
pub(super) fn widen_q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let scale = half(block[108], block[109]);
    let scales = &block[96..108];
    for part in 0..16 {
        let low = scales[part % 8] >> (part / 8 * 4) & 15;
        let high = scales[8 + part % 4] >> (part / 4 * 2) & 3;
        let scale = scale * f32::from((low | high << 4) as i8 - 32);
        let shift = part % 8 / 2 * 2;
        let quants = &block[32 + part / 8 * 32 + part % 2 * 16..][..16];
        let third = &block[part % 2 * 16..][..16];
        let bit = part / 2;
        let out = &mut out[16 * part..][..16];
        for i in 0..16 {
            // The third bit is stored inverted: if it is not set, four is subtracted.
            let quant = (quants[i] >> shift & 3) | (third[i] >> bit & 1) << 2;
            out[i] = scale * f32::from(quant as i8 - 4);
        }
    }
}

/// Scale and minimum of the 32 weights `part`, six bits each, in the twelve bytes of `Q4_K` and `Q5_K`.
#[inline(always)]
pub(super) fn scale_and_least(scales: &[u8], part: usize) -> [u8; 2] {
    if part < 4 {
        [scales[part] & 63, scales[4 + part] & 63]
    } else {
        let both = scales[4 + part];
        [(both & 15) | (scales[part - 4] >> 6) << 4, both >> 4 | (scales[part] >> 6) << 4]
    }
}

#[inline(always)]
pub(super) fn widen_q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let scale = half(block[0], block[1]);
    let least_scale = half(block[2], block[3]);
    for pair in 0..4 {
        let [low_scale, low_least] = scale_and_least(&block[4..16], 2 * pair);
        let [high_scale, high_least] = scale_and_least(&block[4..16], 2 * pair + 1);
        let scales = [scale * f32::from(low_scale), scale * f32::from(high_scale)];
        let least = [least_scale * f32::from(low_least), least_scale * f32::from(high_least)];
        let quants = &block[16 + 32 * pair..][..32];
        let out = &mut out[64 * pair..][..64];
        for i in 0..32 {
            out[i] = scales[0] * f32::from(quants[i] & 15) - least[0];
        }
        for i in 0..32 {
            out[32 + i] = scales[1] * f32::from(quants[i] >> 4) - least[1];
        }
    }
}

#[inline(always)]
pub(super) fn widen_q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let scale = half(block[0], block[1]);
    let least_scale = half(block[2], block[3]);
    let fifth = &block[16..48];
    for pair in 0..4 {
        let [low_scale, low_least] = scale_and_least(&block[4..16], 2 * pair);
        let [high_scale, high_least] = scale_and_least(&block[4..16], 2 * pair + 1);
        let scales = [scale * f32::from(low_scale), scale * f32::from(high_scale)];
        let least = [least_scale * f32::from(low_least), least_scale * f32::from(high_least)];
        let quants = &block[48 + 32 * pair..][..32];
        let out = &mut out[64 * pair..][..64];
        let bit = 2 * pair;
        for i in 0..32 {
            out[i] = scales[0] * f32::from((quants[i] & 15) | (fifth[i] >> bit & 1) << 4) - least[0];
        }
        for i in 0..32 {
            out[32 + i] = scales[1] * f32::from(quants[i] >> 4 | (fifth[i] >> (bit + 1) & 1) << 4) - least[1];
        }
    }
}

#[inline(always)]
pub(super) fn widen_q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let scale = half(block[208], block[209]);
    for part in 0..16 {
        let scale = scale * f32::from(block[192 + part] as i8);
        // The first 64 of 128 weights are the low halves of 64 bytes, the others the high halves.
        let place = part % 8;
        let half_shift = place / 4 * 4;
        let quants = &block[part / 8 * 64 + place % 4 * 16..][..16];
        let high_shift = place / 2 * 2;
        let high = &block[128 + part / 8 * 32 + place % 2 * 16..][..16];
        let out = &mut out[16 * part..][..16];
        for i in 0..16 {
            let quant = (quants[i] >> half_shift & 15) | (high[i] >> high_shift & 3) << 4;
            out[i] = scale * f32::from(quant as i8 - 32);
        }
    }
}
