//! Blocks of 32 with one scale, and in some formats a minimum: `dequantize_row_q4_0` to `dequantize_row_q8_0` of ggml's
//! `ggml-quants.c`.
//!
//! Four bits of weight `i` and of weight `16 + i` share byte `i`; a fifth bit is bit `i` of a separate word.

use super::half;

#[inline(always)]
pub(super) fn widen_q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half(block[0], block[1]);
    for i in 0..16 {
        let pair = block[2 + i];
        out[i] = scale * f32::from((pair & 15) as i8 - 8);
        out[16 + i] = scale * f32::from((pair >> 4) as i8 - 8);
    }
}

#[inline(always)]
pub(super) fn widen_q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let scale = half(block[0], block[1]);
    let least = half(block[2], block[3]);
    for i in 0..16 {
        let pair = block[4 + i];
        out[i] = scale * f32::from(pair & 15) + least;
        out[16 + i] = scale * f32::from(pair >> 4) + least;
    }
}

#[inline(always)]
pub(super) fn widen_q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let scale = half(block[0], block[1]);
    let fifth = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    for i in 0..16 {
        let pair = u32::from(block[6 + i]);
        let low = (pair & 15) | (fifth >> i << 4 & 16);
        let high = pair >> 4 | (fifth >> (i + 12) & 16);
        out[i] = scale * (low as i32 - 16) as f32;
        out[16 + i] = scale * (high as i32 - 16) as f32;
    }
}

#[inline(always)]
pub(super) fn widen_q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let scale = half(block[0], block[1]);
    let least = half(block[2], block[3]);
    let fifth = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    for i in 0..16 {
        let pair = u32::from(block[8 + i]);
        let low = (pair & 15) | (fifth >> i << 4 & 16);
        let high = pair >> 4 | (fifth >> (i + 12) & 16);
        out[i] = scale * (low as i32) as f32 + least;
        out[16 + i] = scale * (high as i32) as f32 + least;
    }
}

#[inline(always)]
pub(super) fn widen_q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half(block[0], block[1]);
    for i in 0..32 {
        out[i] = f32::from(block[2 + i] as i8) * scale;
    }
}
