//! The types of what a service offers: models, samplers, and sessions that clients share.

use crate::service::Task;
use serde::{Deserialize, Serialize};

/// A model that requests may name, with its defaults if they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name in requests.
    pub name: String,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Denoising steps.
    pub steps: Option<u32>,
    /// Bytes of its weights on the disk.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Bytes of memory that it takes at most to draw a picture of that size on the processor, as planned.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Whether it is in memory now.
    #[serde(default)]
    pub loaded: bool,
    /// Width and height are multiples of this many pixels.
    #[serde(default)]
    pub size_step: Option<u32>,
    /// The kind of model that Caikit's `config.yml` in its folder names.
    #[serde(default)]
    pub module: Option<Module>,
}

impl Model {
    /// The name of the model that draws pictures of one colour in any size.
    pub const STUB: &str = "stub";
}

/// The kind of model that Caikit's `config.yml` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// A UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A sampler that requests may name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampler {
    /// Its name in requests.
    pub name: String,
    /// Its name in AUTOMATIC1111's web UI.
    pub label: String,
    /// Whether the spacing of its sigmas can be chosen: its name may then end with `-karras`, `-exponential` or
    /// `-beta`.
    pub respaces: bool,
}

/// The state that the clients of a session share: the chosen model and the current task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The model for requests that name none.
    pub model: Option<String>,
    /// Its task in progress, or else its first waiting task.
    pub task: Option<Task>,
    /// How long the task has been in progress, in milliseconds.
    pub elapsed: u64,
}
