//! The models that look at pictures, by name: CLIP and SAM.

use super::{Error, Result, available, hub};
use crate::names::Place;
use easel_inference::Device;
use easel_inference::analysis::{Clip, ClipFiles, SamFiles, Segmenter};
use easel_inference::weights::{ComponentFiles, Directory};
use pollster::block_on;
use std::path::PathBuf;

/// Loads a CLIP from its place.
pub fn load_clip(place: &Place, device: &Device) -> Result<Clip> {
    let folder = folder(place, "CLIP")?;
    let files = block_on(ClipFiles::open(&Directory::new(&folder))).map_err(|reason| of_cache(place, reason))?;
    check_memory(files.component(), device)?;
    Ok(block_on(Clip::load(&files, device))?)
}

/// Loads a SAM from its place.
pub fn load_sam(place: &Place, device: &Device) -> Result<Segmenter> {
    let folder = folder(place, "SAM")?;
    let files = block_on(SamFiles::open_path(&folder)).map_err(|reason| of_cache(place, reason))?;
    check_memory(files.component(), device)?;
    Ok(block_on(Segmenter::load(&files, device))?)
}

/// Refuses weights for which the processor does not have the memory. What a picture takes besides is not planned.
fn check_memory(files: &ComponentFiles, device: &Device) -> Result<()> {
    let needed = files.tensors.bytes();
    match available().filter(|_| matches!(device, Device::Cpu)) {
        Some(available) if needed > available => {
            let advice = "a smaller model may fit".to_owned();
            Err(easel_inference::Error::InsufficientMemory { needed, available, advice }.into())
        }
        _ => Ok(()),
    }
}

/// The folder, or the file, of a model on this machine.
fn folder(place: &Place, kind: &'static str) -> Result<PathBuf> {
    match place {
        Place::Stub | Place::Embedded => Err(Error::Draws { kind }),
        Place::Hub(repository) => hub::cached(repository),
        Place::Path(path) => Ok(path.clone()),
    }
}

/// An error that says how to complete what lacks in the cache.
fn of_cache(place: &Place, reason: easel_inference::Error) -> Error {
    match place {
        Place::Hub(repository) => Error::Cached { repository: repository.clone(), reason },
        _ => Error::Inference(reason),
    }
}
