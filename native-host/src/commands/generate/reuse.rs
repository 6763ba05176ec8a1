//! The settings of an earlier picture, taken from its metadata, for making it again or with something changed.

use crate::args::{Format, Vae};
use crate::picture;
use anyhow::Result;
use easel_inference::pipeline::Parameters;
use std::path::Path;

/// The key of the JPEG quality, which is no setting of the model but changes the file.
const QUALITY_KEY: &str = "JPEG quality";

/// What is known of an earlier picture; nothing by default.
#[derive(Default)]
pub(super) struct Reused {
    parameters: Parameters,
    /// The format of its file.
    pub(super) format: Option<Format>,
}

impl Reused {
    /// Reads a picture's metadata.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let (text, format) = picture::read_settings(file)?;
        let Ok(parameters) = text.parse();
        Ok(Self { parameters, format: Some(format) })
    }

    pub(super) fn prompt(&self) -> String {
        self.parameters.prompt.clone()
    }

    pub(super) fn negative_prompt(&self) -> Option<String> {
        self.parameters.negative_prompt.clone()
    }

    pub(super) fn seed(&self) -> Option<u64> {
        self.parameters.seed
    }

    /// Width and height.
    pub(super) fn size(&self) -> Option<(usize, usize)> {
        self.parameters.size
    }

    pub(super) fn steps(&self) -> Option<usize> {
        self.parameters.steps
    }

    pub(super) fn guidance_scale(&self) -> Option<f64> {
        self.parameters.cfg_scale
    }

    pub(super) fn guidance_rescale(&self) -> Option<f64> {
        self.parameters.guidance_rescale
    }

    pub(super) fn eta(&self) -> Option<f64> {
        self.parameters.eta
    }

    /// The scheduler with its schedule, as in `DPM++ 2M Karras`.
    pub(super) fn scheduler(&self) -> Option<String> {
        match self.parameters.sampler_and_schedule() {
            (Some(sampler), Some(schedule)) => Some(format!("{sampler} {schedule}")),
            (sampler, _) => sampler.map(str::to_owned),
        }
    }

    pub(super) fn strength(&self) -> Option<f64> {
        self.parameters.denoising_strength
    }

    pub(super) fn model(&self) -> Option<String> {
        self.parameters.model.clone()
    }

    pub(super) fn vae(&self) -> Option<Vae> {
        match self.parameters.vae.as_deref() {
            Some("tiny") => Some(Vae::Tiny),
            Some("full") => Some(Vae::Full),
            _ => None,
        }
    }

    /// Layers to skip; the metadata counts from the last one, which is 1.
    pub(super) fn clip_skip(&self) -> Option<usize> {
        self.parameters.clip_skip.map(|layer| layer.saturating_sub(1))
    }

    pub(super) fn weighting(&self) -> bool {
        self.other("Prompt weighting").is_some()
    }

    pub(super) fn long_prompts(&self) -> bool {
        self.other("Long prompts").is_some()
    }

    pub(super) fn quality(&self) -> Option<u8> {
        self.other(QUALITY_KEY)?.parse().ok()
    }

    fn other(&self, key: &str) -> Option<&str> {
        self.parameters.other.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// Notes a JPEG quality that was asked for, so that the same file can be made again.
pub(super) fn note_quality(parameters: &mut Parameters, quality: Option<u8>) {
    parameters.other.extend(quality.map(|quality| (QUALITY_KEY.to_owned(), quality.to_string())));
}
