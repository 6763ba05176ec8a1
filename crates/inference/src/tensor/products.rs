//! The type of the processor's products: floats of 32 bits, integers with quantised weights, or pairs of bfloat16 where it
//! has dot products of them.

use super::{BlockFormat, DType, Device};
use easel_cpu::Level;
use std::sync::LazyLock;
use std::time::Instant;

/// The type of both sides of a product with a weight on the processor; sums are `f32` always, and so is everything else.
/// Other devices have a type for all they compute ([`Device::float`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Products {
    /// `f32`: what diffusers computes, to rounding. Quantised weights are widened, exactly.
    #[default]
    F32,
    /// Inputs of quantised weights rounded to blocks of eight bits, and both multiplied in integers, if the processor is
    /// faster at it in their format ([`Level::prefers_integers`]); `f32` with other weights.
    Integers,
    /// The same with quantised weights; other weights and their inputs rounded to bfloat16.
    Bf16,
}

impl Products {
    /// In fewer bits where the processor is faster at them, unless the request names a type with more: integers with
    /// quantised weights (any vector level), bfloat16 with the others (AVX512-BF16).
    pub fn automatic(device: &Device, dtype: Option<DType>) -> Self {
        let device = match device {
            Device::Outline(outline) => outline.stands_for(),
            device => device,
        };
        if matches!(dtype, Some(DType::F32 | DType::F16)) || !matches!(device, Device::Cpu) {
            return Self::F32;
        }
        // Read only where there is something to time: WebAssembly has no such clock.
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

    /// The same for a component whose weights in floats are multiplied in `f32` in any case.
    pub fn without_bf16(self) -> Self {
        if self == Self::Bf16 { Self::Integers } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_bits_are_chosen_unless_the_request_names_more() {
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
