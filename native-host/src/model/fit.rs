//! Whether a model fits the memory of this machine, and how it is held so that it does.
//!
//! A GPU's free memory is not known: where it has no room for all of a model, the pipeline finds out when it loads.

use super::{LoadOptions, Result};
use easel_inference::Device;
use easel_inference::families::ModelFiles;
use easel_inference::pipeline::{self, Keeping, Pipeline, Request, Watcher, gibibytes};
use sysinfo::{MemoryRefreshKind, ProcessesToUpdate, System, get_current_pid};

/// Bytes that may be taken, whatever the system says: digits, with `M` or `G` behind them for mebibytes or gibibytes.
const LIMIT: &str = "EASEL_MEMORY";

/// What a pixel takes at most, in any model of today, while its picture is decoded in one piece.
const PIXEL: u64 = 8 << 10;

/// Bytes that programs can take now without others being moved to disk: what the system says, or the container, or
/// `EASEL_MEMORY`. `None` if nobody knows.
pub fn available() -> Option<u64> {
    let mut system = System::new().ok();
    if let Some(system) = &mut system {
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    }
    let of_container = system.as_ref().and_then(System::cgroup_limits).map(|limits| limits.free_memory);
    let of_system = system.map(|system| system.available_memory()).filter(|bytes| *bytes > 0);
    let limit = std::env::var(LIMIT).ok().and_then(|text| parse(&text));
    [of_system, of_container, limit].into_iter().flatten().min()
}

/// Bytes that this process has in memory.
pub fn own() -> u64 {
    let Ok(id) = get_current_pid() else { return 0 };
    let Ok(mut system) = System::new() else { return 0 };
    system.refresh_processes(ProcessesToUpdate::Some(&[id]), false);
    system.process(id).map_or(0, sysinfo::Process::memory)
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

/// The request that there must be memory for.
pub(super) fn request(options: &LoadOptions) -> Request {
    options.request.clone().unwrap_or_else(|| Request::new("", None, 0, 1))
}

/// How the components of a model are held: as the options say, else in the fastest way that fits. Says so where that is not
/// all of them at once.
///
/// # Errors
/// [`easel_inference::Error::InsufficientMemory`] if they cannot be held in that way, or in any.
pub(super) fn choose(
    files: &ModelFiles,
    load: &pipeline::LoadOptions,
    options: &LoadOptions,
    watcher: &mut dyn Watcher,
) -> Result<Keeping> {
    let asked = options.keeping;
    let Some(available) = available().filter(|_| matches!(options.device, Device::Cpu)) else {
        return Ok(asked.unwrap_or(Keeping::All));
    };
    let request = request(options);
    let pipeline = Pipeline::new(files, load)?;
    if has_plenty(files, &pipeline, &request, available) {
        return Ok(asked.unwrap_or(Keeping::All));
    }
    // What is wrong with the request or the files is said by those who draw or load.
    let Ok(needs) = pipeline.needs(&request) else { return Ok(asked.unwrap_or(Keeping::All)) };
    let Some(asked) = asked else {
        let chosen = needs.choose(available, &[Keeping::All, Keeping::InTurn])?;
        if chosen == Keeping::InTurn {
            let all = gibibytes(needs.peak(Keeping::All));
            let free = gibibytes(available);
            let reason = format!("all of the model takes {all} and {free} are free");
            watcher.warning(&format!("{reason}: one component is loaded at a time (--low-memory)"));
        }
        return Ok(chosen);
    };
    Ok(needs.choose(available, &[asked])?)
}

/// Whether there is so much memory that it need not be found out how much a request takes.
fn has_plenty(files: &ModelFiles, pipeline: &Pipeline, request: &Request, available: u64) -> bool {
    let disk: u64 = files.components().map(|(_, component)| component.tensors.bytes()).sum();
    let width = request.width.unwrap_or(pipeline.defaults().width) as u64;
    let height = request.height.unwrap_or(pipeline.defaults().height) as u64;
    let pixels = width.saturating_mul(height).saturating_mul(request.batch_size as u64);
    // Some weights are held in twice the bytes that they are stored in.
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
    fn this_machine_has_memory_and_this_process_uses_some_of_it() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
        assert!(own() > 1 << 20);
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
