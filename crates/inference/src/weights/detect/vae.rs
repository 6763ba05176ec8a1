//! The `config.json` of an `AutoencoderKL`.

use super::shapes::Shapes;
use crate::Result;
use serde_json::{Value, json};

/// By how much latents are divided: of the first autoencoder, and of SDXL's.
const SCALING: f64 = 0.18215;
const SCALING_XL: f64 = 0.13025;

/// The document.
pub(super) fn config(shapes: &Shapes<'_>, is_xl: bool) -> Result<Value> {
    let count = shapes.count("decoder.up_blocks").max(1);
    let channels = |i: usize| shapes.size(&format!("decoder.up_blocks.{}.resnets.0.conv1.weight", count - 1 - i), 0);
    let mut config = json!({
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
        "scaling_factor": if is_xl { SCALING_XL } else { SCALING },
        "use_quant_conv": shapes.has("quant_conv."),
        "use_post_quant_conv": shapes.has("post_quant_conv."),
        "mid_block_add_attention": shapes.has("decoder.mid_block.attentions."),
    });
    if is_xl {
        config["force_upcast"] = json!(true);
    }
    Ok(config)
}
