//! The layout of GGUF's quantised blocks for kernels: units of whole words, which `kernels/repack.wgsl` creates from a
//! file's blocks when a weight is uploaded.
//!
//! A unit is a block of 256, or the one or two blocks of 32 that fill whole words. It begins with a word of halves: the
//! scales of its blocks, or a block's scale and that of its minimums. The K formats' small scales follow with one byte
//! each, and then the quants in planes of 1, 2, 4 or 8 bits. In a word of a plane, four neighbouring quants are in the
//! four bytes at the same bits, so one mask and one `unpack4xU8` read four; the next four are the next bits. This
//! layout and that of a file's blocks only differ in the distance of neighbours ([`Plane::run`]).
//!
//! A weight is a single binding, with its scales in the cache lines of its quants. The numbers are those of
//! `easel_cpu::BlockFormat::widen`, with the same order of operations.

use super::Constant;
use easel_cpu::BlockFormat;
use std::fmt::Write;

/// Some bits of each of the values of a file's block.
struct Plane {
    /// The first byte.
    at: u32,
    bits: u32,
    /// The number of neighbouring values in consecutive bytes; the following values are in the next bits of the same
    /// bytes.
    run: u32,
}

/// A file's block of 32 or 256 quants.
struct Blocks {
    /// Low bits, high bits.
    quants: &'static [Plane],
    value: Value,
    scales: Scales,
}

/// The value of a quant before scaling.
enum Value {
    /// The number minus this offset.
    Above(u32),
    /// An index into the table of IQ4_NL and IQ4_XS.
    Place,
}

/// The scales of values.
enum Scales {
    /// A half for each block of 32.
    Half,
    /// A half for each block of 32, and a half for its minimum.
    HalfAndLeast,
    /// A half, and integers above `zero` for `group` values each.
    Small { group: u32, planes: &'static [Plane], zero: u32 },
    /// Two halves, and for each 16 values a scale and a minimum of four bits.
    FourBits,
    /// Two halves, and for each 32 values a scale and a minimum of six bits, which begin here.
    SixBits(u32),
}

/// Planes: first byte, bits, run.
macro_rules! planes {
    ($(($at:literal, $bits:literal, $run:literal)),*) => {
        &[$(Plane { at: $at, bits: $bits, run: $run }),*]
    };
}

/// The layout of a block, as in ggml's `ggml-quants.c`. Signed bytes become unsigned ones with an offset of 128 by
/// flipping their highest bit.
fn blocks(format: BlockFormat) -> Blocks {
    use Scales::{FourBits, Half, HalfAndLeast, SixBits, Small};
    use Value::{Above, Place};
    let (quants, value, scales): (&[Plane], _, _) = match format {
        BlockFormat::Q4_0 => (planes![(2, 4, 16)], Above(8), Half),
        BlockFormat::Q4_1 => (planes![(4, 4, 16)], Above(0), HalfAndLeast),
        BlockFormat::Q5_0 => (planes![(6, 4, 16), (2, 1, 1)], Above(16), Half),
        BlockFormat::Q5_1 => (planes![(8, 4, 16), (4, 1, 1)], Above(0), HalfAndLeast),
        BlockFormat::Q8_0 => (planes![(2, 8, 32)], Above(128), Half),
        BlockFormat::Q2K => (planes![(16, 2, 32)], Above(0), FourBits),
        BlockFormat::Q3K => {
            let scales = Small { group: 16, planes: planes![(96, 4, 8), (104, 2, 4)], zero: 32 };
            (planes![(32, 2, 32), (0, 1, 32)], Above(4), scales)
        }
        BlockFormat::Q4K => (planes![(16, 4, 32)], Above(0), SixBits(4)),
        BlockFormat::Q5K => (planes![(48, 4, 32), (16, 1, 32)], Above(0), SixBits(4)),
        BlockFormat::Q6K => {
            let scales = Small { group: 16, planes: planes![(192, 8, 16)], zero: 128 };
            (planes![(0, 4, 64), (128, 2, 32)], Above(32), scales)
        }
        BlockFormat::Iq4Nl => (planes![(2, 4, 16)], Place, Half),
        BlockFormat::Iq4Xs => {
            (planes![(8, 4, 16)], Place, Small { group: 32, planes: planes![(4, 4, 1), (2, 2, 1)], zero: 32 })
        }
    };
    Blocks { quants, value, scales }
}

/// The layout of a format's weights in GPU memory.
pub(crate) struct Layout {
    format: BlockFormat,
    blocks: Blocks,
    /// Weights of a unit.
    pub(crate) unit: u32,
    /// Words of a unit.
    pub(crate) words: u32,
}

impl Layout {
    pub(crate) fn of(format: BlockFormat) -> Self {
        let blocks = blocks(format);
        let length = format.length() as u32;
        let unit = if matches!(blocks.scales, Scales::Half) { 2 * length } else { length };
        let mut layout = Self { format, blocks, unit, words: 0 };
        layout.words = layout.start(layout.blocks.quants.len());
        layout
    }

    /// Bytes of this number of weights.
    pub(super) fn bytes(&self, weights: u64) -> u64 {
        weights.div_ceil(self.unit.into()).saturating_mul(u64::from(self.words) * 4)
    }

    /// Words of small scales.
    fn scale_words(&self) -> u32 {
        match &self.blocks.scales {
            Scales::Half | Scales::HalfAndLeast => 0,
            Scales::Small { group, .. } => self.unit / group / 4,
            Scales::FourBits | Scales::SixBits(_) => 4,
        }
    }

    /// The first word of a plane of the quants.
    fn start(&self, plane: usize) -> u32 {
        let before = self.blocks.quants.iter().take(plane).map(|plane| plane.bits * self.unit / 32);
        1 + self.scale_words() + before.sum::<u32>()
    }

    /// WGSL: `NAME_get(i)` for a binding of words, four weights or one at a time.
    pub(super) fn getters(&self, name: &str, width: usize) -> Option<String> {
        let function = if width == 4 { "get" } else { "four" };
        let vectors = self.unit / 4;
        let quants = self.quants().replace('@', name);
        let value = match self.blocks.value {
            Value::Above(zero) => format!("vec4<f32>(q) - {zero}.0"),
            Value::Place => "places(q)".to_owned(),
        };
        let scaled = self.scaled().replace('@', name);
        let words = self.words;
        let mut text = format!(
            "fn {name}_{function}(i: u32) -> vec4<f32> {{
    let at = i / {vectors}u * {words}u;
    let v = i % {vectors}u;
    let q = unpack4xU8({quants});
    let value = {value};
    let d = {name}[at];
    {scaled}
}}
"
        );
        if width == 1 {
            let _ = writeln!(text, "fn {name}_get(i: u32) -> f32 {{ return {name}_four(i / 4u)[i % 4u]; }}");
        }
        matches!(width, 1 | 4).then_some(text)
    }

    /// The expression for the quants of vector `v` of the unit at `at`, in the bytes of a word.
    fn quants(&self) -> String {
        let mut low = 0;
        let mut terms = Vec::new();
        for (place, Plane { bits, .. }) in self.blocks.quants.iter().enumerate() {
            let start = self.start(place);
            let fields = 8 / bits;
            let mask = 0x0101_0101 * ((1_u32 << bits) - 1);
            terms.push(format!(
                "(((@[at + {start}u + v / {fields}u] >> (v % {fields}u * {bits}u)) & {mask}u) << {low}u)"
            ));
            low += bits;
        }
        terms.join(" | ")
    }

    /// The statements that return `value` scaled; `d` is the word of halves.
    fn scaled(&self) -> String {
        let byte = |first: u32, group: u32| {
            let vectors = group / 4;
            format!("((@[at + {first}u + v / {vectors}u / 4u] >> (v / {vectors}u % 4u * 8u)) & 255u)")
        };
        match self.blocks.scales {
            Scales::Half => "return value * half(d >> (v / 8u * 16u));".to_owned(),
            Scales::HalfAndLeast => "return value * half(d) + half(d >> 16u);".to_owned(),
            Scales::Small { group, zero, .. } => {
                format!("return value * (half(d) * (f32({}) - {zero}.0));", byte(1, group))
            }
            Scales::FourBits => format!(
                "let s = {};
    return value * (half(d) * f32(s & 15u)) - half(d >> 16u) * f32(s >> 4u);",
                byte(1, 16)
            ),
            Scales::SixBits(_) => {
                format!("return value * (half(d) * f32({})) - half(d >> 16u) * f32({});", byte(1, 32), byte(3, 32))
            }
        }
    }

    /// The constants of `kernels/repack.wgsl`.
    pub(crate) fn constants(&self) -> Vec<(&'static str, Constant)> {
        const QUANTS: [[&str; 5]; 2] =
            [["AT0", "BITS0", "RUN0", "START0", "FLIP0"], ["AT1", "BITS1", "RUN1", "START1", "FLIP1"]];
        const SCALES: [[&str; 3]; 2] =
            [["SCALE_AT0", "SCALE_BITS0", "SCALE_RUN0"], ["SCALE_AT1", "SCALE_BITS1", "SCALE_RUN1"]];
        /// The mask that flips the highest bits of signed bytes.
        const fn flip(zero: u32) -> u32 {
            if zero == 128 { 0x8080_8080 } else { 0 }
        }
        let Blocks { quants, value, scales } = &self.blocks;
        let length = self.format.length() as u32;
        let mut constants = vec![
            ("UNIT", self.unit),
            ("WORDS", self.words),
            ("BLOCKS", self.unit / length),
            ("LENGTH", length),
            ("BYTES", self.format.bytes() as u32),
            ("HALVES", self.format.halves()[0] as u32),
            ("SCALE_WORDS", self.scale_words()),
            ("PLANES", quants.len() as u32),
        ];
        let zero = if let Value::Above(zero) = value { *zero } else { 0 };
        for (place, (Plane { at, bits, run }, names)) in quants.iter().zip(QUANTS).enumerate() {
            constants.extend(names.into_iter().zip([*at, *bits, *run, self.start(place), flip(zero)]));
        }
        let (planes, zero): (&[Plane], _) = match scales {
            Scales::Small { planes, zero, .. } => (planes, *zero),
            Scales::FourBits => (planes![(0, 8, 16)], 0),
            Scales::SixBits(at) => {
                constants.push(("SIX_BITS", *at));
                (&[], 0)
            }
            Scales::Half | Scales::HalfAndLeast => (&[], 0),
        };
        constants.extend([("SCALE_PLANES", planes.len() as u32), ("SCALE_FLIP", flip(zero))]);
        for (Plane { at, bits, run }, names) in planes.iter().zip(SCALES) {
            constants.extend(names.into_iter().zip([*at, *bits, *run]));
        }
        constants.into_iter().map(|(name, value)| (name, Constant::U32(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_hardly_larger_than_a_files_blocks() {
        for format in BlockFormat::ALL.iter().copied() {
            let layout = Layout::of(format);
            let weights = 2 * u64::from(layout.unit);
            let stored = weights as usize / format.length() * format.bytes();
            let taken = layout.bytes(weights) as usize;
            assert!(taken >= stored && taken * 100 <= stored * 106, "{format:?}: {taken} bytes for {stored}");
        }
    }
}
