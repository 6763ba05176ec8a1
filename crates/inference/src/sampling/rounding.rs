//! Elementary functions of `f32` with the rounding of diffusers' libraries, which affects the result where a solver's
//! coefficients are small differences of large terms. Unlike those of `std`, they give the same bits on every platform.

/// `torch.log` on the CPU. Correctly rounded, unlike torch's own (MKL's) for one number in four thousand.
pub(super) fn ln(x: f32) -> f32 {
    libm::log(x.into()) as f32
}

/// `torch.expm1` on the CPU. Correctly rounded, unlike torch's own for one number in five hundred.
pub(super) fn exp_m1(x: f32) -> f32 {
    libm::expm1(x.into()) as f32
}

/// `numpy.log` of positive, normal numbers on processors with AVX2 or AVX-512: a quotient of two polynomials for the
/// mantissa, wrongly rounded for one number in ten.
///
/// DEIS in diffusers calls it on torch's numbers. The coefficients are those of numpy's `npy_simd_data.h`.
pub(super) fn numpy_ln(x: f32) -> f32 {
    const P: [f32; 6] = [0.025_899_792, 0.380_883_78, 1.480_000_6, 2.112_677_6, 1.0, 0.0];
    const Q: [f32; 6] = [0.005_875_095_4, 0.154_647_64, 0.986_494_3, 2.453_006, 2.612_677_6, 1.0];
    let (mut mantissa, mut exponent) = libm::frexpf(x);
    if mantissa <= std::f32::consts::FRAC_1_SQRT_2 {
        mantissa += mantissa;
        exponent -= 1;
    }
    let y = mantissa - 1.0;
    libm::fmaf(exponent as f32, std::f32::consts::LN_2, polynomial(P, y) / polynomial(Q, y))
}

/// Horner's method with fused multiply-adds, the highest power first.
fn polynomial([highest, lower @ ..]: [f32; 6], x: f32) -> f32 {
    lower.into_iter().fold(highest, |sum, next| libm::fmaf(sum, x, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with numpy 2.4.6 on a processor with AVX-512; for the first four the correctly rounded logarithm
    /// differs.
    #[test]
    fn equal_to_numpy() {
        let cases = [
            (0.016714597, -4.091473),
            (0.053499214, -2.9280882),
            (0.34620413, -1.0607268),
            (0.93096817, -0.0715302),
            (0.015867086, -4.1435084),
            (0.07194201, -2.6318948),
        ];
        for (i, (x, expected)) in cases.into_iter().enumerate() {
            assert_eq!(numpy_ln(x), expected, "{x}");
            assert_eq!(ln(x) == expected, i > 3, "{x}");
        }
    }
}
