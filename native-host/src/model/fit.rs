//! Chooses how to keep a model's components so that it fits this machine's memory.
//!
//! A GPU's free memory is unknown. If it is too small for the whole model, the pipeline finds out while loading.

use super::{LoadOptions, Result};
use easel_inference::Device;
use easel_inference::families::ModelFiles;
use easel_inference::pipeline::{self, Keeping, Pipeline, Request, Watcher, gibibytes};
use sysinfo::{MemoryRefreshKind, System};

/// Overrides the free memory of the system: digits, optionally followed by `M` or `G` for mebibytes or gibibytes.
const LIMIT: &str = "EASEL_MEMORY";

/// The most bytes per pixel in any current model while a picture is decoded as a whole.
const PIXEL: u64 = 8 << 10;

/// The available memory in bytes, according to the system, the container or `EASEL_MEMORY`. `None` if unknown.
pub fn available() -> Option<u64> {
    available_after(0)
}

/// The same after this process has freed this many bytes.
pub fn available_after(freed: u64) -> Option<u64> {
    let mut system = System::new().ok();
    if let Some(system) = &mut system {
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    }
    let of_container = system.as_ref().and_then(System::cgroup_limits).map(|limits| limits.free_memory);
    let of_system = system.map(|system| system.available_memory()).filter(|bytes| *bytes > 0);
    let limit = std::env::var(LIMIT).ok().and_then(|text| parse(&text));
    let free = [of_system, of_container].into_iter().flatten().min().map(|bytes| bytes.saturating_add(freed));
    [free, limit].into_iter().flatten().min()
}

fn parse(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" => 0,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_shl(unit)
}

/// The request that must fit into memory.
pub(super) fn request(options: &LoadOptions) -> Request {
    options.request.clone().unwrap_or_else(|| Request::new("", None, 0, 1))
}

/// How to keep the components of a model: according to the options, or else in the fastest way that fits. If that is
/// not all of them at once, it is reported as a warning.
///
/// # Errors
/// [`easel_inference::Error::InsufficientMemory`] if that way, or no way, fits.
pub(super) fn choose(
    files: &ModelFiles,
    load: &pipeline::LoadOptions,
    options: &LoadOptions,
    watcher: &mut dyn Watcher,
) -> Result<Keeping> {
    let asked = options.keeping;
    let is_open = matches!(options.device, Device::Cpu) && !options.is_planned;
    let Some(available) = available().filter(|_| is_open) else {
        return Ok(asked.unwrap_or(Keeping::All));
    };
    let request = request(options);
    let pipeline = Pipeline::new(files, load)?;
    if has_plenty(files, &pipeline, &request, available) {
        return Ok(asked.unwrap_or(Keeping::All));
    }
    // Errors in the request or the files are reported by drawing or loading.
    let Ok(needs) = pipeline.needs(&request) else { return Ok(asked.unwrap_or(Keeping::All)) };
    let Some(asked) = asked else {
        let chosen = needs.choose(available, Keeping::ways(None))?;
        if chosen == Keeping::InTurn {
            let all = gibibytes(needs.peak(Keeping::All));
            let free = gibibytes(available);
            let reason = format!("the whole model needs {all}, but only {free} are free");
            watcher.warning(&format!("{reason}: one component is loaded at a time (--low-memory)"));
        }
        return Ok(chosen);
    };
    Ok(needs.choose(available, &[asked])?)
}

/// Whether there is plenty of memory, so that no plan is needed.
fn has_plenty(files: &ModelFiles, pipeline: &Pipeline, request: &Request, available: u64) -> bool {
    let disk: u64 = files.components().map(|(_, component)| component.tensors.bytes()).sum();
    let width = request.width.unwrap_or(pipeline.defaults().width) as u64;
    let height = request.height.unwrap_or(pipeline.defaults().height) as u64;
    let pixels = width.saturating_mul(height).saturating_mul(request.batch_size as u64);
    // Some weights take twice their stored size in memory.
    disk.saturating_mul(2).saturating_add(pixels.saturating_mul(PIXEL)) < available / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LoadedModel, needs};
    use crate::names::Place;
    use easel_inference::pipeline::{CancelToken, Unwatched};

    #[test]
    fn limits_are_read() {
        let all = ["1000", "200M", "3G", "", "x", "5 GB", "99999999999999999999"].map(parse);
        assert_eq!(all, [Some(1000), Some(200 << 20), Some(3 << 30), None, None, None, None]);
    }

    #[test]
    fn this_machine_has_memory_and_more_once_some_is_freed() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
        assert!(available_after(1 << 50).is_some_and(|bytes| bytes > 1 << 50));
    }

    #[test]
    fn the_embedded_model_takes_little_and_a_large_picture_more() {
        let mut options = LoadOptions::new(Device::Cpu);
        let own = needs(&Place::Embedded, &options).unwrap().unwrap();
        assert_eq!(own.size, [128, 128]);
        let mut request = Request::new("a cat", None, 0, 1);
        (request.width, request.height) = (Some(512), Some(512));
        options.request = Some(request);
        let large = needs(&Place::Embedded, &options).unwrap().unwrap();
        assert!(large.peak(Keeping::All) > own.peak(Keeping::All) + (20 << 20));
        assert!(large.peak(Keeping::InTurn) < large.peak(Keeping::All));
        assert_eq!(needs(&Place::Stub, &options).unwrap(), None);
        LoadedModel::load("a", &Place::Embedded, &options, &mut Unwatched, &CancelToken::default()).unwrap();
    }
}
