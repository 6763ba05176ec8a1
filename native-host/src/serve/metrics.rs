//! Metrics in the text format of OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>), which
//! Prometheus reads.

use super::log;
use easel_jobs::{Counts, Status};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// The service's metrics.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Histogram,
    steps: Counter,
    pictures: Counter,
    drawing: Histogram,
    tasks: Family<TaskLabels, Gauge>,
    silence: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    status: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("easel");
        let metrics = Self {
            requests: Family::default(),
            latency: Histogram::new(exponential_buckets(0.0001, 4.0, 9)),
            steps: Counter::default(),
            pictures: Counter::default(),
            drawing: Histogram::new(exponential_buckets(0.05, 2.0, 14)),
            tasks: Family::default(),
            silence: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("http_requests", "Answered requests", metrics.requests.clone());
        let help = "Time from the head of a request to the head of its answer";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, metrics.latency.clone());
        registry.register("denoising_steps", "Denoising steps done", metrics.steps.clone());
        registry.register("pictures", "Pictures drawn", metrics.pictures.clone());
        let help = "Time that an engine took for a task's pictures";
        registry.register_with_unit("drawing", help, Unit::Seconds, metrics.drawing.clone());
        registry.register("tasks", "Tasks in the store", metrics.tasks.clone());
        let help = "Longest time that a busy engine has reported no progress";
        registry.register_with_unit("engine_silence", help, Unit::Seconds, metrics.silence.clone());
        registry.register("log_lines_lost", "Log lines lost because the reader was too slow", log::lost());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Counts an answered request. Routes are patterns, so that their number is bounded.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let labels = RequestLabels { method: method.into(), route: route.into(), status };
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

    /// All metrics as text, with the current tasks and how long a busy engine has reported no progress.
    pub fn text(&self, tasks: Counts, silence: Option<Duration>) -> Result<String, std::fmt::Error> {
        for status in Status::ALL {
            let count = i64::try_from(tasks.of(status)).unwrap_or(i64::MAX);
            self.tasks.get_or_create(&TaskLabels { status: status.name() }).set(count);
        }
        let silence = silence.unwrap_or_default().as_secs();
        self.silence.set(i64::try_from(silence).unwrap_or(i64::MAX));
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f20_the_text_conforms_to_its_media_type() {
        let metrics = Metrics::default();
        metrics.answered("GET", "/health", 200, Duration::from_millis(2));
        let text = metrics.text(Counts::default(), None).unwrap();
        assert!(text.ends_with("# EOF\n"), "{text}");
        assert!(text.contains("# TYPE easel_http_requests counter\n"), "{text}");
    }

    #[test]
    fn counted_events_are_in_the_text() {
        let metrics = Metrics::default();
        metrics.answered("GET", "/status/{task_id}", 404, Duration::from_millis(2));
        metrics.stepped();
        metrics.drawn(3, Duration::from_secs(1));
        let mut counts = Counts::default();
        counts.set(Status::Pending, 2);
        let text = metrics.text(counts, Some(Duration::from_secs(4))).unwrap();
        for line in [
            "easel_http_requests_total{method=\"GET\",route=\"/status/{task_id}\",status=\"404\"} 1",
            "easel_http_request_duration_seconds_count 1",
            "easel_denoising_steps_total 1",
            "easel_pictures_total 3",
            "easel_drawing_seconds_sum 1.0",
            "easel_tasks{status=\"pending\"} 2",
            "easel_tasks{status=\"error\"} 0",
            "easel_engine_silence_seconds 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
