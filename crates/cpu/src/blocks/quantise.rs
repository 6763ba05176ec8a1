//! Quantises numbers to blocks of 32, as `quantize_row_q4_0_ref` to `quantize_row_q8_0_ref` of ggml's `ggml-quants.c`.
//! This is done once, when a file is written or a model is loaded in another type.

use half::f16;

/// Pairs blocks of 32 numbers with their output bytes.
fn blocks<const BYTES: usize>(x: &[f32], out: &mut [u8], quantise: impl Fn(&[f32; 32], &mut [u8; BYTES])) {
    let out = out.as_chunks_mut::<BYTES>().0;
    x.as_chunks::<32>().0.iter().zip(out).for_each(|(x, out)| quantise(x, out));
}

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// The number with the largest magnitude, with its sign.
fn largest(x: &[f32; 32]) -> f32 {
    x.iter().fold(0.0_f32, |largest, x| if x.abs() > largest.abs() { *x } else { largest })
}

/// The minimum, and the distance between minimum and maximum.
fn least_and_span(x: &[f32; 32]) -> [f32; 2] {
    let least = x.iter().copied().fold(f32::INFINITY, f32::min);
    let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    [least, most - least]
}

/// `x` in steps, rounded, at most `top`.
fn steps(x: f32, inverse: f32, offset: f32, top: u8) -> u8 {
    ((x * inverse + offset) as u8).min(top)
}

/// Two quants of four bits share a byte.
fn pairs(quants: &[u8; 32], out: &mut [u8]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = (quants[i] & 15) | quants[16 + i] << 4;
    }
}

/// The fifth bits of all quants.
fn fifth_bits(quants: &[u8; 32]) -> [u8; 4] {
    let bits = quants.iter().enumerate().fold(0_u32, |bits, (i, quant)| bits | u32::from(quant >> 4 & 1) << i);
    bits.to_le_bytes()
}

pub(super) fn q4_0(x: &[f32], out: &mut [u8]) {
    blocks::<18>(x, out, |x, out| {
        let scale = largest(x) / -8.0;
        let inverse = inverse(scale);
        out[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
        pairs(&x.map(|x| steps(x, inverse, 8.5, 15)), &mut out[2..]);
    });
}

pub(super) fn q4_1(x: &[f32], out: &mut [u8]) {
    blocks::<20>(x, out, |x, out| {
        let [least, span] = least_and_span(x);
        let scale = span / 15.0;
        let inverse = inverse(scale);
        out[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
        out[2..4].copy_from_slice(&f16::from_f32(least).to_le_bytes());
        pairs(&x.map(|x| steps(x - least, inverse, 0.5, 15)), &mut out[4..]);
    });
}

pub(super) fn q5_0(x: &[f32], out: &mut [u8]) {
    blocks::<22>(x, out, |x, out| {
        let scale = largest(x) / -16.0;
        let inverse = inverse(scale);
        let quants = x.map(|x| steps(x, inverse, 16.5, 31));
        out[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
        out[2..6].copy_from_slice(&fifth_bits(&quants));
        pairs(&quants, &mut out[6..]);
    });
}

pub(super) fn q5_1(x: &[f32], out: &mut [u8]) {
    blocks::<24>(x, out, |x, out| {
        let [least, span] = least_and_span(x);
        let scale = span / 31.0;
        let inverse = inverse(scale);
        let quants = x.map(|x| steps(x - least, inverse, 0.5, 31));
        out[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
        out[2..4].copy_from_slice(&f16::from_f32(least).to_le_bytes());
        out[4..8].copy_from_slice(&fifth_bits(&quants));
        pairs(&quants, &mut out[8..]);
    });
}

pub(super) fn q8_0(x: &[f32], out: &mut [u8]) {
    blocks::<34>(x, out, |x, out| {
        let largest = largest(x).abs();
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        out[..2].copy_from_slice(&f16::from_f32(largest / 127.0).to_le_bytes());
        for (out, x) in out[2..].iter_mut().zip(x) {
            *out = (x * inverse).round() as i8 as u8;
        }
    });
}
