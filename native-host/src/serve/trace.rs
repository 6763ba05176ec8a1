//! Traces for OpenTelemetry (<https://opentelemetry.io/docs/specs/otel/trace/api/>): a span for each request, one for the task
//! that it queues, and one for each phase of the task. `no_trace.rs` is this file's twin for builds without the feature.
//!
//! The span of a request takes the place of the client's in the header `traceparent`, which the router stores with the task.
//! So a task's span finds its parent even after a restart or on another host.
//!
//! Spans are sent over OTLP, as Protocol Buffers over HTTP, by a thread of their own. The environment variables of the
//! specification apply (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables>); without an endpoint
//! nothing is recorded.

use super::{Error, Result};
use async_trait::async_trait;
use axum::http::HeaderMap;
use easel_contract::{Origin, TRACEPARENT};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HeaderExtractor, HeaderInjector, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// The variables that name a collector; one of them must be set.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The variables that limit how long sending may take, in milliseconds.
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];

/// How long sending may take if no variable says so, as in the specification.
const TIMEOUT: Duration = Duration::from_secs(10);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends the last spans when it is dropped.
pub struct Guard(SdkTracerProvider);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Starts to record spans, if the environment names a collector.
pub fn start() -> Result<Option<Guard>> {
    let is_disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_off = variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value != "otlp");
    let Some(field) = ENDPOINTS.into_iter().find(|name| variable(name).is_some()) else { return Ok(None) };
    if is_disabled || is_off {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().with_http_client(Client::new()).build();
    let exporter = exporter.map_err(|error| Error::Setting { field, reason: error.to_string() })?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
    // A program that embeds this may start twice.
    let _ = TRACER.set(provider.tracer("easel"));
    Ok(Some(Guard(provider)))
}

/// This service, with what `OTEL_RESOURCE_ATTRIBUTES` adds, under the name in `OTEL_SERVICE_NAME` or `easel`.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version);
    let is_named = variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|list| list.contains("service.name="));
    match variable("OTEL_SERVICE_NAME").is_some() || is_named {
        true => resource.build(),
        false => resource.with_service_name("easel").build(),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The client that sends spans.
#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    /// Whether the last attempt failed: a collector that is down is reported once.
    is_failing: AtomicBool,
}

impl Client {
    fn new() -> Self {
        let milliseconds = TIMEOUTS.into_iter().find_map(|name| variable(name)?.parse().ok());
        let timeout = milliseconds.map_or(TIMEOUT, Duration::from_millis);
        let config = ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false);
        Self { agent: config.build().new_agent(), is_failing: AtomicBool::new(false) }
    }

    fn send(&self, request: http::Request<Bytes>) -> std::result::Result<http::Response<Bytes>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let answer = self.agent.run(http::Request::from_parts(parts, body.to_vec()))?;
        let (parts, mut body) = answer.into_parts();
        Ok(http::Response::from_parts(parts, body.read_to_vec()?.into()))
    }
}

#[async_trait]
impl HttpClient for Client {
    /// Blocks: the exporter has a thread of its own.
    async fn send_bytes(&self, request: http::Request<Bytes>) -> std::result::Result<http::Response<Bytes>, HttpError> {
        let answer = self.send(request);
        let problem = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let was_failing = self.is_failing.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !was_failing => tracing::warn!(problem, "traces cannot be sent to the collector"),
            None if was_failing => tracing::info!("traces are sent to the collector again"),
            _ => {}
        }
        Ok(answer?)
    }
}

/// The span of a request, until its answer begins.
#[derive(Default)]
pub(super) struct RequestTrace(Option<Context>);

impl RequestTrace {
    /// Begins a span as a child of the client's, whose place it takes in the headers.
    pub(super) fn begin(method: &'static str, route: Option<&str>, headers: &mut HeaderMap) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let propagator = TraceContextPropagator::new();
        let parent = propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let name = route.map_or(method.to_owned(), |route| format!("{method} {route}"));
        let mut attributes = vec![KeyValue::new("http.request.method", method)];
        attributes.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
        let id = easel_contract::request_id(headers).and_then(|id| id.to_str().ok());
        attributes.extend(id.map(|id| KeyValue::new("easel.request.id", id.to_owned())));
        let builder = tracer.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let context = parent.with_span(builder.start_with_context(tracer, &parent));
        propagator.inject_context(&context, &mut HeaderInjector(headers));
        Self(Some(context))
    }

    /// The answer begins.
    pub(super) fn end(self, status: u16) {
        let Some(context) = self.0 else { return };
        let span = context.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// The span of a task, from its arrival until this is dropped.
#[derive(Default)]
pub(super) struct TaskTrace(Option<Context>);

impl TaskTrace {
    /// Begins the span of a task that an engine has started, with one for the time in the queue.
    pub(super) fn begin(task: &easel_jobs::Task, model: &str, origin: Option<&Origin>) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let sender = origin.and_then(|origin| origin.traceparent.clone());
        let headers: HashMap<_, _> = sender.map(|sender| (TRACEPARENT.to_string(), sender)).into_iter().collect();
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
        let mut attributes = vec![
            KeyValue::new("easel.task.id", task.id.to_string()),
            KeyValue::new("easel.task.attempt", i64::from(task.attempts)),
            KeyValue::new("easel.model", model.to_owned()),
        ];
        let id = origin.and_then(|origin| origin.request_id.clone());
        attributes.extend(id.map(|id| KeyValue::new("easel.request.id", id)));
        let builder = tracer.span_builder("task").with_kind(SpanKind::Consumer).with_attributes(attributes);
        let span = builder.with_start_time(task.created_at).start_with_context(tracer, &parent);
        let trace = Self(Some(parent.with_span(span)));
        trace.phase("queue", task.created_at, task.started_at.unwrap_or_else(SystemTime::now));
        trace
    }

    /// A phase that is over.
    pub(super) fn phase(&self, name: &'static str, began: SystemTime, ended: SystemTime) {
        let (Some(tracer), Some(context)) = (TRACER.get(), &self.0) else { return };
        let span = tracer.span_builder(name).with_start_time(began);
        span.start_with_context(tracer, context).end_with_timestamp(ended);
    }

    /// The task has failed.
    pub(super) fn failed(&self, reason: &str) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(reason.to_owned()));
        }
    }
}
