//! CLIP as a whole (<https://arxiv.org/abs/2103.00020>): `CLIPModel` of transformers. Pictures and texts become vectors of the
//! same length, whose angle says how well they go together.

use super::clip_text::{ClipText, ClipTextConfig, is_left_over};
use super::clip_vision::{ClipVision, ClipVisionConfig};
use crate::fields::Fields;
use crate::weights::Weights;
use crate::{Error, Result, Tensor};
use serde_json::{Map, Value};

/// The sizes of both encoders.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipConfig {
    /// The text encoder.
    pub text: ClipTextConfig,
    /// The image encoder.
    pub vision: ClipVisionConfig,
}

impl ClipConfig {
    /// Reads a `config.json`; `file` is what errors call it.
    pub fn from_json(file: &str, json: &Value) -> Result<Self> {
        let fields = Fields::new(file, json)?;
        if fields.text("model_type")? != Some("clip") {
            let reason = format!("{}, expected \"clip\"", json["model_type"]);
            return Err(fields.error("model_type", reason));
        }
        let projection_dim = fields.size("projection_dim", 512)?;
        let text = Value::Object(half(json, "text"));
        let vision = half(json, "vision");
        let text = ClipTextConfig::from_json(&format!("{file}: text_config"), &text)?;
        let file = format!("{file}: vision_config");
        Ok(Self {
            text: ClipTextConfig { projection_dim: Some(projection_dim), ..text },
            vision: ClipVisionConfig::read(&Fields::of(&file, &vision), projection_dim)?,
        })
    }
}

/// The configuration of one encoder: `NAME_config`, and over it `NAME_config_dict`, which files of LAION have.
fn half(json: &Value, name: &str) -> Map<String, Value> {
    let object = |end: &str| json[format!("{name}_config{end}")].as_object().cloned().unwrap_or_default();
    let mut fields = object("");
    fields.extend(object("_dict"));
    fields
}

/// Both encoders with their weights.
pub struct Clip {
    /// Turns texts into vectors.
    pub text: ClipText,
    /// Turns pictures into vectors.
    pub vision: ClipVision,
    logit_scale: Tensor,
}

impl Clip {
    /// Takes the weights and complains about any that are left over.
    pub fn new(weights: &Weights, config: ClipConfig) -> Result<Self> {
        let clip = Self {
            text: ClipText::part_of(weights, config.text)?,
            vision: ClipVision::part_of(weights, config.vision)?,
            logit_scale: weights.get("logit_scale", &[])?,
        };
        weights.finish(is_left_over)?;
        Ok(clip)
    }

    /// The factor on cosines before the softmax. Waits for the device.
    pub async fn temperature(&self) -> Result<f32> {
        let scale = self.logit_scale.to_vec().await?;
        let scale = scale.first().copied().unwrap_or_default().exp();
        if scale.is_finite() { Ok(scale) } else { Err(Error::NotFinite { what: "logit_scale".into(), hint: "" }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_of_openai_and_laion_are_read() {
        let openai = json!({"model_type": "clip", "projection_dim": 768, "text_config_dict": null,
            "text_config": {"hidden_size": 768, "num_attention_heads": 12},
            "vision_config": {"hidden_size": 1024, "num_attention_heads": 16, "patch_size": 14}});
        let config = ClipConfig::from_json("config.json", &openai).unwrap();
        assert_eq!((config.text.projection_dim, config.vision.projection_dim), (Some(768), 768));
        assert_eq!((config.vision.patches(), config.vision.hidden_act), (256, crate::tensor::Activation::QuickGelu));
        let laion = json!({"model_type": "clip", "text_config": {}, "vision_config": {"hidden_size": 8},
            "text_config_dict": {"hidden_act": "gelu"}, "vision_config_dict": {"hidden_size": 1280, "hidden_act": "gelu",
            "num_attention_heads": 16}});
        let config = ClipConfig::from_json("config.json", &laion).unwrap();
        assert_eq!((config.vision.hidden_size, config.text.hidden_act), (1280, crate::tensor::Activation::Gelu));
    }

    #[test]
    fn other_files_are_refused_by_field() {
        let refused = |json: &Value| ClipConfig::from_json("config.json", json).unwrap_err().to_string();
        assert_eq!(
            refused(&json!({"model_type": "siglip"})),
            "config.json: field model_type: \"siglip\", expected \"clip\""
        );
        let odd = json!({"model_type": "clip", "vision_config": {"hidden_size": 10, "num_attention_heads": 3}});
        assert!(refused(&odd).starts_with("config.json: vision_config: field hidden_size: 10 is not divisible"));
        let small = json!({"model_type": "clip", "vision_config": {"image_size": 8}});
        assert!(refused(&small).contains("field image_size: 8, expected 32 to 4096"));
    }
}
