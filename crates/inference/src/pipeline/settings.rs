//! A request with every gap filled in from the model, checked against what the model can do.

use super::load::Pipeline;
use super::request::Request;
use crate::families::Defaults;
use crate::sampling::{Scheduler, SchedulerConfig};
use crate::{Error, Result};

/// A resolved request.
pub(super) struct Settings {
    /// Height and width in pixels.
    pub(super) size: [usize; 2],
    pub(super) steps: usize,
    pub(super) guidance_scale: f64,
    /// The denoiser runs on prompt and negative prompt.
    pub(super) guided: bool,
    pub(super) scheduler: SchedulerConfig,
}

impl Settings {
    pub(super) fn resolve(pipeline: &Pipeline, request: &Request) -> Result<Self> {
        request.validate()?;
        let defaults = pipeline.defaults();
        let step = pipeline.model.size_step();
        let size = resolve_size(request, defaults, step);
        for (field, size) in [("height", size[0]), ("width", size[1])] {
            if size % step != 0 {
                return Err(Error::invalid(field, format!("must be a multiple of {step} for this model, got {size}")));
            }
        }
        let scheduler = match &request.scheduler {
            Some(name) => name.parse::<Scheduler>()?.apply(&pipeline.scheduler)?,
            None => pipeline.scheduler.clone(),
        };
        let guidance_scale = request.guidance_scale.unwrap_or(defaults.guidance_scale);
        let guided = pipeline.model.is_guided(guidance_scale);
        Ok(Self { size, steps: request.steps.unwrap_or(defaults.steps), guidance_scale, guided, scheduler })
    }
}

/// The size asked for; else that of the picture to start from, in whole steps; else the model's own.
fn resolve_size(request: &Request, defaults: &Defaults, step: usize) -> [usize; 2] {
    let image = request.init.as_ref().map(|init| &init.image);
    let whole = |pixels: usize| (pixels / step * step).max(step);
    let height = request.height.or(image.map(|image| whole(image.height))).unwrap_or(defaults.height);
    let width = request.width.or(image.map(|image| whole(image.width))).unwrap_or(defaults.width);
    [height, width]
}
