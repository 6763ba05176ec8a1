//! What a model draws when nothing else is asked for, read off its configuration.

use crate::sampling::{SchedulerClass, SchedulerConfig};
use serde_json::Value;

/// What a model draws when nothing else is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale.
    pub guidance_scale: f64,
}

/// A UNet that does not say its size was made for 64 latents.
const SAMPLE_SIZE: usize = 64;

/// Steps and guidance that suit the scheduler a model was published with. Distilled models are told by theirs: LCM and TCD
/// by the class, the Turbo models by Euler over trailing timesteps.
pub(super) fn usual(scheduler: &SchedulerConfig, json: &Value, is_xl: bool) -> (usize, f64) {
    let trailing = json["timestep_spacing"].as_str() == Some("trailing");
    match scheduler.class() {
        SchedulerClass::Lcm | SchedulerClass::Tcd => (4, 1.0),
        SchedulerClass::Euler | SchedulerClass::EulerAncestral if trailing => (4, 0.0),
        _ => (25, if is_xl { 5.0 } else { 7.5 }),
    }
}

impl Defaults {
    /// For a UNet's `config.json` and an autoencoder that makes `factor` pixels of a latent.
    pub(super) fn new(unet: &Value, factor: usize, (steps, guidance_scale): (usize, f64)) -> Self {
        let side = |value: &Value| value.as_u64().map(|latents| latents as usize * factor);
        let field = &unet["sample_size"];
        let fallback = SAMPLE_SIZE * factor;
        let [height, width] = match field {
            Value::Array(sides) => [sides.first(), sides.get(1)].map(|s| s.and_then(side).unwrap_or(fallback)),
            _ => [side(field).unwrap_or(fallback); 2],
        };
        Self { width, height, steps, guidance_scale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_come_from_the_unet() {
        let size = |value: Value| {
            let defaults = Defaults::new(&json!({ "sample_size": value }), 8, (1, 0.0));
            (defaults.width, defaults.height)
        };
        assert_eq!(size(json!(96)), (768, 768));
        assert_eq!(size(json!([64, 96])), (768, 512));
        assert_eq!(size(Value::Null), (512, 512));
    }

    #[test]
    fn distilled_models_are_told_by_their_scheduler() {
        let usual = |class: &str, spacing: &str| {
            let json = json!({ "_class_name": class, "timestep_spacing": spacing });
            super::usual(&SchedulerConfig::from_json(&json).unwrap(), &json, false)
        };
        assert_eq!(usual("EulerDiscreteScheduler", "trailing"), (4, 0.0));
        assert_eq!(usual("EulerDiscreteScheduler", "leading"), (25, 7.5));
        assert_eq!(usual("LCMScheduler", "leading"), (4, 1.0));
        assert_eq!(usual("PNDMScheduler", "leading"), (25, 7.5));
    }
}
