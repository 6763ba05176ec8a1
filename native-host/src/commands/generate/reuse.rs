//! The settings of an earlier picture from its metadata, for drawing it again, possibly with changes.

use super::plan::Plan;
use crate::args::{Format, PictureArgs, Vae};
use crate::picture;
use anyhow::{Result, bail};
use easel_host::model::ComponentPath;
use easel_host::names::{self, Place};
use easel_picture::Parameters;
use std::path::Path;

/// Names of settings that the pipeline does not record.
const QUALITY: &str = "JPEG quality";
const WEIGHTING: &str = "Prompt weighting";
const LONG_PROMPTS: &str = "Long prompts";
const TILING: &str = "Tiling";

/// The settings of an earlier picture; empty by default.
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

    pub(super) fn true_cfg_scale(&self) -> Option<f64> {
        self.parameters.true_cfg_scale
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

    /// The model's name, if it is a short name or a repository of the hub. Paths and names of existing files are not
    /// opened, because the picture may come from a stranger.
    pub(super) fn model(&self) -> Result<Option<String>> {
        let Some(name) = &self.parameters.model else { return Ok(None) };
        if let Ok(Place::Path(_)) = names::resolve(name) {
            bail!(
                "the picture of --from names {name:?}, a file or folder here: if that is the model, set it with --model"
            );
        }
        Ok(Some(name.clone()))
    }

    /// Refuses a setting with an invalid value unless an option replaces it, because ignoring it would silently draw
    /// another picture.
    pub(super) fn check(&self, args: &PictureArgs) -> Result<()> {
        let settings = [
            ("Seed", "--seed", args.seed.is_some()),
            ("Steps", "--steps", args.steps.is_some()),
            ("Size", "--width and --height", args.width.is_some() && args.height.is_some()),
            ("CFG scale", "--guidance-scale", args.guidance_scale.is_some()),
        ];
        for (key, option, is_given) in settings {
            if let Some(value) = self.other(key).filter(|_| !is_given) {
                bail!("the picture of --from has an invalid {key}, {value:?}: set it with {option}");
            }
        }
        Ok(())
    }

    pub(super) fn vae(&self) -> Option<Vae> {
        let name = self.parameters.vae.as_deref()?;
        [Vae::Tiny, Vae::Full].into_iter().find(|vae| vae.name() == name)
    }

    /// Layers to skip; the metadata counts from the last one, which is 1.
    pub(super) fn clip_skip(&self) -> Option<usize> {
        self.parameters.clip_skip.map(|layer| layer.saturating_sub(1))
    }

    pub(super) fn weighting(&self) -> bool {
        self.other(WEIGHTING).is_some()
    }

    pub(super) fn long_prompts(&self) -> bool {
        self.other(LONG_PROMPTS).is_some()
    }

    pub(super) fn tiling(&self) -> Option<bool> {
        self.other(TILING).map(|tiling| tiling == "on")
    }

    pub(super) fn quality(&self) -> Option<u8> {
        self.other(QUALITY)?.parse().ok()
    }

    /// The first replaced component of the picture's model that is not in `components`: its name and its file.
    pub(super) fn missing_component(&self, components: &[ComponentPath]) -> Option<(&str, &str)> {
        let noted = self.parameters.other.iter();
        let mut noted =
            noted.filter_map(|(key, file)| Some((key.strip_prefix(ComponentPath::SETTING)?, file.as_str())));
        noted.find(|(name, _)| components.iter().all(|component| component.name != *name))
    }

    fn other(&self, key: &str) -> Option<&str> {
        self.parameters.other.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// Adds the settings that affect the picture and that the pipeline does not record.
pub(super) fn complete(parameters: &mut Parameters, plan: &Plan) {
    let request = &plan.request;
    let on = |switch: bool| if switch { "on" } else { "off" }.to_owned();
    let settings = [
        (WEIGHTING, request.prompt_options.weighting.then(|| on(true))),
        (LONG_PROMPTS, request.prompt_options.long.then(|| on(true))),
        (TILING, request.tiling.map(on)),
        (QUALITY, plan.quality.map(|quality| quality.to_string())),
    ];
    parameters.vae = parameters.vae.take().or_else(|| plan.vae.map(|vae| vae.name().to_owned()));
    parameters.other.extend(settings.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
}
