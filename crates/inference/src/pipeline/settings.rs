//! A request with all missing fields filled in from the model, and checked against the model's limits.

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
    /// The scale of classifier-free guidance; `None` if the denoiser only runs on the prompt.
    pub(super) guidance: Option<f64>,
    pub(super) scheduler: SchedulerConfig,
}

impl Settings {
    /// Resolves a request. `own` is the scheduler that the model was published with.
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

/// The requested size, or else that of the initial picture in whole steps, or else the model's default.
fn resolve_size(request: &Request, defaults: &Defaults, step: usize) -> [usize; 2] {
    let image = request.init.as_ref().map(|init| &init.image);
    let whole = |pixels: usize| (pixels / step * step).max(step);
    let height = request.height.or(image.map(|image| whole(image.height))).unwrap_or(defaults.height);
    let width = request.width.or(image.map(|image| whole(image.width))).unwrap_or(defaults.width);
    [height, width]
}
