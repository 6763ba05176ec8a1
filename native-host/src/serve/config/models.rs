//! The settings about models: which ones there are, and how long they stay in memory.

use super::{Config, Error, Result};
use crate::model::ComponentPath;
use crate::names;
use crate::serve::models::folder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The longest time that a model may be idle, in seconds: a year.
const LONGEST: u64 = 365 * 24 * 3600;

/// The word for models that never leave.
const NEVER: &str = "never";

/// How long a model may be idle before it leaves memory: a number of seconds, 0 for not at all, or `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct UnloadAfter(Option<Duration>);

/// As a configuration file has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Seconds(u64),
    Word(String),
}

impl UnloadAfter {
    /// The time; `None` if models stay.
    pub fn duration(self) -> Option<Duration> {
        self.0
    }
}

impl Default for UnloadAfter {
    /// Ten minutes.
    fn default() -> Self {
        Self(Some(Duration::from_secs(600)))
    }
}

impl FromStr for UnloadAfter {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == NEVER {
            return Ok(Self(None));
        }
        let seconds = text.parse().ok().filter(|seconds| *seconds <= LONGEST);
        let seconds =
            seconds.ok_or_else(|| format!("expected seconds, {LONGEST} at most, or {NEVER}, got {text:?}"))?;
        Ok(Self(Some(Duration::from_secs(seconds))))
    }
}

impl TryFrom<Written> for UnloadAfter {
    type Error = String;

    fn try_from(written: Written) -> std::result::Result<Self, String> {
        match written {
            Written::Seconds(seconds) => seconds.to_string().parse(),
            Written::Word(text) => text.parse(),
        }
    }
}

impl Config {
    /// The models in the folder of models, by name; none without a folder.
    pub(in crate::serve) fn folder_models(&self) -> Result<Vec<(String, PathBuf)>> {
        let Some(path) = &self.models_folder else { return Ok(Vec::new()) };
        folder::models(path).map_err(|reason| {
            let reason = format!("must be a folder that can be read, got {}: {reason}", path.display());
            Error::Setting { field: "models_folder", reason }
        })
    }

    /// Fails on models that cannot be, on components of a model that is not served, and on paths that do not exist.
    pub(super) fn check_models(&self) -> Result<()> {
        let folder = self.folder_models()?;
        let is_there = |name: &String| folder.iter().any(|(own, _)| own == name);
        for name in self.models.iter().chain([&self.model]).filter(|name| !is_there(name)) {
            names::resolve(name)?;
        }
        self.clip.iter().chain(&self.sam).try_for_each(|name| names::resolve(name).map(drop))?;
        let refuse = |reason| Err(Error::Setting { field: "components", reason });
        for (model, components) in &self.components {
            if *model != self.model && !self.models.contains(model) && !is_there(model) {
                return refuse(format!(
                    "must belong to `model`, one of `models` or one in `models_folder`, got {model}"
                ));
            }
            if let Some(ComponentPath { name, path }) = components.iter().find(|component| !component.path.exists()) {
                return refuse(format!(
                    "must be files or folders that exist, got {} for {name} of {model}",
                    path.display()
                ));
            }
        }
        Ok(())
    }
}

/// The component tables of a configuration file as lists.
pub(super) fn component_paths(
    tables: BTreeMap<String, BTreeMap<String, PathBuf>>,
) -> BTreeMap<String, Vec<ComponentPath>> {
    let list = |table: BTreeMap<String, PathBuf>| {
        table.into_iter().map(|(name, path)| ComponentPath { name, path }).collect::<Vec<_>>()
    };
    tables.into_iter().map(|(model, table)| (model, list(table))).collect()
}
