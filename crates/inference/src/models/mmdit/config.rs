//! The shape of an MMDiT, from `config.json`.

use crate::Result;
use crate::fields::Fields;
use serde_json::{Value, json};

/// The sizes of an MMDiT (`SD3Transformer2DModel`).
#[derive(Clone, Debug, PartialEq)]
pub struct MmditConfig {
    /// Channels of the latents.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Latents per token, in each direction.
    pub patch_size: usize,
    /// Joint blocks.
    pub num_layers: usize,
    /// Heads of each attention.
    pub num_attention_heads: usize,
    /// Width of one head.
    pub attention_head_dim: usize,
    /// Width of the text states.
    pub joint_attention_dim: usize,
    /// Width of the pooled text embedding.
    pub pooled_projection_dim: usize,
    /// Side of the table of positions, in tokens; smaller pictures use its middle.
    pub pos_embed_max_size: usize,
    /// Side of the latents that the model was trained on.
    pub sample_size: usize,
    /// Blocks in which the picture has an additional self-attention.
    pub dual_attention_layers: Vec<usize>,
    /// Whether the heads of queries and keys are normalised.
    pub qk_norm: bool,
}

impl MmditConfig {
    /// Reads a `config.json`; `file` is its name in errors.
    pub fn from_json(file: &str, json: &Value) -> Result<Self> {
        let fields = Fields::new(file, json)?;
        fields.only("qk_norm", json!("rms_norm"))?;
        let in_channels = fields.size("in_channels", 16)?;
        let config = Self {
            in_channels,
            out_channels: fields.size("out_channels", in_channels)?,
            patch_size: fields.size("patch_size", 2)?,
            num_layers: fields.size("num_layers", 18)?,
            num_attention_heads: fields.size("num_attention_heads", 18)?,
            attention_head_dim: fields.size("attention_head_dim", 64)?,
            joint_attention_dim: fields.size("joint_attention_dim", 4096)?,
            pooled_projection_dim: fields.size("pooled_projection_dim", 2048)?,
            pos_embed_max_size: fields.size("pos_embed_max_size", 96)?,
            sample_size: fields.size("sample_size", 128)?,
            dual_attention_layers: fields.integers("dual_attention_layers", &[])?,
            qk_norm: fields.value("qk_norm").is_some(),
        };
        // Text and picture are joined, so both streams have the same width.
        fields.only("caption_projection_dim", json!(config.width()))?;
        Ok(config)
    }

    /// Width of the streams.
    pub fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_values_are_errors_that_name_the_field() {
        let cases = [
            (json!({"qk_norm": "layer_norm"}), "qk_norm"),
            (json!({"caption_projection_dim": 64}), "caption_projection_dim"),
            (json!({"patch_size": 0}), "patch_size"),
            (json!({"dual_attention_layers": 2}), "dual_attention_layers"),
        ];
        for (json, field) in cases {
            let text = MmditConfig::from_json("transformer/config.json", &json).unwrap_err().to_string();
            assert!(text.starts_with(&format!("transformer/config.json: field {field}: ")), "{json}: {text}");
        }
        // https://huggingface.co/stabilityai/stable-diffusion-3.5-medium/blob/main/transformer/config.json
        let medium = json!({"num_attention_heads": 24, "caption_projection_dim": 1536, "qk_norm": "rms_norm"});
        assert_eq!(MmditConfig::from_json("config.json", &medium).unwrap().width(), 1536);
    }
}
