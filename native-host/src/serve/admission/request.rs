//! Checks requests against the limits and against the model that they name, without loading its weights.

use super::super::Parts;
use super::super::engine;
use super::super::models::STUB_SIZE;
use easel_contract::service::{ImageRequest, Result};
use easel_contract::{Check, Error, Limits};
use easel_inference::pipeline::{Request, StartPlan};
use easel_inference::sampling::Scheduler;
use easel_inference::tensor::DeviceKind;
use easel_picture::Image;

/// What is known about a request that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) struct Plan {
    /// `[height, width]` of its pictures; `None` if the model is not on this machine and so nothing is known about it.
    pub(super) size: Option<[usize; 2]>,
}

impl Plan {
    /// The plan for pictures that keep their own size.
    pub(in crate::serve) fn without_size(self) -> Self {
        Self { size: None }
    }
}

/// Refuses a request that an engine would refuse later. Its model must be one that requests may name.
pub(in crate::serve) fn check(request: &ImageRequest, parts: &Parts) -> Result<Plan> {
    request.check(&parts.limits)?;
    check_part(request, &parts.limits)?;
    if let Some(name) = &request.scheduler {
        name.parse::<Scheduler>().map_err(refused)?;
    }
    let size = |width: u32, height: u32| {
        let [width, height] = [request.width.unwrap_or(width), request.height.unwrap_or(height)];
        [height as usize, width as usize]
    };
    let description = match parts.models.description(request.model.as_deref().unwrap_or_default()) {
        Ok(Some(description)) => description,
        Ok(None) => {
            request.check_sums(
                request.width.unwrap_or(STUB_SIZE),
                request.height.unwrap_or(STUB_SIZE),
                0,
                &parts.limits,
            )?;
            return Ok(Plan { size: Some(size(STUB_SIZE, STUB_SIZE)) });
        }
        // The task will fail when it is drawn, unless the model has been downloaded by then.
        Err(error) => {
            tracing::debug!(%error, "a model's configuration cannot be read");
            return Ok(Plan { size: None });
        }
    };
    let defaults = description.defaults();
    let [height, width] = size(number(defaults.width), number(defaults.height));
    let steps = request.steps.unwrap_or(number(defaults.steps));
    request.check_sums(number(width), number(height), steps, &parts.limits)?;
    let start = request.init.as_ref().map(|init| StartPlan {
        strength: init.strength,
        all_steps: false,
        has_mask: init.mask.is_some(),
    });
    let asked = engine::without_pictures(request);
    description.check(&asked, start).map_err(refused)?;
    check_memory(request.model.as_deref().unwrap_or_default(), &asked, parts)?;
    if let Some(hires) = request.hires {
        let (width, height) = hires.size(number(width), number(height));
        let second = engine::without_pictures(&engine::second(request, hires, (width, height)));
        let start = StartPlan { strength: hires.strength, all_steps: false, has_mask: false };
        description.check(&second, Some(start)).map_err(refused)?;
        check_memory(request.model.as_deref().unwrap_or_default(), &second, parts)?;
    }
    Ok(Plan { size: Some([height, width]) })
}

/// Refuses an initial picture that is larger than a result may be, if only a part of it is drawn: the result has its size.
fn check_part(request: &ImageRequest, limits: &Limits) -> Result<()> {
    let Some(init) = request.init.as_ref().filter(|init| init.is_drawn_in_part()) else { return Ok(()) };
    let size = Image::dimensions(&init.bytes).map_err(|error| Error::invalid("init_image", error.to_string()))?;
    let (width, height) = size;
    let most = limits.size;
    if width.max(height) as u64 > most {
        let reason = format!(
            "{width}x{height} pixels, expected at most {most}x{most} if only the masked area is drawn: make it smaller, or \
             draw all of it"
        );
        return Err(Error::invalid("init_image", reason));
    }
    Ok(())
}

/// Refuses a picture that takes more memory than this machine has, also if all models that are loaded now leave.
fn check_memory(name: &str, asked: &Request, parts: &Parts) -> Result<()> {
    let Some(memory) = parts.models.memory().filter(|_| parts.devices.selected() == DeviceKind::Cpu) else {
        return Ok(());
    };
    // What cannot be planned is reported by the task.
    let Ok(Some(needs)) = parts.models.needs(name, asked) else { return Ok(()) };
    match needs.choose(memory, parts.models.ways()) {
        Err(easel_inference::Error::InsufficientMemory { needed, available, advice }) => {
            Err(Error::InsufficientMemory { model: parts.models.public(name).to_owned(), needed, available, advice })
        }
        _ => Ok(()),
    }
}

fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// The pipeline's error as one of the contract's.
fn refused(error: easel_inference::Error) -> Error {
    let text = error.to_string();
    let field = match &error {
        easel_inference::Error::Invalid { field, .. } => *field,
        // The schedule cannot be sampled with.
        _ => "scheduler",
    };
    let reason = text.strip_prefix(field).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text);
    Error::invalid(field, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Config;
    use easel_contract::service::{Hires, InitImage, Mask, Paste, Redraw};

    /// The message of the refusal of a request to the embedded model.
    fn refusal(change: impl FnOnce(&mut ImageRequest)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data: folder.path().to_owned(), ..Config::default() };
        let parts = Parts::new(&config).unwrap();
        let mut request = ImageRequest {
            prompt: "a cat".into(),
            model: Some(crate::embedded::NAME.into()),
            count: 1,
            ..ImageRequest::default()
        };
        assert_eq!(check(&request, &parts), Ok(Plan { size: Some([128, 128]) }));
        change(&mut request);
        check(&request, &parts).unwrap_err().to_string()
    }

    #[test]
    fn f12_requests_beyond_the_model_are_refused_before_they_are_queued() {
        let scheduler = |name: &str, steps| {
            refusal(|request| (request.scheduler, request.steps) = (Some(name.to_owned()), Some(steps)))
        };
        assert!(scheduler("pndm", 3).starts_with("steps: must be at least 4 for a Runge-Kutta start, got 3"));
        assert!(scheduler("lcm", 51).starts_with("steps: must be at most 50, the length of the distilled schedule"));
        assert!(scheduler("flow-match-euler", 4).starts_with("scheduler: "));
        assert!(scheduler("magic", 4).starts_with("scheduler: expected one of "));
        let init = |strength| Some(InitImage { bytes: vec![].into(), strength, mask: None });
        assert!(refusal(|request| request.init = init(0.0)).starts_with("strength: 0 leaves no steps"));
        let little = |request: &mut ImageRequest| (request.init, request.steps) = (init(0.1), Some(5));
        assert!(refusal(little).starts_with("strength: 0.1 leaves no steps"));
    }

    #[test]
    fn a_picture_that_is_drawn_again_is_checked_in_its_new_size() {
        let hires = |scale, strength| Some(Hires { scale, width: None, height: None, steps: None, strength });
        let refused = refusal(|request| (request.hires, request.width) = (hires(8.0, 0.5), Some(1024)));
        assert_eq!(refused, "hires: must be a multiple of 8 between 64 and 2048, got 8192");
        let refused = refusal(|request| request.hires = hires(2.0, 0.0));
        assert!(refused.starts_with("strength: 0 leaves no steps"), "{refused}");
    }

    #[test]
    fn a_picture_that_is_drawn_in_part_is_as_large_as_a_result_may_be() {
        let png = |width: usize| {
            let image = Image::stub(width, 8).unwrap();
            image.encode(easel_picture::ImageFormat::Png, &easel_picture::EncodeOptions::default()).unwrap()
        };
        let init = |bytes: Vec<u8>, margin| {
            let paste = Some(Paste { blur: 4, margin, fill: false });
            let mask = Mask { bytes: bytes.clone().into(), redraw: Redraw::White, paste };
            Some(InitImage { bytes: bytes.into(), strength: 0.5, mask: Some(mask) })
        };
        let refused = refusal(|request| request.init = init(png(2056), Some(32)));
        assert!(refused.starts_with("init_image: 2056x8 pixels, expected at most 2048x2048"), "{refused}");
        let broken = refusal(|request| request.init = init(b"GIF".to_vec(), Some(32)));
        assert!(broken.starts_with("init_image: "), "{broken}");
        let soft = refusal(|request| {
            request.init = init(png(64), None);
            if let Some(paste) = request.init.as_mut().and_then(|init| init.mask.as_mut()?.paste.as_mut()) {
                paste.blur = 65;
            }
        });
        assert_eq!(soft, "mask_blur: must be between 0 and 64, got 65");
    }

    #[test]
    fn f12_missing_settings_count_as_the_models_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { all_steps: 1, ..Limits::default() };
        let config = Config { data: folder.path().to_owned(), limits, ..Config::default() };
        let parts = Parts::new(&config).unwrap();
        let model = Some(crate::embedded::NAME.into());
        let request = ImageRequest { prompt: "a cat".into(), model, count: 1, ..ImageRequest::default() };
        assert!(check(&request, &parts).unwrap_err().to_string().starts_with("count: 1 pictures of "));
    }
}
