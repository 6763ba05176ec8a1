//! All kernels in all variants with a different text, for checks by a compiler.

use super::linear::Formats;
use super::tile::{TILES, Tile};
use super::{
    Activation, Binary, attention, conv2d, depthwise, elementwise, embedding, layout, linear, norm, quantised,
};
use crate::Capabilities;
use crate::shader::{Format, Kernel};
use easel_cpu::BlockFormat;

/// The formats of weights, with one representative of all blocks.
const WEIGHTS: [Format; 4] = [Format::F32, Format::F16, Format::Bf16, Format::Blocks(BlockFormat::Q8_0)];

/// The variants that the ops use on a device with these capabilities. Not all combinations are included, but every
/// condition of every template is tested both ways.
pub fn variants(capabilities: &Capabilities) -> Vec<Kernel> {
    let activations: &[Format] = if capabilities.f16 { &[Format::F32, Format::F16] } else { &[Format::F32] };
    let mut kernels: Vec<Kernel> = BlockFormat::ALL.iter().map(|format| quantised::kernel(*format)).collect();
    for &x in activations {
        BlockFormat::ALL.iter().for_each(|format| blocks(x, *format, &mut kernels));
        for width in [1, 4] {
            products(x, width, &mut kernels);
            norms(x, width, capabilities, &mut kernels);
            elementwise(x, width, &mut kernels);
            copies(x, width, &mut kernels);
        }
        kernels.push(elementwise::moments_kernel([x, x], capabilities));
        kernels.push(attention::rope_kernel([x, x]));
    }
    kernels.push(layout::kernel([Format::U16, Format::U16], 3, 1));
    for tile in Tile::cooperative(capabilities) {
        for (weight, width) in [(Format::F16, 1), (Format::F16, 4), (WEIGHTS[3], 4)] {
            let formats = plain_product(Format::F16, weight, width);
            kernels.extend([linear::tiled_kernel(formats, tile), conv2d::kernel(formats, tile, true)]);
        }
    }
    let mut unique: Vec<Kernel> = Vec::with_capacity(kernels.len());
    kernels.into_iter().for_each(|kernel| {
        if !unique.contains(&kernel) {
            unique.push(kernel);
        }
    });
    unique
}

fn plain_product(x: Format, weight: Format, width: usize) -> Formats {
    Formats { x, weight, bias: None, residual: None, y: x, activation: Activation::None, width }
}

fn products(x: Format, width: usize, kernels: &mut Vec<Kernel>) {
    let plain = plain_product(x, x, width);
    for weight in WEIGHTS {
        let bias = Some(if weight == WEIGHTS[3] { Format::F32 } else { weight });
        let full = Formats { weight, bias, residual: Some(x), activation: Activation::Silu, ..plain };
        for formats in [Formats { weight, ..plain }, full] {
            kernels.extend(TILES.map(|tile| linear::tiled_kernel(formats, tile)));
            kernels.extend(TILES.map(|tile| conv2d::kernel(formats, tile, weight == Format::F32)));
            kernels.extend([1, 2, 4, 8].map(|rows| linear::skinny_kernel(formats, rows)));
        }
    }
    let active = |activation| linear::tiled_kernel(Formats { activation, ..plain }, TILES[3]);
    kernels.extend(Activation::ALL.map(active));
    for head_width in [8, 40, 64, 80, 128, 160, 256, 512] {
        let shape = attention::Shape::choose(head_width);
        let variant = |causal, added| attention::kernel(shape, [x; 3], width, causal, added);
        let none = attention::Added::default();
        kernels.extend([variant(false, none), variant(true, none)]);
        kernels.push(variant(false, attention::Added { bias: Some(x), ..none }));
        kernels.push(variant(false, attention::Added { relative: Some(x), ..none }));
    }
}

/// The kernels that read quantised matrices.
fn blocks(x: Format, format: BlockFormat, kernels: &mut Vec<Kernel>) {
    let weight = Format::Blocks(format);
    let formats = plain_product(x, weight, 4);
    kernels.extend([linear::skinny_kernel(formats, 1), linear::tiled_kernel(formats, TILES[3])]);
    kernels.extend([embedding::kernel([weight, x], 4), layout::kernel([weight, x], 1, 4)]);
}

fn norms(x: Format, width: usize, capabilities: &Capabilities, kernels: &mut Vec<Kernel>) {
    kernels.push(norm::moments_kernel(x, width));
    for weight in WEIGHTS {
        kernels.push(norm::fold_kernel(weight, capabilities));
        kernels.push(norm::apply_kernel([x, weight, x], Activation::Silu, width));
        let some = Some(weight);
        for (op, weight, bias, modulation, threads) in [
            ("layer_norm", some, some, None, 64),
            ("layer_norm", None, None, Some(x), 256),
            ("rms_norm", some, None, None, 64),
        ] {
            let variant = norm::RowNorm { op, x, y: x, weight, bias, modulation, width, threads };
            kernels.push(variant.kernel(capabilities));
        }
    }
}

fn elementwise(x: Format, width: usize, kernels: &mut Vec<Kernel>) {
    for operation in Binary::ALL {
        let variant = |axes, splat| elementwise::binary_kernel(operation, [x; 3], axes, splat, width);
        kernels.extend([variant(1, false), variant(2, true), variant(8, false)]);
    }
    kernels
        .extend(Activation::ALL.map(|activation| elementwise::unary_kernel("activation", activation, [x; 2], width)));
    kernels.extend(["affine", "clamp", "exp"].map(|op| elementwise::unary_kernel(op, Activation::None, [x; 2], width)));
    kernels.extend([1, 2, 3, 4].map(|terms| elementwise::combine_kernel(&vec![x; terms], x, width)));
    kernels.push(elementwise::geglu_kernel([x; 2], width));
    kernels.extend(
        [Format::F32, Format::F16, Format::Bf16]
            .map(|weight| depthwise::kernel([x, weight, weight, x], Activation::Gelu, width)),
    );
    kernels.extend(WEIGHTS.map(|table| embedding::kernel([table, x], width)));
}

fn copies(x: Format, width: usize, kernels: &mut Vec<Kernel>) {
    kernels.extend(WEIGHTS.map(|from| layout::kernel([from, x], 1, width)));
    kernels.extend([Format::U32, x].map(|from| layout::kernel([from, x], 8, width)));
    kernels.push(layout::kernel([Format::U32, Format::U32], 3, width));
}
