//! Traces, received by a small collector that decodes what it gets.

use crate::{Host, agent, command, data};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";

/// A collector: what it was sent, with the path that it was sent to.
struct Collector {
    address: String,
    sent: Receiver<(String, ExportTraceServiceRequest)>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (send, sent) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let send = send.clone();
                std::thread::spawn(move || receive(stream.unwrap(), |request| drop(send.send(request))));
            }
        });
        Self { address, sent }
    }

    /// A host that sends its spans here.
    fn host(&self, data: &Path) -> Host {
        let mut command = command(data, &[]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.address));
        command.env("OTEL_SERVICE_NAME", "studio").env("OTEL_BSP_SCHEDULE_DELAY", "20");
        Host::run(command)
    }

    /// The spans until there is one of each of these names.
    fn until(&self, names: &[&str]) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        while !names.iter().all(|name| spans.iter().any(|span| span.name == *name)) {
            let (path, request) = self.sent.recv_timeout(Duration::from_secs(20)).expect("spans are sent");
            assert_eq!(path, "/v1/traces");
            for group in request.resource_spans {
                let named = |name: &str| {
                    let resource = group.resource.as_ref().unwrap();
                    let attribute = resource.attributes.iter().find(|attribute| attribute.key == name);
                    format!("{:?}", attribute.and_then(|attribute| attribute.value.clone()))
                };
                assert!(named("service.name").contains("\"studio\""), "{}", named("service.name"));
                spans.extend(group.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        spans
    }
}

/// Reads the requests of a connection.
fn receive(stream: TcpStream, each: impl Fn((String, ExportTraceServiceRequest))) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
        };
        assert_eq!(header("content-type").as_deref(), Some("application/x-protobuf"));
        let mut body = vec![0; header("content-length").unwrap().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        each((path, ExportTraceServiceRequest::decode(body.as_slice()).unwrap()));
        let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Submits a task with these headers and returns its id.
fn submit(host: &Host, headers: &[(&str, &str)]) -> String {
    let body = json!({ "prompt": "a red apple", "width": 64, "height": 64, "steps": 2, "seed": 7 });
    let request = agent().post(host.url("/generate"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer: Value = request.send_json(&body).unwrap().body_mut().read_json().unwrap();
    answer["task_id"].as_str().unwrap().to_owned()
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} among {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    found[0]
}

fn text(span: &Span, name: &str) -> String {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == name);
    format!("{:?}", attribute.and_then(|attribute| attribute.value.clone()))
}

#[test]
fn a_trace_leads_from_the_client_to_the_phases_of_its_task() {
    let data = data();
    let collector = Collector::start();
    let host = collector.host(data.path());
    let traceparent = format!("00-{TRACE}-{CLIENT}-01");
    let task = submit(&host, &[("traceparent", &traceparent), ("x-request-id", "mine")]);
    let spans = collector.until(&["POST /generate", "task"]);

    let request = one(&spans, "POST /generate");
    assert_eq!((hex(&request.trace_id), hex(&request.parent_span_id)), (TRACE.to_owned(), CLIENT.to_owned()));
    assert_eq!(request.kind, 2, "a server's");
    assert!(text(request, "http.response.status_code").contains("200"));
    let whole = one(&spans, "task");
    assert_eq!((hex(&whole.trace_id), &whole.parent_span_id), (TRACE.to_owned(), &request.span_id));
    assert!(text(whole, "easel.task.id").contains(&task) && text(whole, "easel.request.id").contains("\"mine\""));
    let mut last = 0;
    for name in ["queue", "load", "encode", "steps", "decode"] {
        let phase = one(&spans, name);
        assert_eq!((hex(&phase.trace_id), &phase.parent_span_id), (TRACE.to_owned(), &whole.span_id), "{name}");
        assert!(phase.start_time_unix_nano <= phase.end_time_unix_nano, "{name}");
        assert!(phase.start_time_unix_nano >= last && phase.end_time_unix_nano <= whole.end_time_unix_nano, "{name}");
        last = phase.start_time_unix_nano;
    }
}

#[test]
fn a_malformed_trace_is_replaced_and_an_unsampled_one_is_not_recorded() {
    let data = data();
    let collector = Collector::start();
    let mut host = collector.host(data.path());
    submit(&host, &[("traceparent", &format!("00-{TRACE}-{CLIENT}-00"))]);
    let task = submit(&host, &[("traceparent", "00-0-0-zz")]);
    host.until(&task, "completed");
    host.signal("-TERM");
    assert!(host.wait().success());
    let spans = collector.until(&["task"]);
    let whole = one(&spans, "task");
    assert!(text(whole, "easel.task.id").contains(&task));
    assert_eq!(whole.trace_id.len(), 16);
    assert!(spans.iter().all(|span| hex(&span.trace_id) != TRACE));
}
