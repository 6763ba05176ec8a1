//! The folder of models (`--models`): each sub-folder and each file in it that looks like a model, by its name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The extensions of files that may hold a whole model.
const EXTENSIONS: [&str; 3] = ["safetensors", "gguf", "ckpt"];

/// What makes a folder a model: diffusers' index, or the configuration that Caikit keeps beside it.
const MARKS: [&str; 2] = ["model_index.json", "config.yml"];

/// The models of a folder, in the order of their names: what clients call each, and where it is. Hidden entries are left
/// out. A file is called by its name without the extension, unless another model has that name.
///
/// # Errors
/// If the folder cannot be read.
pub(in crate::serve) fn models(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(|path| is_model(path)).collect();
    paths.sort();
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for path in paths {
        let short = if path.is_dir() { path.file_name() } else { path.file_stem() };
        let names = [short, path.file_name()].into_iter().flatten().filter_map(|name| name.to_str());
        let free = names.map(str::to_owned).find(|name| found.iter().all(|(taken, _)| taken != name));
        if let Some(name) = free {
            found.push((name, path));
        }
    }
    Ok(found)
}

/// Whether this looks like a model. What is inside is read when it is asked for.
fn is_model(path: &Path) -> bool {
    let is_hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !is_hidden && if path.is_dir() { is_model_folder(path) } else { is_checkpoint(path) }
}

fn is_model_folder(path: &Path) -> bool {
    let mut entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    MARKS.iter().any(|mark| path.join(mark).is_file()) || entries.any(|path| is_checkpoint(&path))
}

fn is_checkpoint(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.is_file() && extension.is_some_and(|own| EXTENSIONS.iter().any(|known| own.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_folders_and_files_are_models_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["sdxl_turbo_model/model_index.json", "caikit/config.yml", "single/v1.safetensors", "notes/a.txt"] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), "{}").unwrap();
        }
        for name in ["flux.gguf", "flux.safetensors", "old.CKPT", "read.me", ".hidden.gguf"] {
            fs::write(path(name), "").unwrap();
        }
        let found = models(folder.path()).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["caikit", "flux", "flux.safetensors", "old", "sdxl_turbo_model", "single"]);
        assert_eq!(found[1].1, path("flux.gguf"));
        assert!(models(&path("read.me")).is_err());
        assert!(models(&path("gone")).is_err());
    }
}
