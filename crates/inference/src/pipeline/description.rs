//! A model described by its configurations alone, to check requests before any weight is read.

use super::request::{InitImage, Request};
use super::settings::Settings;
use super::start::first_call;
use crate::families::{Defaults, Model, ModelFiles, SamplingDefaults};
use crate::sampling::{Sampler, SchedulerConfig, StepOptions, TimestepOptions};
use crate::{Error, Result};

/// A model described by its configurations. Reading it takes milliseconds and little memory, so a service keeps the
/// descriptions of all its models, loaded or not.
pub struct Description {
    model: Box<dyn Model>,
    scheduler: SchedulerConfig,
    defaults: Defaults,
}

/// The properties of an initial picture that checks depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartPlan {
    /// How much of it to change, from 0 to 1.
    pub strength: f64,
    /// See [`InitImage::all_steps`].
    pub all_steps: bool,
    /// Whether there is a mask.
    pub has_mask: bool,
}

impl From<&InitImage> for StartPlan {
    fn from(init: &InitImage) -> Self {
        Self { strength: init.strength, all_steps: init.all_steps, has_mask: init.mask.is_some() }
    }
}

impl Description {
    /// Reads the configurations of a model. `sampling` replaces its family's steps and guidance scale, as in
    /// [`LoadOptions`](super::LoadOptions).
    ///
    /// # Errors
    /// For a configuration that its family does not support.
    pub fn read(files: &ModelFiles, sampling: Option<SamplingDefaults>) -> Result<Self> {
        let scheduler = SchedulerConfig::from_json(files.scheduler())?;
        let model = files.family().model(files, &scheduler)?;
        let mut defaults = model.defaults().clone();
        if let Some(sampling) = sampling {
            defaults = defaults.with_sampling(sampling);
        }
        Ok(Self { model, scheduler, defaults })
    }

    /// The defaults for requests that leave these values out.
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// Width and height are multiples of this many pixels.
    pub fn size_step(&self) -> usize {
        self.model.size_step()
    }

    /// Refuses every request that drawing would refuse, except for prompts that are too long for a model, and damaged
    /// weights. It uses `start` instead of [`Request::init`], so that the picture need not be decoded.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the name of the field.
    pub fn check(&self, request: &Request, start: Option<StartPlan>) -> Result<()> {
        let settings = Settings::resolve(&*self.model, &self.scheduler, &self.defaults, request)?;
        let sampler = sampler(&*self.model, request, &settings, start)?;
        match start {
            None if self.model.needs_mask() => Err(picture_missing()),
            Some(StartPlan { has_mask: false, .. }) if self.model.needs_mask() => Err(mask_missing()),
            Some(start) => first_call(&sampler, start).map(drop),
            None => Ok(()),
        }
    }
}

/// The sampler of a run.
pub(super) fn sampler(
    model: &dyn Model,
    request: &Request,
    settings: &Settings,
    start: Option<StartPlan>,
) -> Result<Sampler> {
    let options = StepOptions { eta: Some(request.eta), ..StepOptions::default() };
    let distilled = start.filter(|start| start.all_steps).map(|start| start.strength);
    let steps = TimestepOptions { steps: Some(settings.steps), strength: distilled, ..TimestepOptions::default() };
    let steps = model.timesteps(settings.size, &settings.scheduler, steps);
    Sampler::new(&settings.scheduler, &steps, &options)
}

/// The error of an inpainting model without a picture.
pub(super) fn picture_missing() -> Error {
    Error::invalid("init_image", "this is an inpainting model: it needs a picture and a mask")
}

/// The error of an inpainting model without a mask.
pub(super) fn mask_missing() -> Error {
    Error::invalid("mask", "this is an inpainting model: it needs a mask")
}
