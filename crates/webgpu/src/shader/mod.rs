//! The text of kernels: a WGSL template, the constants of a variant, and the header for each dialect.
//!
//! A template is WGSL with a few directives, each on its own line:
//!
//! | directive | becomes |
//! | --- | --- |
//! | `#if A`, `#if !A`, `#if A == word`, `#else`, `#end` | one of two blocks, by the constants |
//! | `#for i in 0..N`, `#end` | the block `N` times with `$i` replaced: naga's loops are not unrolled by drivers |
//! | `#for a in q k v`, `#end` | the same over words |
//! | `#use module` | a file of `prelude/` |
//! | `#uniforms a: u32, b: f32` | the uniform block `u` at binding 0 |
//! | `#input x: X by 4` | the next storage binding and `x_get(i) -> vec4<f32>`, whatever format the constant `X` names |
//! | `#output y: Y by 4` | the same to write, and `y_put(i, value)` |
//!
//! Everything else is passed on, preceded by `const` lines for the numbers among the constants. Malformed directives
//! are passed on too, so that the compiler reports them.

mod blocks;
mod storage;
mod template;

use std::hash::{Hash, Hasher};

use crate::{Capabilities, Dialect};
pub(crate) use blocks::Layout;
use easel_cpu::BlockFormat;
use storage::Decoder;

/// A kernel and its variant: the key of its pipeline.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Name of the kernel, which is also used in errors and profiles.
    pub name: &'static str,
    /// The template, with one compute entry point. Kernels of one name share it.
    pub source: &'static str,
    /// Constants of this variant.
    pub constants: Vec<(&'static str, Constant)>,
}

/// The value of a kernel's constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Constant {
    /// A number for the text and for directives.
    U32(u32),
    /// A condition.
    Bool(bool),
    /// The format of a storage array.
    Format(Format),
    /// A word that conditions compare with.
    Name(&'static str),
}

/// The format of elements in a storage buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit float.
    F32,
    /// IEEE half precision: native if the device supports it, otherwise decoded from words and read-only.
    F16,
    /// bfloat16, decoded from words and read-only.
    Bf16,
    /// Unsigned 32-bit integer.
    U32,
    /// Any 16-bit element, copied as raw bits.
    U16,
    /// GGUF's quantised blocks, in the layout for kernels (`shader/blocks.rs`) and read-only.
    Blocks(BlockFormat),
}

impl Format {
    /// Bytes per element; 1 for blocks, for which [`bytes`](Self::bytes) must be used.
    pub fn size(self) -> u64 {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::U16 => 2,
            Self::Blocks(_) => 1,
        }
    }

    /// Bytes that this number of elements takes on a GPU.
    pub fn bytes(self, elements: u64) -> u64 {
        match self {
            Self::Blocks(format) => Layout::of(format).bytes(elements),
            plain => elements.saturating_mul(plain.size()),
        }
    }

    /// Rows are multiples of this number of elements.
    pub(crate) fn block(self) -> usize {
        match self {
            Self::Blocks(format) => format.length(),
            _ => 1,
        }
    }

    /// The word for the conditions of templates.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::Blocks(format) => format.name(),
        }
    }
}

impl Constant {
    /// The value in a template's conditions and loops.
    fn word(self) -> String {
        match self {
            Self::U32(value) => value.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Format(format) => format.word().to_owned(),
            Self::Name(name) => name.to_owned(),
        }
    }
}

// The pipeline cache is used for every dispatch, so the name is hashed in place of the source.
impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.constants == other.constants
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.constants.hash(state);
    }
}

impl Kernel {
    /// The text for the device's compiler.
    pub fn wgsl(&self, capabilities: &Capabilities) -> String {
        let mut text = String::new();
        let is_set = |name| self.constants.contains(&(name, Constant::Bool(true)));
        if capabilities.f16 && self.constants.iter().any(|(_, value)| *value == Constant::Format(Format::F16)) {
            text.push_str("enable f16;\n");
        }
        if capabilities.dialect == Dialect::Browser && is_set("SUBGROUPS") {
            text.push_str("enable subgroups;\n");
        }
        if is_set("COOPERATIVE") {
            text.push_str("enable wgpu_cooperative_matrix;\n");
        }
        for (name, value) in &self.constants {
            if let Constant::U32(value) = value {
                text.push_str(&format!("const {name}: u32 = {value}u;\n"));
            }
        }
        let decoder = match (capabilities.f16, capabilities.dialect) {
            (true, _) => Decoder::Native,
            (false, Dialect::Browser) => Decoder::Unpack,
            (false, Dialect::Naga) => Decoder::Bits,
        };
        let words = self.constants.iter().map(|(name, value)| ((*name).to_owned(), value.word())).collect();
        template::expand(self.source, words, decoder, &mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(source: &'static str, constants: &[(&'static str, Constant)]) -> String {
        let words = constants.iter().map(|(name, value)| ((*name).to_owned(), value.word())).collect();
        let mut text = String::new();
        template::expand(source, words, Decoder::Bits, &mut text);
        text
    }

    #[test]
    fn conditions_choose_a_block() {
        let source = "#if A\nyes\n#if B == word\nboth\n#else\none\n#end\n#else\nno\n#end\n#if !C\nlast\n#end";
        let word = ("B", Constant::Name("word"));
        assert_eq!(expanded(source, &[("A", Constant::Bool(true)), word]), "yes\nboth\nlast\n");
        assert_eq!(expanded(source, &[("A", Constant::U32(3))]), "yes\none\nlast\n");
        assert_eq!(expanded(source, &[("A", Constant::U32(0)), ("C", Constant::Bool(true))]), "no\n");
    }

    #[test]
    fn loops_repeat_their_block() {
        let source = "#for i in 0..N\na$i\n#for j in 0..2\nb$i$j\n#end\n#end\nend";
        let expected = "a0\nb00\nb01\na1\nb10\nb11\nend\n";
        assert_eq!(expanded(source, &[("N", Constant::U32(2))]), expected);
        assert_eq!(expanded("#for a in q k\nlet $a;\n#end", &[]), "let q;\nlet k;\n");
    }

    #[test]
    fn bindings_are_numbered_in_order() {
        let source = "#uniforms n: u32\n#input x: f32 by 4\n#if BIAS\n#input b: B by 1\n#end\n#output y: f32 by 1";
        let text = expanded(source, &[("BIAS", Constant::Bool(true)), ("B", Constant::Format(Format::Bf16))]);
        for expected in [
            "@binding(0) var<uniform> u: Uniforms;",
            "@binding(1) var<storage, read> x: array<vec4<f32>>;",
            "@binding(2) var<storage, read> b: array<u32>;",
            "@binding(3) var<storage, read_write> y: array<f32>;",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn nonsense_reaches_the_compiler() {
        for source in ["#for i of N", "#if", "#use nothing", "#input x", "#end", "#input x: NOTHING by 4", "#else"] {
            assert!(expanded(source, &[]).contains(source), "{source}");
        }
    }
}
