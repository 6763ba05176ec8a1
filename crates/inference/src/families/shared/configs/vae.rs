//! The `config.json` of an `AutoencoderKL`.

use crate::Result;
use crate::families::shared::shapes::Shapes;
use serde_json::{Value, json};

/// The document; `scale` is the number that latents are multiplied by.
pub(in crate::families) fn config(shapes: &Shapes<'_>, scale: f64) -> Result<Value> {
    let count = shapes.count("decoder.up_blocks").max(1);
    let channels = |i: usize| shapes.size(&format!("decoder.up_blocks.{}.resnets.0.conv1.weight", count - 1 - i), 0);
    Ok(json!({
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "in_channels": shapes.find("encoder.conv_in.weight").and_then(|shape| shape.get(1)).copied().unwrap_or(3),
        "out_channels": shapes.size("decoder.conv_out.weight", 0)?,
        "latent_channels": shapes.size("decoder.conv_in.weight", 1)?,
        "block_out_channels": (0..count).map(channels).collect::<Result<Vec<_>>>()?,
        "layers_per_block": shapes.count("decoder.up_blocks.0.resnets").saturating_sub(1),
        "down_block_types": vec!["DownEncoderBlock2D"; count],
        "up_block_types": vec!["UpDecoderBlock2D"; count],
        "norm_num_groups": 32,
        "scaling_factor": scale,
        "use_quant_conv": shapes.has("quant_conv."),
        "use_post_quant_conv": shapes.has("post_quant_conv."),
        "mid_block_add_attention": shapes.has("decoder.mid_block.attentions."),
    }))
}
