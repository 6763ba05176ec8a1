//! The `config.json` of a CLIP text encoder.

use crate::Result;
use crate::families::shared::shapes::Shapes;
use serde_json::{Value, json};

/// Channels of one attention head in all sizes of CLIP.
const HEAD_WIDTH: usize = 64;

/// The width of the hidden states.
pub(in crate::families) fn width(shapes: &Shapes<'_>) -> Option<usize> {
    shapes.find("text_model.embeddings.token_embedding.weight").and_then(|shape| shape.get(1)).copied()
}

/// The document. OpenCLIP's models have the exact GELU, OpenAI's an approximation.
pub(in crate::families) fn config(shapes: &Shapes<'_>, is_open_clip: bool) -> Result<Value> {
    let width = shapes.size("text_model.embeddings.token_embedding.weight", 1)?;
    let projection = shapes.find("text_projection.weight").and_then(|shape| shape.first()).copied();
    let class = if projection.is_some() { "CLIPTextModelWithProjection" } else { "CLIPTextModel" };
    Ok(json!({
        "architectures": [class],
        "model_type": "clip_text_model",
        "vocab_size": shapes.size("text_model.embeddings.token_embedding.weight", 0)?,
        "max_position_embeddings": shapes.size("text_model.embeddings.position_embedding.weight", 0)?,
        "hidden_size": width,
        "intermediate_size": shapes.size("text_model.encoder.layers.0.mlp.fc1.weight", 0)?,
        "num_hidden_layers": shapes.count("text_model.encoder.layers"),
        "num_attention_heads": (width / HEAD_WIDTH).max(1),
        "hidden_act": if is_open_clip { "gelu" } else { "quick_gelu" },
        "layer_norm_eps": 1e-5,
        "projection_dim": projection.unwrap_or(width),
        // As in the published files: the pooled state is that of the token with the highest id.
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }))
}
