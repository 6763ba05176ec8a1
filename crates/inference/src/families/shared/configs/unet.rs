//! The `config.json` of a UNet.

use crate::Result;
use crate::families::shared::shapes::Shapes;
use serde_json::{Value, json};

/// Heads of every attention in version 1. Later versions have heads with 64 channels.
const HEADS_1: usize = 8;
const HEAD_WIDTH: usize = 64;

/// How many numbers SDXL is conditioned on: three sizes with two each. The refiner has an aesthetic score instead of
/// the last size.
const SIZES: u64 = 6;
const SIZES_REFINER: u64 = 5;

/// The width of the embedding of each of these numbers, if it cannot be derived.
const SIZE_WIDTH: u64 = 256;

/// Whether the transformers' projections are linear layers, as since version 2, rather than 1x1 convolutions.
pub(in crate::families) fn is_linear(shapes: &Shapes<'_>) -> bool {
    let places = ["down_blocks.0.attentions.0", "down_blocks.1.attentions.0", "mid_block.attentions.0"];
    let weight = places.iter().find_map(|place| shapes.find(&format!("{place}.proj_in.weight")));
    weight.is_some_and(|shape| shape.len() == 2)
}

/// The number of input channels.
pub(in crate::families) fn in_channels(shapes: &Shapes<'_>) -> Option<usize> {
    shapes.find("conv_in.weight").and_then(|shape| shape.get(1)).copied()
}

/// A level of the UNet.
struct Level {
    channels: usize,
    layers: usize,
    /// Transformer blocks after each layer of the down path; 0 without attention.
    down_depth: usize,
    /// The same for the up path.
    up_depth: usize,
    context: Option<usize>,
}

/// The document. `pooled` is the width of the pooled text embedding.
pub(in crate::families) fn config(shapes: &Shapes<'_>, pooled: Option<u64>) -> Result<Value> {
    let levels = levels(shapes)?;
    let is_linear = is_linear(shapes);
    let mid_depth = depth(shapes, "mid_block");
    let heads: Vec<usize> = levels.iter().map(|level| heads(level, is_linear)).collect();
    let context = levels.iter().find_map(|level| level.context).or_else(|| context(shapes, "mid_block"));
    let list = |of: &dyn Fn(&Level) -> Value| levels.iter().map(of).collect::<Vec<_>>();
    let blocks = |has_attention: bool, direction: &str| {
        json!(format!("{}{direction}Block2D", if has_attention { "CrossAttn" } else { "" }))
    };
    let up_blocks: Vec<_> = levels.iter().rev().map(|level| blocks(level.up_depth > 0, "Up")).collect();
    let mut config = json!({
        "_class_name": "UNet2DConditionModel",
        "act_fn": "silu",
        "in_channels": shapes.size("conv_in.weight", 1)?,
        "out_channels": shapes.size("conv_out.weight", 0)?,
        "block_out_channels": list(&|level| json!(level.channels)),
        "layers_per_block": single(list(&|level| json!(level.layers))),
        "down_block_types": list(&|level| blocks(level.down_depth > 0, "Down")),
        "up_block_types": up_blocks,
        "attention_head_dim": single(heads.iter().map(|heads| json!(heads)).collect()),
        "cross_attention_dim": context.unwrap_or(1280),
        "use_linear_projection": is_linear,
        "center_input_sample": false,
        "downsample_padding": 1,
        "flip_sin_to_cos": true,
        "freq_shift": 0,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-5,
        "norm_num_groups": 32,
    });
    middle(shapes, mid_depth, &mut config);
    transformer_layers(&levels, mid_depth, &mut config);
    embeddings(shapes, pooled, &mut config)?;
    Ok(config)
}

fn levels(shapes: &Shapes<'_>) -> Result<Vec<Level>> {
    let count = shapes.count("down_blocks").max(1);
    let level = |i: usize| {
        let down = format!("down_blocks.{i}");
        let up = format!("up_blocks.{}", count - 1 - i);
        Ok(Level {
            channels: shapes.size(&format!("{down}.resnets.0.conv1.weight"), 0)?,
            layers: shapes.count(&format!("{down}.resnets")),
            down_depth: depth(shapes, &down),
            up_depth: depth(shapes, &up),
            context: context(shapes, &down).or_else(|| context(shapes, &up)),
        })
    };
    (0..count).map(level).collect()
}

/// The number of transformer blocks of a level; 0 if it has none.
fn depth(shapes: &Shapes<'_>, block: &str) -> usize {
    shapes.count(&format!("{block}.attentions.0.transformer_blocks"))
}

/// Width of the text states.
fn context(shapes: &Shapes<'_>, block: &str) -> Option<usize> {
    shapes.find(&format!("{block}.attentions.0.transformer_blocks.0.attn2.to_k.weight"))?.get(1).copied()
}

fn heads(level: &Level, is_linear: bool) -> usize {
    if is_linear { (level.channels / HEAD_WIDTH).max(1) } else { HEADS_1 }
}

/// A single value if all are equal, as in most files.
fn single(values: Vec<Value>) -> Value {
    match values.split_first() {
        Some((first, rest)) if rest.iter().all(|value| value == first) => first.clone(),
        _ => Value::Array(values),
    }
}

fn middle(shapes: &Shapes<'_>, depth: usize, config: &mut Value) {
    config["mid_block_type"] = match (shapes.has("mid_block."), depth) {
        (false, _) => Value::Null,
        (true, 0) => json!("UNetMidBlock2D"),
        (true, _) => json!("UNetMidBlock2DCrossAttn"),
    };
}

/// The depth of the transformers: of the down path, whose last entry is also the middle's, and of the up path if it
/// differs. Levels without attention have a 1.
fn transformer_layers(levels: &[Level], mid_depth: usize, config: &mut Value) {
    let mut down: Vec<usize> = levels.iter().map(|level| level.down_depth.max(1)).collect();
    if let Some(last) =
        down.last_mut().filter(|_| mid_depth > 0 && levels.last().is_some_and(|level| level.down_depth == 0))
    {
        *last = mid_depth;
    }
    let differs = |(level, down): (&Level, &usize)| level.up_depth > 0 && level.up_depth != *down;
    if levels.iter().zip(&down).any(differs) {
        let up: Vec<usize> = levels.iter().rev().map(|level| level.up_depth.max(1)).collect();
        config["reverse_transformer_layers_per_block"] = json!(up);
    }
    config["transformer_layers_per_block"] = single(down.into_iter().map(|depth| json!(depth)).collect());
}

/// The embeddings besides the timestep.
fn embeddings(shapes: &Shapes<'_>, pooled: Option<u64>, config: &mut Value) -> Result<()> {
    if shapes.has("add_embedding.") {
        let width = shapes.size("add_embedding.linear_1.weight", 1)?;
        config["addition_embed_type"] = json!("text_time");
        config["projection_class_embeddings_input_dim"] = json!(width);
        config["addition_time_embed_dim"] = json!(size_width(width as u64, pooled));
    } else if shapes.has("class_embedding.linear_1.") {
        config["class_embed_type"] = json!("projection");
        config["projection_class_embeddings_input_dim"] = json!(shapes.size("class_embedding.linear_1.weight", 1)?);
    } else if shapes.has("class_embedding.weight") {
        config["num_class_embeds"] = json!(shapes.size("class_embedding.weight", 0)?);
    }
    Ok(())
}

/// The width of the embedding of one size: together with the pooled text they add up to `width`. It must be even,
/// because embeddings are half sines and half cosines.
fn size_width(width: u64, pooled: Option<u64>) -> u64 {
    let rest = pooled.and_then(|pooled| width.checked_sub(pooled)).unwrap_or(0);
    let fits = |count: &u64| rest > 0 && rest.is_multiple_of(2 * count);
    [SIZES, SIZES_REFINER].into_iter().find(fits).map_or(SIZE_WIDTH, |count| rest / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_of_a_size_follows_from_the_sum() {
        assert_eq!(size_width(2816, Some(1280)), 256);
        assert_eq!(size_width(2560, Some(1280)), 256);
        assert_eq!(size_width(88, Some(40)), 8);
        assert_eq!(size_width(2816, None), 256);
    }

    #[test]
    fn equal_values_become_one() {
        assert_eq!(single(vec![json!(2), json!(2)]), json!(2));
        assert_eq!(single(vec![json!(2), json!(3)]), json!([2, 3]));
        assert_eq!(single(vec![]), json!([]));
    }
}
