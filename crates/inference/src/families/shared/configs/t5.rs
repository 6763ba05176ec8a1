//! The `config.json` of a T5 encoder.

use crate::Result;
use crate::families::shared::shapes::Shapes;
use serde_json::{Value, json};

/// The document. All T5 encoders of image models are of version 1.1.
pub(in crate::families) fn config(shapes: &Shapes<'_>) -> Result<Value> {
    let table = ["shared.weight", "encoder.embed_tokens.weight"].into_iter().find(|name| shapes.find(name).is_some());
    let table = table.unwrap_or("shared.weight");
    let bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
    let heads = shapes.size(bias, 1)?;
    Ok(json!({
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "vocab_size": shapes.size(table, 0)?,
        "d_model": shapes.size(table, 1)?,
        "d_kv": shapes.size("encoder.block.0.layer.0.SelfAttention.q.weight", 0)? / heads,
        "d_ff": shapes.size("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", 0)?,
        "num_layers": shapes.count("encoder.block"),
        "num_heads": heads,
        "relative_attention_num_buckets": shapes.size(bias, 0)?,
        "relative_attention_max_distance": 128,
        "feed_forward_proj": "gated-gelu",
        "dense_act_fn": "gelu_new",
        "layer_norm_epsilon": 1e-6,
    }))
}
