//! Storage bindings with a uniform way to read and write all formats.
//!
//! In a kernel, `x_get(i)` returns `f32` or `vec4<f32>` from floats, halves, bfloat16 and quantised blocks. Formats
//! without a WGSL type are arrays of words.

use super::blocks::Layout;
use easel_cpu::BlockFormat;

/// The way in which a device reads half precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// The type `f16`.
    Native,
    /// Words and `unpack2x16float`.
    Unpack,
    /// Words and bit arithmetic, for drivers for which naga has no `unpack2x16float`.
    Bits,
}

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// `var<storage, read>` and `_get`.
    Read,
    /// `var<storage, read_write>` and `_put`.
    ReadWrite,
}

/// The text of a declaration.
pub(super) struct Binding {
    /// The variable and its functions.
    pub(super) text: String,
    /// Whether it needs the functions of `prelude/half.wgsl`.
    pub(super) decodes: bool,
}

/// The declaration of `name` in `format`, `width` elements at a time, or `None` if there is no such access.
pub(super) fn binding(
    name: &str,
    format: &str,
    width: usize,
    access: Access,
    decoder: Decoder,
    number: usize,
) -> Option<Binding> {
    let format = match (format, decoder) {
        ("f16", Decoder::Unpack) => "f16_unpack",
        ("f16", Decoder::Bits) => "f16_bits",
        _ => format,
    };
    let variable = |element: &str| {
        let access = if access == Access::Read { "read" } else { "read_write" };
        format!("@group(0) @binding({number}) var<storage, {access}> {name}: array<{element}>;\n")
    };
    if access == Access::ReadWrite {
        let (element, value, stored) = write(format, width)?;
        let function = format!("fn {name}_put(i: u32, v: {value}) {{ {name}[i] = {stored}; }}\n");
        return Some(Binding { text: variable(element) + &function, decodes: false });
    }
    if let Some(format) = BlockFormat::from_name(format) {
        let getters = Layout::of(format).getters(name, width)?;
        return Some(Binding { text: variable("u32") + &getters, decodes: true });
    }
    let (element, value, body) = read(format, width)?;
    let body = body.replace('@', name);
    let function = format!("fn {name}_get(i: u32) -> {value} {{ {body} }}\n");
    let decodes = !matches!(format, "f32" | "f16" | "u32" | "u16");
    Some(Binding { text: variable(element) + &function, decodes })
}

/// The stored type, the type that is read, and the conversion, in which `@` stands for the variable.
fn read(format: &str, width: usize) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match (format, width) {
        ("f32", 1) => ("f32", "f32", "return @[i];"),
        ("f32", 4) => ("vec4<f32>", "vec4<f32>", "return @[i];"),
        ("u32", 1) => ("u32", "u32", "return @[i];"),
        ("u32", 4) => ("vec4<u32>", "vec4<u32>", "return @[i];"),
        ("u16", 1) => ("u32", "u32", "return (@[i / 2u] >> (i % 2u * 16u)) & 0xffffu;"),
        ("f16", 1) => ("f16", "f32", "return f32(@[i]);"),
        ("f16", 4) => ("vec4<f16>", "vec4<f32>", "return vec4<f32>(@[i]);"),
        ("f16_unpack", 1) => ("u32", "f32", "return unpack2x16float(@[i / 2u])[i % 2u];"),
        ("f16_unpack", 4) => {
            ("vec2<u32>", "vec4<f32>", "let p = @[i]; return vec4<f32>(unpack2x16float(p.x), unpack2x16float(p.y));")
        }
        ("f16_bits", 1) => ("u32", "f32", "return half(@[i / 2u] >> (i % 2u * 16u));"),
        ("f16_bits", 4) => (
            "vec2<u32>",
            "vec4<f32>",
            "let p = @[i]; return vec4<f32>(half(p.x), half(p.x >> 16u), half(p.y), half(p.y >> 16u));",
        ),
        ("bf16", 1) => ("u32", "f32", "return bitcast<f32>((@[i / 2u] >> (i % 2u * 16u)) << 16u);"),
        ("bf16", 4) => ("vec2<u32>", "vec4<f32>", "return brain(@[i]);"),
        _ => return None,
    })
}

/// The stored type, the type that is written, and the expression that is stored for `v`.
fn write(format: &str, width: usize) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match (format, width) {
        ("f32", 1) => ("f32", "f32", "v"),
        ("f32", 4) => ("vec4<f32>", "vec4<f32>", "v"),
        ("u32", 1) => ("u32", "u32", "v"),
        ("u32", 4) => ("vec4<u32>", "vec4<u32>", "v"),
        ("u16", 2) => ("u32", "vec2<u32>", "v.x | (v.y << 16u)"),
        ("f16", 1) => ("f16", "f32", "f16(v)"),
        ("f16", 4) => ("vec4<f16>", "vec4<f32>", "vec4<f16>(v)"),
        _ => return None,
    })
}
