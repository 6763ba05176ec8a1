//! What a service shares with its engines.

use super::{Config, Devices, Metrics, Models, Result};
use easel_contract::Limits;
use std::sync::Arc;

/// What a service shares with its engines.
#[derive(Clone)]
pub struct Parts {
    /// The models that may be asked for.
    pub models: Arc<Models>,
    /// Where to compute.
    pub devices: Arc<Devices>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// What requests may ask for. An engine checks it again: the request may have been queued by another version.
    pub limits: Limits,
}

impl Parts {
    /// The parts of a service of this configuration.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let names = [&config.model].into_iter().chain(&config.models);
        Ok(Self {
            models: Arc::new(Models::new(names, config.loaded_models)?.with_components(config.components.clone())),
            devices: Arc::new(Devices::find(config.device)?),
            metrics: Arc::default(),
            limits: config.limits,
        })
    }
}
