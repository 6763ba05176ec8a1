//! The `config.json` of an original checkpoint, from the shapes of its tensors under the names of transformers.

use crate::weights::TensorIndex;
use crate::{Error, Result};
use serde_json::{Value, json};

/// Heads of the attention in the mask decoder, which shapes don't show: those of every SAM that was published.
const DECODER_HEADS: usize = 8;

/// Epsilon of the mask decoder's transformer in the original code; transformers has 1e-6.
const DECODER_EPS: f64 = 1e-5;

/// The configuration of a SAM with these tensors.
pub(super) fn detect(index: &TensorIndex) -> Result<Value> {
    let shapes = Shapes { index };
    let width = shapes.of("mask_decoder.mask_tokens.weight", 2)?[1];
    let masks = shapes.of("mask_decoder.mask_tokens.weight", 2)?[0];
    let head = shapes.of("mask_decoder.iou_prediction_head.proj_in.weight", 2)?[0];
    let layers = shapes.count("mask_decoder.transformer.layers.", ".layer_norm1.weight");
    let inner = shapes.of("mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight", 2)?[0];
    let is_tiny = index.get("vision_encoder.patch_embed.seq.0.c.weight").is_some();
    Ok(json!({
        "model_type": "sam",
        "vision_config": if is_tiny { tiny_vit(&shapes)? } else { vit(&shapes)? },
        "prompt_encoder_config": {
            "hidden_size": width,
            "mask_input_channels": shapes.of("prompt_encoder.mask_embed.conv3.weight", 4)?[1],
        },
        "mask_decoder_config": {
            "hidden_size": width,
            "mlp_dim": shapes.of("mask_decoder.transformer.layers.0.mlp.lin1.weight", 2)?[0],
            "num_hidden_layers": layers,
            "num_attention_heads": DECODER_HEADS,
            "attention_downsample_rate": width / inner.max(1),
            "num_multimask_outputs": masks.saturating_sub(1),
            "iou_head_depth": 2 + shapes.count("mask_decoder.iou_prediction_head.layers.", ".weight"),
            "iou_head_hidden_dim": head,
            "layer_norm_eps": DECODER_EPS,
        },
    }))
}

fn vit(shapes: &Shapes<'_>) -> Result<Value> {
    let positions = shapes.of("vision_encoder.pos_embed", 4)?;
    let grid = positions[1];
    let width = positions[3];
    let patch = shapes.of("vision_encoder.patch_embed.projection.weight", 4)?[2];
    let layers = shapes.count("vision_encoder.layers.", ".layer_norm1.weight");
    let mut window = 14;
    let mut global = Vec::new();
    let mut head = 1;
    for layer in 0..layers {
        let table = shapes.of(&format!("vision_encoder.layers.{layer}.attn.rel_pos_h"), 2)?;
        head = table[1].max(1);
        let side = table[0].div_ceil(2);
        if side == grid { global.push(layer) } else { window = side }
    }
    Ok(json!({
        "hidden_size": width,
        "mlp_dim": shapes.of("vision_encoder.layers.0.mlp.lin1.weight", 2)?[0],
        "num_hidden_layers": layers,
        "num_attention_heads": width / head,
        "image_size": grid.saturating_mul(patch),
        "patch_size": patch,
        "window_size": window,
        "global_attn_indexes": global,
        "output_channels": shapes.of("vision_encoder.neck.conv1.weight", 4)?[0],
    }))
}

fn tiny_vit(shapes: &Shapes<'_>) -> Result<Value> {
    let mut widths = vec![shapes.of("vision_encoder.patch_embed.seq.2.c.weight", 4)?[0]];
    let mut depths = vec![shapes.count("vision_encoder.layers.0.blocks.", ".conv1.c.weight")];
    let mut heads = vec![1];
    let mut windows = vec![1];
    for stage in 1..4 {
        let biases = shapes.of(&format!("vision_encoder.layers.{stage}.blocks.0.attn.attention_biases"), 2)?;
        widths.push(shapes.of(&format!("vision_encoder.layers.{}.downsample.conv1.c.weight", stage - 1), 4)?[0]);
        depths.push(shapes.count(&format!("vision_encoder.layers.{stage}.blocks."), ".attn.attention_biases"));
        heads.push(biases[0]);
        // A number for every distance in rows and columns.
        windows.push(biases[1].isqrt());
    }
    Ok(json!({
        "model_type": "tiny_vit",
        "embed_dims": widths,
        "depths": depths,
        "num_heads": heads,
        "window_sizes": windows,
        "image_size": 1024,
        "patch_size": 16,
        "output_channels": shapes.of("vision_encoder.neck.conv1.weight", 4)?[0],
    }))
}

/// The shapes of a file's tensors.
struct Shapes<'a> {
    index: &'a TensorIndex,
}

impl Shapes<'_> {
    /// The shape of a tensor, which must have this number of axes.
    fn of(&self, name: &str, axes: usize) -> Result<&[usize]> {
        let shape = self.index.get(name).map(|view| view.shape());
        shape.filter(|shape| shape.len() == axes).ok_or_else(|| {
            let reason = format!("no tensor {name} of {axes} axes, expected a SAM");
            Error::format(self.index.file(), reason)
        })
    }

    /// The number of tensors whose name is `START`, a number, `END`.
    fn count(&self, start: &str, end: &str) -> usize {
        let numbered = |name: &str| {
            let number = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
            number.is_some_and(|number| number.parse::<usize>().is_ok())
        };
        self.index.iter().filter(|(name, _)| numbered(name)).count()
    }
}
