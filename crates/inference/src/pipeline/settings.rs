//! A request with every gap filled in from the model, checked against what the model can do.

use super::request::Request;
use crate::families::{Defaults, Model};
use crate::sampling::{Scheduler, SchedulerConfig};
use crate::{Error, Result};

/// A resolved request.
pub(super) struct Settings {
    /// Height and width in pixels.
    pub(super) size: [usize; 2],
    pub(super) steps: usize,
    pub(super) guidance_scale: f64,
    /// The scale for the predictions for prompt and negative prompt; `None` if the denoiser runs on the prompt alone.
    pub(super) guidance: Option<f64>,
    pub(super) scheduler: SchedulerConfig,
}

impl Settings {
    /// `own` is the scheduler that the model was published with.
    pub(super) fn resolve(
        model: &dyn Model,
        own: &SchedulerConfig,
        defaults: &Defaults,
        request: &Request,
    ) -> Result<Self> {
        request.validate()?;
        let step = model.size_step();
        let size = resolve_size(request, defaults, step);
        for (field, size) in [("height", size[0]), ("width", size[1])] {
            if size % step != 0 {
                return Err(Error::invalid(field, format!("must be a multiple of {step} for this model, got {size}")));
            }
        }
        let scheduler = match &request.scheduler {
            Some(name) => name.parse::<Scheduler>()?.apply(own)?,
            None => own.clone(),
        };
        let guidance_scale = request.guidance_scale.unwrap_or(defaults.guidance_scale);
        let guidance = model.guidance(guidance_scale, request)?;
        Ok(Self { size, steps: request.steps.unwrap_or(defaults.steps), guidance_scale, guidance, scheduler })
    }

    /// Whether the denoiser runs on prompt and negative prompt.
    pub(super) fn is_guided(&self) -> bool {
        self.guidance.is_some()
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
