//! The vector instructions of the kernels: detected once at run time, or forced by tests.

use crate::BlockFormat;
use crate::simd::{Kernel, Plain};
use std::cell::Cell;
use std::sync::OnceLock;

/// An instruction set that the kernels are compiled for. All levels give the same results up to a few units of
/// rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// Ordinary Rust without intrinsics, on every platform.
    Plain,
    /// x86-64 with AVX2, FMA and F16C: vectors of 8.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64 with AVX-512F and BW: vectors of 16.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX-512 with the dot products of AVX512-VNNI, for products in integers.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// AVX-512 with the dot products of AVX512-BF16 and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512Dot,
    /// 64-bit Arm: vectors of 4.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// NEON with dot products of bytes (FEAT_DotProd), for products in integers.
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    /// WebAssembly built with `simd128`: vectors of 4.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
}

/// The level of a module with vector instructions, which runs nowhere without them: kernels without would double its size,
/// and are there for comparisons only (cargo feature `plain`).
#[cfg(all(target_arch = "wasm32", target_feature = "simd128", not(feature = "plain")))]
const ONLY: Option<Level> = Some(Level::Simd128);
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128", not(feature = "plain"))))]
const ONLY: Option<Level> = None;

thread_local! {
    static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
}

impl Level {
    /// The levels that this machine supports, the fastest last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "unchanged on platforms without a vector level")]
        let mut levels = vec![Self::Plain];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 =
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
            levels.extend(avx2.then_some(Self::Avx2));
            let avx512 = avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            levels.extend(avx512.then_some(Self::Avx512));
            let vnni = avx512 && is_x86_feature_detected!("avx512vnni");
            levels.extend(vnni.then_some(Self::Avx512Vnni));
            let dot = vnni && is_x86_feature_detected!("avx512bf16");
            levels.extend(dot.then_some(Self::Avx512Dot));
        }
        #[cfg(target_arch = "aarch64")]
        {
            levels.push(Self::Neon);
            levels.extend(std::arch::is_aarch64_feature_detected!("dotprod").then_some(Self::NeonDot));
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        levels.push(Self::Simd128);
        levels
    }

    /// The level of kernels that are called from this thread: the fastest of this machine, unless another is forced.
    pub fn current() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        FORCED.get().unwrap_or_else(|| *BEST.get_or_init(|| Self::available().pop().unwrap_or(Self::Plain)))
    }

    /// Whether products of bfloat16 are sufficiently faster at this level than those of `f32`. If the level has such
    /// instructions, the first call measures it with `clock`, which is in seconds.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "other levels have no such instructions"))]
    pub fn prefers_bf16(self, clock: impl Fn() -> f64) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Dot => {
                static PAY: OnceLock<bool> = OnceLock::new();
                *PAY.get_or_init(|| crate::gemm::pairs_pay(self, &clock))
            }
            _ => false,
        }
    }

    /// Whether products of weights in this format are faster at this level in integers
    /// ([`PackedWeight::integers`](crate::PackedWeight::integers)) than widened, with many rows: see `integers`.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "elsewhere formats do not differ"))]
    pub fn prefers_integers(self, format: BlockFormat) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Avx512 {
            return format != BlockFormat::Q8_0;
        }
        self != Self::Plain
    }

    /// Runs `f` with this level for the kernels that it calls from this thread. A level that the machine lacks is
    /// ignored.
    pub fn with<R>(self, f: impl FnOnce() -> R) -> R {
        /// Restores the previous level, even if `f` panics.
        struct Restore(Option<Level>);
        impl Drop for Restore {
            fn drop(&mut self) {
                FORCED.set(self.0);
            }
        }
        let _restore = Restore(FORCED.get());
        if Self::available().contains(&self) {
            FORCED.set(Some(self));
        }
        f()
    }

    /// Runs the kernel compiled for this level.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match ONLY.unwrap_or(self) {
            Self::Plain => kernel.run(Plain),
            // SAFETY: `current` and `with` only yield levels that this machine supports.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { crate::simd::run_avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Avx512Vnni => unsafe {
                crate::simd::run_avx512(kernel, matches!(self, Self::Avx512Vnni))
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Dot => unsafe { crate::simd::run_avx512_dot(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Self::Neon | Self::NeonDot => unsafe { crate::simd::run_neon(kernel, matches!(self, Self::NeonDot)) },
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128 => kernel.run(crate::simd::Simd128),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_level_holds_inside_the_scope_only() {
        let before = Level::current();
        Level::Plain.with(|| assert_eq!(Level::current(), Level::Plain));
        assert_eq!(Level::current(), before);
    }

    #[test]
    fn the_former_level_comes_back_after_a_panic() {
        let before = Level::current();
        let result = std::panic::catch_unwind(|| Level::Plain.with(|| panic!("on purpose")));
        assert!(result.is_err());
        assert_eq!(Level::current(), before);
    }
}
