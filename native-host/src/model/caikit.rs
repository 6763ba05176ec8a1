//! Reads Caikit's `config.yml` in a model's folder (`caikit.core.modules.config` in <https://github.com/caikit/caikit>): the
//! kind of model, and the place of its files.

use super::{Error, Result};
use crate::names::Place;
use easel_contract::service::Module;
use saphyr_parser::{Event, Parser, ScanError};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// The name of the file.
const FILE: &str = "config.yml";

/// The most bytes of the file that are read.
const MOST: u64 = 64 << 10;

/// The field with the folder in the layout of diffusers.
const PIPELINE: &str = "sdxl_model";

/// The kind of model that its folder names. `None` if there is no readable file.
pub fn module(place: &Place) -> Option<Module> {
    match place {
        Place::Path(folder) => of(folder),
        _ => None,
    }
}

fn of(folder: &Path) -> Option<Module> {
    let mut fields = read(folder).ok()??;
    let mut field = |name| fields.remove(name).unwrap_or_default();
    let module = Module { id: field("module_id"), name: field("name"), version: field("version") };
    (module != Module::default()).then_some(module)
}

/// The place of the model files in a folder: the one that Caikit's file names, or else the folder itself.
///
/// # Errors
/// [`Error::CaikitConfig`] if the file cannot be read or names a place outside the folder.
pub(super) fn pipeline(folder: &Path) -> Result<PathBuf> {
    let Some(place) = read(folder)?.and_then(|mut fields| fields.remove(PIPELINE)) else {
        return Ok(folder.to_owned());
    };
    let is_inside = |part| matches!(part, Component::CurDir | Component::Normal(_));
    if !Path::new(&place).components().all(is_inside) {
        return Err(refused(folder, format!("{PIPELINE} must be a folder beside this file, got {place:?}")));
    }
    Ok(folder.join(place))
}

/// The fields of the file. `None` if there is no file.
fn read(folder: &Path) -> Result<Option<BTreeMap<String, String>>> {
    let Ok(file) = std::fs::File::open(folder.join(FILE)) else { return Ok(None) };
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).map_err(|error| refused(folder, error.to_string()))?;
    scalars(&text).map(Some).map_err(|error| refused(folder, error.to_string()))
}

fn refused(folder: &Path, reason: String) -> Error {
    Error::CaikitConfig { path: folder.join(FILE), reason }
}

/// The fields of a document that have a single value. Aliases are not followed, because a few of them can stand for more than
/// fits in memory.
fn scalars(text: &str) -> std::result::Result<BTreeMap<String, String>, ScanError> {
    let mut fields = BTreeMap::new();
    let mut depth = 0;
    let mut name = None;
    for event in Parser::new_from_str(text) {
        match event?.0 {
            Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => {
                depth -= 1;
                name = None;
            }
            Event::Alias(_) if depth == 1 => name = None,
            Event::Scalar(text, ..) if depth == 1 => match name.take() {
                Some(name) => drop(fields.insert(name, text.into_owned())),
                None => name = Some(text.into_owned()),
            },
            _ => {}
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "caikit_computer_vision_version: 0.0.1\ncreated: \"2024-06-24 14:03:31.930040\"\nmodule_id: \
                         28aa777c-1b13-21b0-11b3-bb9c3b0cbb56\nname: Text to Image via SDXL\nsdxl_model: ./sdxl_model\n\
                         versions: {a: 1, name: x}\nversion: 0.1.0\n";

    fn folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        folder
    }

    #[test]
    fn a_folder_names_its_kind_and_its_files() {
        let saved = folder(SAVED);
        let module = module(&Place::Path(saved.path().to_owned())).unwrap();
        assert_eq!(module.id, "28aa777c-1b13-21b0-11b3-bb9c3b0cbb56");
        assert_eq!((module.name.as_str(), module.version.as_str()), ("Text to Image via SDXL", "0.1.0"));
        assert_eq!(pipeline(saved.path()).unwrap(), saved.path().join("./sdxl_model"));
    }

    #[test]
    fn other_folders_are_read_as_they_are() {
        for text in ["", "a: [1, 2]", "- a\n- b", "just text"] {
            let other = folder(text);
            assert_eq!((of(other.path()), pipeline(other.path()).unwrap()), (None, other.path().to_owned()), "{text}");
        }
        let none = tempfile::tempdir().unwrap();
        assert_eq!(pipeline(none.path()).unwrap(), none.path());
    }

    #[test]
    fn a_place_outside_and_a_broken_file_are_refused() {
        for text in ["sdxl_model: ../other", "sdxl_model: /etc", "a: [", "a: \"\\q\""] {
            let message = pipeline(folder(text).path()).unwrap_err().to_string();
            assert!(message.contains("config.yml: "), "{text}: {message}");
        }
    }

    #[test]
    fn a_few_aliases_cannot_fill_the_memory() {
        let mut bomb = "a0: &a0 [lol]\n".to_owned();
        for level in 1..60 {
            bomb += &format!("a{level}: &a{level} [*a{}, *a{}]\n", level - 1, level - 1);
        }
        assert_eq!(pipeline(folder(&bomb).path()).ok().map(|_| ()), Some(()));
    }
}
