//! The transforms of Winograd's F(2x2, 3x3) (<https://arxiv.org/abs/1509.09308>) on vectors, in one dimension.

use crate::simd::Simd;

/// One dimension of `G`: `[a, (a + b + c) / 2, (a - b + c) / 2, c]`.
#[inline(always)]
pub(super) fn kernel_transform<S: Simd>(s: S, [a, b, c]: [S::F32; 3]) -> [S::F32; 4] {
    let half = s.splat(0.5);
    let ends = s.add(a, c);
    [a, s.mul(s.add(ends, b), half), s.mul(s.sub(ends, b), half), c]
}

/// One dimension of `B^T`: `[a - c, b + c, c - b, b - d]`.
#[inline(always)]
fn input_transform<S: Simd>(s: S, [a, b, c, d]: [S::F32; 4]) -> [S::F32; 4] {
    [s.sub(a, c), s.add(b, c), s.sub(c, b), s.sub(b, d)]
}

/// `B^T d B` of a 4x4 tile in place.
#[inline(always)]
pub(super) fn transform_twice<S: Simd>(s: S, d: &mut [S::F32; 16]) {
    for x in 0..4 {
        let column = input_transform(s, [d[x], d[4 + x], d[8 + x], d[12 + x]]);
        for y in 0..4 {
            d[y * 4 + x] = column[y];
        }
    }
    for y in 0..4 {
        let row = input_transform(s, [d[y * 4], d[y * 4 + 1], d[y * 4 + 2], d[y * 4 + 3]]);
        for x in 0..4 {
            d[y * 4 + x] = row[x];
        }
    }
}

/// One dimension of `A^T`: `[a + b + c, b - c - d]`.
#[inline(always)]
pub(super) fn output_transform<S: Simd>(s: S, [a, b, c, d]: [S::F32; 4]) -> [S::F32; 2] {
    [s.add(s.add(a, b), c), s.sub(s.sub(b, c), d)]
}
