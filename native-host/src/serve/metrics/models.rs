//! The metrics of models in memory.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// The metrics of models in memory: a handle, cheaply cloned.
#[derive(Clone, Default)]
pub(in crate::serve) struct ModelMetrics {
    pub(in crate::serve) loaded: Gauge,
    pub(in crate::serve) memory: Gauge,
    pub(in crate::serve) loads: Counter,
    pub(in crate::serve) failures: Counter,
    unloads: Family<UnloadLabels, Counter>,
}

/// Why a model leaves memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Reason {
    /// No task has used it for some time.
    Idle,
    /// Another one needs its room.
    Room,
}

impl Reason {
    /// The reason as a lower-case word.
    pub(in crate::serve) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Room => "room",
        }
    }
}

impl ModelMetrics {
    /// A model has left.
    pub(in crate::serve) fn left(&self, reason: Reason) {
        self.unloads.get_or_create(&UnloadLabels { reason: reason.name() }).inc();
    }

    /// How many models are loaded, and the bytes that these, tasks with them and a model that is being loaded take.
    pub(in crate::serve) fn held(&self, loaded: usize, bytes: u64) {
        self.loaded.set(i64::try_from(loaded).unwrap_or(i64::MAX));
        self.memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for reason in [Reason::Idle, Reason::Room] {
            drop(self.unloads.get_or_create(&UnloadLabels { reason: reason.name() }));
        }
        registry.register("models_loaded", "Models in memory", self.loaded.clone());
        let help = "Planned memory of loaded models and of the tasks that use them, on the processor";
        registry.register_with_unit("models_memory", help, Unit::Bytes, self.memory.clone());
        registry.register("model_loads", "Models loaded", self.loads.clone());
        registry.register("model_load_failures", "Models whose loading failed or was cancelled", self.failures.clone());
        registry.register("model_unloads", "Models that left memory", self.unloads.clone());
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnloadLabels {
    reason: &'static str,
}
