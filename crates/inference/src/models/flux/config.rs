//! The shape of a FLUX.1 transformer, from `config.json`.

use crate::Result;
use crate::fields::Fields;
use serde_json::{Value, json};

/// The axes of a position: one that is constant, row and column.
pub(super) const AXES: usize = 3;

/// How the published models divide a head's channels among the axes.
const AXES_DIMS: [usize; AXES] = [16, 56, 56];

/// The sizes of a FLUX.1 transformer (`FluxTransformer2DModel`).
#[derive(Clone, Debug, PartialEq)]
pub struct FluxConfig {
    /// Channels of a token, which is a square of latents.
    pub in_channels: usize,
    /// Channels of a token's prediction.
    pub out_channels: usize,
    /// Double blocks, in which picture and text are two streams.
    pub num_layers: usize,
    /// Single blocks, in which they are one stream.
    pub num_single_layers: usize,
    /// Width of one head.
    pub attention_head_dim: usize,
    /// Heads of each attention.
    pub num_attention_heads: usize,
    /// Width of the text states.
    pub joint_attention_dim: usize,
    /// Width of the pooled text embedding.
    pub pooled_projection_dim: usize,
    /// Whether the guidance scale is an input.
    pub guidance_embeds: bool,
    /// Channels of a head per axis of a position.
    pub axes_dims_rope: [usize; AXES],
}

impl FluxConfig {
    /// Reads a `config.json`; `file` is its name in errors.
    pub fn from_json(file: &str, json: &Value) -> Result<Self> {
        let fields = Fields::new(file, json)?;
        fields.only("patch_size", json!(1))?;
        let in_channels = fields.size("in_channels", 64)?;
        let attention_head_dim = fields.size("attention_head_dim", 128)?;
        Ok(Self {
            in_channels,
            out_channels: fields.size("out_channels", in_channels)?,
            num_layers: fields.size("num_layers", 19)?,
            num_single_layers: fields.size("num_single_layers", 38)?,
            attention_head_dim,
            num_attention_heads: fields.size("num_attention_heads", 24)?,
            joint_attention_dim: fields.size("joint_attention_dim", 4096)?,
            pooled_projection_dim: fields.size("pooled_projection_dim", 768)?,
            guidance_embeds: fields.flag("guidance_embeds", false)?,
            axes_dims_rope: axes(&fields, attention_head_dim)?,
        })
    }

    /// Width of the streams.
    pub fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }
}

/// The channels per axis, which must add up to those of a head.
fn axes(fields: &Fields<'_>, head: usize) -> Result<[usize; AXES]> {
    const FIELD: &str = "axes_dims_rope";
    let dims = fields.integers(FIELD, &AXES_DIMS)?;
    let sum = dims.iter().try_fold(0_usize, |sum, dim| sum.checked_add(*dim));
    match <[usize; AXES]>::try_from(dims.as_slice()) {
        Ok(axes) if sum == Some(head) && axes.iter().all(|dim| dim.is_multiple_of(2)) => Ok(axes),
        _ => {
            let reason = format!("{dims:?}, expected {AXES} even numbers that add up to attention_head_dim, {head}");
            Err(fields.error(FIELD, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_values_are_errors_that_name_the_field() {
        let cases = [
            (json!({"patch_size": 2}), "patch_size"),
            (json!({"attention_head_dim": 64}), "axes_dims_rope"),
            (json!({"axes_dims_rope": [64, 64]}), "axes_dims_rope"),
            (json!({"axes_dims_rope": [15, 57, 56]}), "axes_dims_rope"),
            (json!({"axes_dims_rope": [u64::MAX, 57, 56]}), "axes_dims_rope"),
            (json!({"guidance_embeds": 1}), "guidance_embeds"),
            (json!({"num_single_layers": 0}), "num_single_layers"),
        ];
        for (json, field) in cases {
            let text = FluxConfig::from_json("transformer/config.json", &json).unwrap_err().to_string();
            assert!(text.starts_with(&format!("transformer/config.json: field {field}: ")), "{json}: {text}");
        }
        // https://huggingface.co/black-forest-labs/FLUX.1-schnell/blob/main/transformer/config.json has no axes.
        let schnell = json!({"attention_head_dim": 128, "num_attention_heads": 24, "guidance_embeds": false});
        let config = FluxConfig::from_json("config.json", &schnell).unwrap();
        assert_eq!((config.width(), config.axes_dims_rope), (3072, [16, 56, 56]));
    }
}
