//! What a service shares with its engines.

use super::{Config, Devices, Metrics, Models, Result};
use easel_contract::Limits;
use std::sync::Arc;

/// What a service shares with its engines.
#[derive(Clone)]
pub struct Parts {
    /// The models that requests may name.
    pub models: Arc<Models>,
    /// Where to compute.
    pub devices: Arc<Devices>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Limits on requests. Engines check them again, because another version may have queued the request.
    pub limits: Limits,
}

impl Parts {
    /// The parts for this configuration.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let metrics = Arc::new(Metrics::default());
        Ok(Self {
            models: Arc::new(Models::new(config, metrics.models())?),
            devices: Arc::new(Devices::find(config.device, &config.gpus)?),
            metrics,
            limits: config.limits,
        })
    }
}
