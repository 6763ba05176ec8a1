//! Metrics in the text format of OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>), which
//! Prometheus reads. OPERATING.md lists them.

mod models;
mod process;

pub(super) use models::{ModelMetrics, Reason};

use super::log;
use super::phases::Stage;
use axum::extract::MatchedPath;
use easel_jobs::{Counts, Priority, Status};
use process::ProcessMetrics;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// The service's metrics.
pub struct Metrics {
    registry: Registry,
    /// Those whose names do not begin with `easel_`.
    plain: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Histogram,
    steps: Counter,
    pictures: Counter,
    drawing: Histogram,
    wait: Histogram,
    stages: Family<StageLabels, Histogram, fn() -> Histogram>,
    finished: Family<FinishedLabels, Counter>,
    tasks: Family<TaskLabels, Gauge>,
    waiting: Family<WaitingLabels, Gauge>,
    silence: Gauge,
    models: ModelMetrics,
    process: ProcessMetrics,
}

/// How a task has left its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// With its pictures.
    Completed,
    /// With an error.
    Error,
    /// Unfinished: it was cancelled, or the service stops.
    Stopped,
}

impl Finish {
    const ALL: [Self; 3] = [Self::Completed, Self::Error, Self::Stopped];

    fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Error => "error",
            Self::Stopped => "stopped",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: Route,
    status: u16,
}

/// The pattern of a route; empty if the request found none. Sharing the router's own copy saves one for each request.
#[derive(Clone, Debug)]
struct Route(Option<MatchedPath>);

impl Route {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", MatchedPath::as_str)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Route {}

impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitingLabels {
    priority: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FinishedLabels {
    result: &'static str,
}

/// A histogram of what takes from a millisecond to a minute.
fn stage_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("easel"),
            plain: Registry::default(),
            requests: Family::default(),
            latency: Histogram::new(exponential_buckets(0.0001, 4.0, 9)),
            steps: Counter::default(),
            pictures: Counter::default(),
            drawing: Histogram::new(exponential_buckets(0.05, 2.0, 14)),
            wait: Histogram::new(exponential_buckets(0.01, 4.0, 9)),
            stages: Family::new_with_constructor(stage_histogram),
            finished: Family::default(),
            tasks: Family::default(),
            waiting: Family::default(),
            silence: Gauge::default(),
            models: ModelMetrics::default(),
            process: ProcessMetrics::default(),
        };
        metrics.begin_at_zero();
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// Makes the entries of families whose labels are known, so that rates over them begin at zero.
    fn begin_at_zero(&self) {
        for stage in Stage::ALL {
            drop(self.stages.get_or_create(&StageLabels { phase: stage.name() }));
        }
        for finish in Finish::ALL {
            drop(self.finished.get_or_create(&FinishedLabels { result: finish.name() }));
        }
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of this program", version);
        registry.register("http_requests", "Answered requests", self.requests.clone());
        let help = "Time from the head of a request to the head of its answer";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, self.latency.clone());
        registry.register("denoising_steps", "Denoising steps done", self.steps.clone());
        registry.register("pictures", "Pictures drawn", self.pictures.clone());
        let help = "Time that an engine took for a task's pictures";
        registry.register_with_unit("drawing", help, Unit::Seconds, self.drawing.clone());
        let help = "Time from a task's arrival to its first start on an engine";
        registry.register_with_unit("task_wait", help, Unit::Seconds, self.wait.clone());
        let help = "Time to load a model, to encode prompts, for a denoising step, and to decode a picture";
        registry.register_with_unit("phase", help, Unit::Seconds, self.stages.clone());
        registry.register("tasks_finished", "Tasks that have left their engine", self.finished.clone());
        registry.register("tasks", "Tasks in the store", self.tasks.clone());
        registry.register("waiting_tasks", "Tasks that wait for an engine", self.waiting.clone());
        let help = "Longest time that a busy engine has reported no progress";
        registry.register_with_unit("engine_silence", help, Unit::Seconds, self.silence.clone());
        self.models.register(registry);
        registry.register("log_lines_lost", "Log lines lost because the reader was too slow", log::lost());
        self.process.register(&mut self.plain, registry);
    }

    /// Those of models in memory.
    pub(super) fn models(&self) -> ModelMetrics {
        self.models.clone()
    }

    /// Counts an answered request. Routes are patterns, so that their number is bounded.
    pub(super) fn answered(&self, method: &'static str, route: Option<MatchedPath>, status: u16, took: Duration) {
        let labels = RequestLabels { method, route: Route(route), status };
        self.requests.get_or_create(&labels).inc();
        self.latency.observe(took.as_secs_f64());
    }

    /// Counts a denoising step.
    pub fn stepped(&self) {
        self.steps.inc();
    }

    /// Counts the pictures of a finished task.
    pub fn drawn(&self, pictures: usize, took: Duration) {
        self.pictures.inc_by(pictures as u64);
        self.drawing.observe(took.as_secs_f64());
    }

    /// A task has waited this long for an engine.
    pub fn waited(&self, took: Duration) {
        self.wait.observe(took.as_secs_f64());
    }

    /// A part of a task's work took this long.
    pub(super) fn worked(&self, stage: Stage, took: Duration) {
        self.stages.get_or_create(&StageLabels { phase: stage.name() }).observe(took.as_secs_f64());
    }

    /// A task has left its engine.
    pub fn finished(&self, how: Finish) {
        self.finished.get_or_create(&FinishedLabels { result: how.name() }).inc();
    }

    /// All metrics as text, with the current tasks and how long a busy engine has reported no progress.
    pub fn text(&self, tasks: Counts, silence: Option<Duration>) -> Result<String, fmt::Error> {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        for status in Status::ALL {
            self.tasks.get_or_create(&TaskLabels { status: status.name() }).set(count(tasks.of(status)));
        }
        for priority in Priority::ALL {
            let labels = WaitingLabels { priority: priority.name() };
            self.waiting.get_or_create(&labels).set(count(tasks.waiting(priority)));
        }
        let silence = silence.unwrap_or_default().as_secs();
        self.silence.set(i64::try_from(silence).unwrap_or(i64::MAX));
        self.process.refresh();
        let mut text = String::new();
        text::encode_registry(&mut text, &self.registry)?;
        text::encode_registry(&mut text, &self.plain)?;
        text::encode_eof(&mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
