//! What a service has to offer to those who ask: models, samplers, and sessions that clients share.

use crate::service::Task;
use serde::{Deserialize, Serialize};

/// A model that requests may name, with what it draws when nothing else is asked for, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// What requests call it.
    pub name: String,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Denoising steps.
    pub steps: Option<u32>,
}

/// A sampler that requests may name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampler {
    /// What requests call it.
    pub name: String,
    /// What AUTOMATIC1111 calls it.
    pub label: String,
    /// Whether its sigmas can be spaced otherwise: its name may then end with `-karras`, `-exponential` or `-beta`.
    pub respaces: bool,
}

/// What clients share who have a session: the model that is chosen, and the task that they ask about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The model of requests that name none.
    pub model: Option<String>,
    /// Its task that is in progress, or else the first one that waits.
    pub task: Option<Task>,
    /// How long that has been in progress, in milliseconds.
    pub elapsed: u64,
}
