//! The limits of requests, and the one place that checks them, whichever way a request arrives.
//!
//! The constants are the limits of the interface. The types of [`field`](crate::field) use them, and OpenAPI shows
//! them. [`Limits`] are a deployment's own, within those. The field types check single fields, and name them as the
//! client's family does. [`Check`] checks the rest, and also requests from components and the internal route, which do
//! not pass through field types. A service calls it before it queues anything.

mod analysis;

pub(crate) use analysis::{Frame, check_regions, check_texts};

use crate::Error;
use crate::service::{
    DeviceKind, Hires, ImageFilter, ImageRequest, InitImage, Model, Paging, Paste, Priority, Result, TaskFilter,
    TaskSelection, WatchOptions,
};
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// The smallest width and height in pixels.
pub const SIZE_MIN: u64 = 64;
/// The largest width and height in pixels.
pub const SIZE_MAX: u64 = 2048;
/// Widths and heights are multiples of this.
pub const SIZE_STEP: u64 = 8;
/// The most denoising steps of a picture: schedules have 1000 training timesteps.
pub const STEPS_MAX: u64 = 1000;
/// The most pictures per round, and the most rounds.
pub const ROUND_MAX: u64 = 16;
/// The most pictures of a request: all rounds with all their pictures.
pub const COUNT_MAX: u64 = ROUND_MAX * ROUND_MAX;
/// The largest guidance scale.
pub const GUIDANCE_MAX: i32 = 100;
/// The longest prompt and negative prompt in characters.
pub const PROMPT_MAX: usize = 10_000;
/// The longest name, of a model, a scheduler or a task, in characters.
pub const NAME_MAX: usize = 200;
/// The largest page number.
pub const PAGE_MAX: u64 = 1_000_000;
/// The most entries on a page of records.
pub const ENTRIES_MAX: u64 = 1000;
/// The most pictures on a page that contains their bytes.
pub const IMAGES_MAX: u64 = 100;
/// The most ids in a request.
pub const IDS_MAX: usize = 1000;
/// The most pixels of all pictures of a request: sixteen of the largest size, or 256 of 512x512.
pub const PIXELS_MAX: u64 = ROUND_MAX * SIZE_MAX * SIZE_MAX;
/// The most denoising steps of all pictures of a request.
pub const ALL_STEPS_MAX: u64 = COUNT_MAX * STEPS_MAX;
/// The largest standard deviation of a mask's blur, in pixels.
pub const BLUR_MAX: u64 = 64;
/// The most pixels that are drawn around a masked area.
pub const MARGIN_MAX: u64 = 256;
/// The most pixels of an initial picture.
pub const INIT_PIXELS_MAX: u64 = 64 << 20;
/// The most pixels of a picture that is analysed.
pub const ANALYSIS_PIXELS_MAX: u64 = 16 << 20;
/// The most texts of an analysis.
pub const TEXTS_MAX: usize = 256;
/// The longest text of an analysis, in characters. CLIP reads the first 75 tokens.
pub const TEXT_MAX: usize = 1000;
/// The most regions of an analysis.
pub const REGIONS_MAX: usize = 64;
/// The most prompts of a request that takes several.
pub const PROMPTS_MAX: usize = 16;

/// The limits of a deployment, within those of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest width and height in pixels.
    pub size: u64,
    /// The most denoising steps of a picture.
    pub steps: u64,
    /// The most pictures of a request.
    pub count: u64,
    /// The longest prompt in characters.
    pub prompt: usize,
    /// The most pixels of all pictures of a request: its count times width times height.
    pub pixels: u64,
    /// The most denoising steps of all pictures of a request: its count times its steps.
    pub all_steps: u64,
    /// The most pixels of an initial picture.
    pub init_pixels: u64,
    /// The most pixels of a picture that is analysed.
    pub analysis_pixels: u64,
}

impl Default for Limits {
    /// The limits of the interface, except for the sum of steps: hardly anyone wants more than 100 steps for each of
    /// 256 pictures.
    fn default() -> Self {
        Self {
            size: SIZE_MAX,
            steps: STEPS_MAX,
            count: COUNT_MAX,
            prompt: PROMPT_MAX,
            pixels: PIXELS_MAX,
            all_steps: COUNT_MAX * 100,
            init_pixels: INIT_PIXELS_MAX,
            analysis_pixels: ANALYSIS_PIXELS_MAX,
        }
    }
}

impl Limits {
    /// All limits: name, value, minimum and maximum.
    pub fn rows(&self) -> [(&'static str, u64, u64, u64); 8] {
        [
            ("limits.size", self.size, SIZE_MIN, SIZE_MAX),
            ("limits.steps", self.steps, 1, STEPS_MAX),
            ("limits.count", self.count, 1, COUNT_MAX),
            ("limits.prompt", self.prompt as u64, 1, PROMPT_MAX as u64),
            ("limits.pixels", self.pixels, SIZE_MIN * SIZE_MIN, PIXELS_MAX),
            ("limits.all_steps", self.all_steps, 1, ALL_STEPS_MAX),
            ("limits.init_pixels", self.init_pixels, 1, INIT_PIXELS_MAX),
            ("limits.analysis_pixels", self.analysis_pixels, 1, ANALYSIS_PIXELS_MAX),
        ]
    }
}

/// A value that is checked before a service acts on it. Every argument of a call implements it, so new ones must define
/// their check.
pub trait Check {
    /// Returns [`Error::InvalidField`] for the first value out of range.
    fn check(&self, limits: &Limits) -> Result<()>;
}

/// Implements [`Check`] for arguments that may have any value.
macro_rules! always_valid {
    ($($type:ty),*) => { $(impl Check for $type {
        fn check(&self, _: &Limits) -> Result<()> {
            Ok(())
        }
    })* };
}

always_valid!(u64, Priority, WatchOptions, Option<DeviceKind>);

/// The id of a task.
impl Check for String {
    fn check(&self, _: &Limits) -> Result<()> {
        name("id", self)
    }
}

impl Check for Paging {
    fn check(&self, _: &Limits) -> Result<()> {
        between("page", self.page.into(), 1, PAGE_MAX)?;
        between("limit", self.limit.into(), 1, ENTRIES_MAX)
    }
}

impl Check for TaskFilter {
    fn check(&self, limits: &Limits) -> Result<()> {
        self.paging.check(limits)
    }
}

impl Check for ImageFilter {
    fn check(&self, limits: &Limits) -> Result<()> {
        self.task_id.as_ref().map_or(Ok(()), |id| name("task_id", id))?;
        self.paging.check(limits)
    }
}

impl Check for TaskSelection {
    fn check(&self, _: &Limits) -> Result<()> {
        let ids = self.ids.as_deref().unwrap_or_default();
        if ids.len() > IDS_MAX {
            return Err(Error::invalid("task_ids", format!("must be at most {IDS_MAX} ids, got {}", ids.len())));
        }
        ids.iter().try_for_each(|id| name("task_ids", id))
    }
}

impl Check for ImageRequest {
    fn check(&self, limits: &Limits) -> Result<()> {
        text("prompt", &self.prompt, limits.prompt)?;
        text("negative_prompt", self.negative_prompt.as_deref().unwrap_or_default(), limits.prompt)?;
        for (field, size) in [("width", self.width), ("height", self.height)] {
            match size.map(u64::from) {
                Some(size) if self.model.as_deref() == Some(Model::STUB) => {
                    between(field, size, SIZE_MIN, limits.size)?;
                }
                Some(size) => check_size(field, size, limits.size)?,
                None => {}
            }
        }
        self.steps.map_or(Ok(()), |steps| between("steps", steps.into(), 1, limits.steps))?;
        self.guidance_scale.map_or(Ok(()), |scale| between("guidance_scale", scale, 0.0, GUIDANCE_MAX.into()))?;
        self.scheduler.as_deref().map_or(Ok(()), |scheduler| name("scheduler", scheduler))?;
        self.model.as_deref().map_or(Ok(()), |model| name("model", model))?;
        between("count", self.count.into(), 1, limits.count)?;
        if let Some(Hires { scale, width, height, steps, strength }) = self.hires {
            if self.init.is_some() {
                return Err(Error::invalid("hires", "cannot start from a picture"));
            }
            between("hires", scale, 1.0, 8.0)?;
            between("strength", strength, 0.0, 1.0)?;
            for (field, size) in [("hires.width", width), ("hires.height", height)] {
                size.map_or(Ok(()), |size| check_size(field, size.into(), limits.size))?;
            }
            steps.map_or(Ok(()), |steps| between("hires.steps", steps.into(), 1, limits.steps))?;
        }
        self.session.as_deref().map_or(Ok(()), |session| name("session", session))?;
        let quality = self.encoding.and_then(|encoding| encoding.quality);
        quality.map_or(Ok(()), |quality| between("quality", quality, 1, 100))?;
        self.init.as_ref().map_or(Ok(()), |InitImage { strength, .. }| between("strength", *strength, 0.0, 1.0))?;
        let mask = self.init.as_ref().and_then(|init| init.mask.as_ref());
        if let Some(Paste { blur, margin, .. }) = mask.and_then(|mask| mask.paste) {
            between("mask_blur", blur.into(), 0, BLUR_MAX)?;
            between("margin", margin.unwrap_or_default().into(), 0, MARGIN_MAX)?;
        }
        // Missing values count as 0 here; the service checks the sums again with the model's defaults.
        let [width, height, steps] = [self.width, self.height, self.steps].map(Option::unwrap_or_default);
        self.check_sums(width, height, steps, limits)
    }
}

impl ImageRequest {
    /// Checks the sums over all pictures if each has this size and these steps. A service calls it with the model's
    /// defaults in place of missing values.
    ///
    /// # Errors
    /// [`Error::InvalidField`] about `count`.
    pub fn check_sums(&self, width: u32, height: u32, steps: u32, limits: &Limits) -> Result<()> {
        let count = u64::from(self.count);
        let mut steps = steps;
        let mut width = width;
        let mut height = height;
        if let Some(hires) = self.hires {
            steps = steps.saturating_add(hires.steps(steps));
            (width, height) = hires.size(width, height);
            for side in [width, height].into_iter().filter(|side| *side > 0) {
                check_size("hires", side.into(), limits.size)?;
            }
        }
        let pixels = u64::from(width) * u64::from(height);
        if count.saturating_mul(pixels) > limits.pixels {
            let reason = format!(
                "{count} pictures of {width}x{height} are more than the {} pixels of one request: ask for at most {} or \
                 for smaller ones",
                limits.pixels,
                limits.pixels / pixels
            );
            return Err(Error::invalid("count", reason));
        }
        let all = count * u64::from(steps);
        if all > limits.all_steps {
            let reason = format!(
                "{count} pictures of {steps} steps take {all} steps, more than the {} of one request: ask for fewer",
                limits.all_steps
            );
            return Err(Error::invalid("count", reason));
        }
        Ok(())
    }
}

/// Checks that a number is within its bounds. A NaN is not.
fn between<T: PartialOrd + Display>(field: &str, value: T, low: T, high: T) -> Result<()> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(Error::invalid(field, format!("must be between {low} and {high}, got {value}")))
}

fn check_size(field: &str, size: u64, most: u64) -> Result<()> {
    if (SIZE_MIN..=most).contains(&size) && size.is_multiple_of(SIZE_STEP) {
        return Ok(());
    }
    let reason = format!("must be a multiple of {SIZE_STEP} between {SIZE_MIN} and {most}, got {size}");
    Err(Error::invalid(field, reason))
}

fn name(field: &str, name: &str) -> Result<()> {
    text(field, name, NAME_MAX)
}

fn text(field: &str, text: &str, most: usize) -> Result<()> {
    // Most texts have few enough bytes, so that their characters need not be counted.
    if text.len() <= most || text.chars().count() <= most {
        return Ok(());
    }
    Err(Error::invalid(field, format!("must have at most {most} characters, got {}", text.chars().count())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ImageRequest {
        ImageRequest { prompt: "a cat".into(), count: 1, ..ImageRequest::default() }
    }

    /// The error message for a changed request.
    fn refused(change: impl FnOnce(&mut ImageRequest)) -> String {
        let mut request = request();
        request.check(&Limits::default()).unwrap();
        change(&mut request);
        request.check(&Limits::default()).unwrap_err().to_string()
    }

    #[test]
    fn f1_every_field_out_of_range_is_refused_and_named() {
        assert_eq!(refused(|r| r.count = u32::MAX), "count: must be between 1 and 256, got 4294967295");
        assert_eq!(refused(|r| r.count = 0), "count: must be between 1 and 256, got 0");
        assert_eq!(refused(|r| r.width = Some(0)), "width: must be a multiple of 8 between 64 and 2048, got 0");
        assert_eq!(refused(|r| r.height = Some(513)), "height: must be a multiple of 8 between 64 and 2048, got 513");
        let odd =
            |r: &mut ImageRequest| (r.width, r.height, r.model) = (Some(2049), Some(513), Some(Model::STUB.into()));
        assert_eq!(refused(odd), "width: must be between 64 and 2048, got 2049", "of the stub only the range");
        assert_eq!(refused(|r| r.steps = Some(1001)), "steps: must be between 1 and 1000, got 1001");
        assert_eq!(
            refused(|r| r.guidance_scale = Some(f64::NAN)),
            "guidance_scale: must be between 0 and 100, got NaN"
        );
        assert_eq!(refused(|r| r.prompt = "é".repeat(10_001)), "prompt: must have at most 10000 characters, got 10001");
        assert_eq!(refused(|r| r.model = Some("m".repeat(201))), "model: must have at most 200 characters, got 201");
        let init = InitImage { bytes: vec![].into(), strength: -0.1, mask: None };
        assert_eq!(refused(|r| r.init = Some(init)), "strength: must be between 0 and 1, got -0.1");
    }

    #[test]
    fn f16_pictures_are_bounded_together() {
        let large = |r: &mut ImageRequest| (r.width, r.height, r.count) = (Some(2048), Some(2048), 17);
        assert_eq!(
            refused(large),
            "count: 17 pictures of 2048x2048 are more than the 67108864 pixels of one request: ask for at most 16 or for \
             smaller ones"
        );
        let long = |r: &mut ImageRequest| (r.steps, r.count) = (Some(1000), 26);
        assert_eq!(
            refused(long),
            "count: 26 pictures of 1000 steps take 26000 steps, more than the 25600 of one request: ask for fewer"
        );
    }

    #[test]
    fn a_deployment_may_allow_less() {
        let limits = Limits {
            size: 512,
            steps: 50,
            count: 4,
            prompt: 10,
            pixels: 512 * 512,
            all_steps: 60,
            ..Limits::default()
        };
        let refused = |change: fn(&mut ImageRequest)| {
            let mut request = request();
            change(&mut request);
            request.check(&limits).unwrap_err().to_string()
        };
        assert!(refused(|r| r.width = Some(520)).starts_with("width: must be a multiple of 8 between 64 and 512"));
        assert!(refused(|r| r.steps = Some(51)).starts_with("steps: "));
        assert!(refused(|r| r.count = 5).starts_with("count: "));
        assert!(refused(|r| r.prompt = "a".repeat(11)).starts_with("prompt: "));
        assert!(refused(|r| (r.width, r.height, r.count) = (Some(512), Some(512), 2)).starts_with("count: "));
        assert!(refused(|r| (r.steps, r.count) = (Some(50), 2)).starts_with("count: "));
    }

    #[test]
    fn lists_and_ids_are_bounded() {
        let limits = Limits::default();
        let paging = |page, limit| Paging { page, limit }.check(&limits).map_err(|error| error.to_string());
        assert_eq!(paging(1, 1000), Ok(()));
        assert_eq!(paging(0, 1), Err("page: must be between 1 and 1000000, got 0".into()));
        assert_eq!(paging(1, u32::MAX), Err("limit: must be between 1 and 1000, got 4294967295".into()));
        let many = TaskSelection { ids: Some(vec![String::new(); 1001]), status: None };
        assert_eq!(many.check(&limits).unwrap_err().to_string(), "task_ids: must be at most 1000 ids, got 1001");
        assert!("a".repeat(201).check(&limits).is_err());
    }
}
