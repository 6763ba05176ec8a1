//! The precision of the processor's products: 32-bit floats, integers for quantised weights, or pairs of bfloat16 if it
//! has instructions for them.

use super::{BlockFormat, DType, Device};
use easel_cpu::Level;
use std::sync::LazyLock;
use std::time::Instant;

/// The type of both sides of a product with a weight on the processor. Sums and everything else are always `f32`. Other
/// devices have a single type for everything ([`Device::float`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Products {
    /// `f32`, as in diffusers. Quantised weights are widened exactly.
    #[default]
    F32,
    /// For quantised weights, inputs are rounded to blocks of eight bits and multiplied in integers, if that is faster
    /// for their format ([`Level::prefers_integers`]). `f32` for other weights.
    Integers,
    /// The same for quantised weights. Other weights and their inputs are rounded to bfloat16.
    Bf16,
}

impl Products {
    /// Lower precision if it is faster, unless the request names a more precise type: integers for quantised weights
    /// (any vector level), bfloat16 for the others (AVX512-BF16).
    pub fn automatic(device: &Device, dtype: Option<DType>) -> Self {
        let device = match device {
            Device::Outline(outline) => outline.stands_for(),
            device => device,
        };
        if matches!(dtype, Some(DType::F32 | DType::F16)) || !matches!(device, Device::Cpu) {
            return Self::F32;
        }
        // Only read if there is something to time, because WebAssembly has no such clock.
        let start = LazyLock::new(Instant::now);
        let clock = || start.elapsed().as_secs_f64();
        let level = Level::current();
        if level.prefers_bf16(clock) {
            Self::Bf16
        } else if BlockFormat::ALL.iter().any(|format| level.prefers_integers(*format)) {
            Self::Integers
        } else {
            Self::F32
        }
    }

    /// Removes bfloat16, for components whose float weights must be multiplied in `f32`.
    pub fn without_bf16(self) -> Self {
        if self == Self::Bf16 { Self::Integers } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_precision_is_chosen_unless_the_request_names_a_type() {
        for level in Level::available() {
            level.with(|| {
                let start = Instant::now();
                let fast = level.prefers_bf16(|| start.elapsed().as_secs_f64());
                let integers = if level == Level::Plain { Products::F32 } else { Products::Integers };
                let fast = if fast { Products::Bf16 } else { integers };
                assert_eq!(fast.without_bf16(), integers);
                for dtype in [None, Some(DType::Bf16), Some(DType::Q8_0)] {
                    assert_eq!(Products::automatic(&Device::Cpu, dtype), fast, "{level:?}");
                    #[cfg(feature = "candle")]
                    assert_eq!(Products::automatic(&Device::candle_cpu(), dtype), Products::F32);
                }
                for dtype in [DType::F32, DType::F16] {
                    assert_eq!(Products::automatic(&Device::Cpu, Some(dtype)), Products::F32, "{level:?}");
                }
            });
        }
    }
}
