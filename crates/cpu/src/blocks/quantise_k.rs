//! Quantises numbers to the K formats' blocks of 256, as `quantize_row_q4_K_ref` to `quantize_row_q6_K_ref` of ggml's
//! `ggml-quants.c`: several candidates are tried for each scale, and the one with the smallest weighted error is used.

use half::f16;

/// Weights of a super-block.
const LENGTH: usize = 256;

/// Below this a group of weights is zero.
const NOTHING: f32 = 1e-15;

/// A group of weights as `scale * quant - least`.
struct Affine {
    scale: f32,
    least: f32,
}

/// The parameters of the search for a group's scale.
struct Search {
    /// The largest quant.
    top: f32,
    /// The first candidate for the number of steps, relative to the largest quant. Each further candidate adds a tenth.
    first: f32,
    tries: u8,
}

/// The scale and minimum (never above zero) with the smallest error, weighted by `weights`: `make_qkx2_quants`.
fn affine(x: &[f32], weights: &[f32], search: &Search) -> Affine {
    let least = x.iter().copied().fold(0.0, f32::min);
    let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if most <= least {
        return Affine { scale: 0.0, least: -least };
    }
    let error = |inverse: f32, scale: f32, offset: f32| -> f32 {
        let term = |(x, w): (&f32, &f32)| {
            let quant = (inverse * (x - least)).round_ties_even().clamp(0.0, search.top);
            w * (scale * quant + offset - x).powi(2)
        };
        x.iter().zip(weights).map(term).sum()
    };
    let plain = search.top / (most - least);
    let mut best = Affine { scale: 1.0 / plain, least: -least };
    let mut best_error = error(plain, best.scale, least);
    let sum_w: f32 = weights.iter().sum();
    let sum_x: f32 = x.iter().zip(weights).map(|(x, w)| x * w).sum();
    for step in 0..=search.tries {
        let inverse = (search.first + 0.1 * f32::from(step) + search.top) / (most - least);
        let [mut sum_l, mut sum_l2, mut sum_xl] = [0.0_f32; 3];
        for (x, w) in x.iter().zip(weights) {
            let quant = (inverse * (x - least)).round_ties_even().clamp(0.0, search.top);
            sum_l += w * quant;
            sum_l2 += w * quant * quant;
            sum_xl += w * quant * x;
        }
        let determinant = sum_w * sum_l2 - sum_l * sum_l;
        if determinant <= 0.0 {
            continue;
        }
        let mut scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
        let mut offset = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
        if offset > 0.0 {
            offset = 0.0;
            scale = sum_xl / sum_l2;
        }
        let this_error = error(inverse, scale, offset);
        if this_error < best_error {
            best_error = this_error;
            best = Affine { scale, least: -offset };
        }
    }
    best
}

/// A super-block of `Q4_K` or `Q5_K` before its bits are packed.
struct Affines {
    /// The scale of the scales, and that of the minimums.
    head: [u8; 4],
    scales: [u8; 12],
    quants: [u8; LENGTH],
}

fn affines(x: &[f32; LENGTH], search: &Search) -> Affines {
    let groups = x.as_chunks::<32>().0;
    let fitted: Vec<Affine> = groups
        .iter()
        .map(|x| {
            let average = (x.iter().map(|x| x * x).sum::<f32>() / 32.0).sqrt();
            affine(x, &x.map(|x| average + x.abs()), search)
        })
        .collect();
    let most = |value: fn(&Affine) -> f32| fitted.iter().map(value).fold(0.0, f32::max);
    let most_scale = most(|group| group.scale);
    let most_least = most(|group| group.least);
    let six_bits =
        |x: f32, most: f32| if most > 0.0 { (63.0 / most * x).round_ties_even().clamp(0.0, 63.0) } else { 0.0 };
    let scale = f16::from_f32(most_scale / 63.0);
    let least_scale = f16::from_f32(most_least / 63.0);
    let mut made = Affines { head: [0; 4], scales: [0; 12], quants: [0; LENGTH] };
    made.head[..2].copy_from_slice(&scale.to_le_bytes());
    made.head[2..].copy_from_slice(&least_scale.to_le_bytes());
    let quants = made.quants.as_chunks_mut::<32>().0;
    for (part, (group, quants)) in fitted.iter().zip(quants).enumerate() {
        let group_scale = six_bits(group.scale, most_scale);
        let group_least = six_bits(group.least, most_least);
        pack_six(&mut made.scales, part, [group_scale as u8, group_least as u8]);
        let scale = scale.to_f32() * group_scale;
        let least = least_scale.to_f32() * group_least;
        if scale == 0.0 {
            continue;
        }
        for (quant, x) in quants.iter_mut().zip(&groups[part]) {
            *quant = ((x + least) / scale).round_ties_even().clamp(0.0, search.top) as u8;
        }
    }
    made
}

/// Stores the six bits of scale and minimum of group `part` in the twelve bytes.
fn pack_six(scales: &mut [u8; 12], part: usize, [scale, least]: [u8; 2]) {
    if part < 4 {
        scales[part] = scale;
        scales[4 + part] = least;
    } else {
        scales[4 + part] = (scale & 15) | least << 4;
        scales[part - 4] |= scale >> 4 << 6;
        scales[part] |= least >> 4 << 6;
    }
}

pub(super) fn q4_k(x: &[f32], out: &mut [u8]) {
    let search = Search { top: 15.0, first: -1.0, tries: 20 };
    for (x, out) in x.as_chunks().0.iter().zip(out.as_chunks_mut::<144>().0) {
        let made = affines(x, &search);
        out[..4].copy_from_slice(&made.head);
        out[4..16].copy_from_slice(&made.scales);
        low_nibbles(&made.quants, &mut out[16..]);
    }
}

pub(super) fn q5_k(x: &[f32], out: &mut [u8]) {
    let search = Search { top: 31.0, first: -0.5, tries: 15 };
    for (x, out) in x.as_chunks().0.iter().zip(out.as_chunks_mut::<176>().0) {
        let made = affines(x, &search);
        out[..4].copy_from_slice(&made.head);
        out[4..16].copy_from_slice(&made.scales);
        out[16..48].fill(0);
        for (i, quant) in made.quants.iter().enumerate() {
            out[16 + i % 32] |= (quant >> 4) << (i / 32);
        }
        low_nibbles(&made.quants, &mut out[48..]);
    }
}

/// Four bits of weight `i` and of weight `32 + i` of each 64 share a byte.
fn low_nibbles(quants: &[u8; LENGTH], out: &mut [u8]) {
    for (quants, out) in quants.as_chunks::<64>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for i in 0..32 {
            out[i] = (quants[i] & 15) | quants[32 + i] << 4;
        }
    }
}

/// The scale for quants from -32 to 31 with the smallest error, weighted by squares: `make_qx_quants`.
fn symmetric(x: &[f32; 16]) -> f32 {
    const TOP: f32 = 32.0;
    let largest = x.iter().fold(0.0_f32, |largest, x| if x.abs() > largest.abs() { *x } else { largest });
    if largest.abs() < NOTHING {
        return 0.0;
    }
    let mut best_scale = 0.0;
    let mut best = 0.0;
    // The plain scale first; others must be better.
    for step in [0_i8].into_iter().chain(-9..=9) {
        let inverse = -(TOP + 0.1 * f32::from(step)) / largest;
        let [mut products, mut squares] = [0.0_f32; 2];
        for x in x {
            let quant = (inverse * x).round_ties_even().clamp(-TOP, TOP - 1.0);
            products += x * x * x * quant;
            squares += x * x * quant * quant;
        }
        if squares > 0.0 && products * products > best * squares {
            best_scale = products / squares;
            best = best_scale * products;
        }
    }
    best_scale
}

pub(super) fn q6_k(x: &[f32], out: &mut [u8]) {
    for (x, out) in x.as_chunks::<LENGTH>().0.iter().zip(out.as_chunks_mut::<210>().0) {
        out.fill(0);
        let groups = x.as_chunks::<16>().0;
        let scales: Vec<f32> = groups.iter().map(symmetric).collect();
        let largest = scales.iter().fold(0.0_f32, |largest, s| if s.abs() > largest.abs() { *s } else { largest });
        if largest.abs() < NOTHING {
            continue;
        }
        let inverse = -128.0 / largest;
        let scale = f16::from_f32(1.0 / inverse);
        out[208..].copy_from_slice(&scale.to_le_bytes());
        let mut quants = [32_u8; LENGTH];
        for (part, group_scale) in scales.iter().enumerate() {
            let group_scale = (inverse * group_scale).round_ties_even().clamp(-128.0, 127.0);
            out[192 + part] = group_scale as i8 as u8;
            let scale = scale.to_f32() * group_scale;
            if scale == 0.0 {
                continue;
            }
            for (quant, x) in quants[16 * part..][..16].iter_mut().zip(&groups[part]) {
                *quant = ((x / scale).round_ties_even().clamp(-32.0, 31.0) + 32.0) as u8;
            }
        }
        for (half, quants) in quants.as_chunks::<128>().0.iter().enumerate() {
            for i in 0..32 {
                let four = [quants[i], quants[32 + i], quants[64 + i], quants[96 + i]];
                out[64 * half + i] = (four[0] & 15) | four[2] << 4;
                out[64 * half + 32 + i] = (four[1] & 15) | four[3] << 4;
                out[128 + 32 * half + i] = four[0] >> 4 | four[1] >> 4 << 2 | four[2] >> 4 << 4 | four[3] >> 4 << 6;
            }
        }
    }
}
