//! The `config.json` of an `AutoencoderKL`, or of an `AutoencoderTiny` in its place.

use crate::Result;
use crate::families::shared::shapes::Shapes;
use serde_json::{Value, json};

/// The constants of a flow family's autoencoder that its tensors do not reveal.
pub(in crate::families) struct OfFlows {
    /// The factor on latents, after the shift is subtracted.
    pub(in crate::families) scale: f64,
    /// The shift, which is subtracted first.
    pub(in crate::families) shift: f64,
    /// The side of its training pictures.
    pub(in crate::families) picture_size: usize,
}

/// The document for a flow family.
pub(in crate::families) fn config_of_flows(shapes: &Shapes<'_>, own: &OfFlows) -> Result<Value> {
    let mut document = config(shapes, own.scale)?;
    if !is_tiny(shapes) {
        document["shift_factor"] = json!(own.shift);
        document["sample_size"] = json!(own.picture_size);
        document["force_upcast"] = json!(true);
    }
    Ok(document)
}

/// The document. `scale` is the factor on the latents of a full autoencoder.
pub(in crate::families) fn config(shapes: &Shapes<'_>, scale: f64) -> Result<Value> {
    if is_tiny(shapes) {
        return tiny(shapes);
    }
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

fn is_tiny(shapes: &Shapes<'_>) -> bool {
    shapes.has("decoder.layers.0.")
}

/// The document of a tiny autoencoder. Its latents are not scaled.
fn tiny(shapes: &Shapes<'_>) -> Result<Value> {
    let encoder = convolutions(shapes, "encoder");
    let decoder = convolutions(shapes, "decoder");
    let size = |convolution: &Convolution, axis| shapes.size(&convolution.weight, axis);
    // The encoder's last convolution and the decoder's first one have the latent channels.
    let begins = &encoder[..encoder.len().saturating_sub(1)];
    let ends = decoder.get(1..).unwrap_or_default();
    Ok(json!({
        "_class_name": "AutoencoderTiny",
        "act_fn": "relu",
        "in_channels": begins.first().map_or(Ok(3), |first| size(first, 1))?,
        "out_channels": ends.last().map_or(Ok(3), |last| size(last, 0))?,
        "latent_channels": shapes.size("decoder.layers.0.weight", 1)?,
        "encoder_block_out_channels": begins.iter().map(|begin| size(begin, 0)).collect::<Result<Vec<_>>>()?,
        "num_encoder_blocks": begins.iter().map(|begin| begin.blocks_after).collect::<Vec<_>>(),
        "decoder_block_out_channels": ends.iter().map(|end| size(end, 1)).collect::<Result<Vec<_>>>()?,
        "num_decoder_blocks": ends.iter().map(|end| end.blocks_before).collect::<Vec<_>>(),
        "scaling_factor": 1.0,
        "shift_factor": 0.0,
    }))
}

/// A convolution among the numbered layers of a tiny autoencoder, with the number of blocks on each side. In the
/// encoder it begins a stage, in the decoder it ends one.
struct Convolution {
    weight: String,
    blocks_before: usize,
    blocks_after: usize,
}

fn convolutions(shapes: &Shapes<'_>, coder: &str) -> Vec<Convolution> {
    /// More layers than any tiny autoencoder has. Between the layers with tensors there are activations and upsamplers.
    const MOST: usize = 256;
    let mut found: Vec<Convolution> = Vec::new();
    let mut blocks = 0;
    for layer in (0..MOST).map(|number| format!("{coder}.layers.{number}.")) {
        let weight = format!("{layer}weight");
        if shapes.find(&weight).is_some() {
            found.push(Convolution { weight, blocks_before: blocks, blocks_after: 0 });
            blocks = 0;
        } else if shapes.has(&layer) {
            blocks += 1;
            if let Some(last) = found.last_mut() {
                last.blocks_after += 1;
            }
        }
    }
    found
}
