//! The transcripts through the edge component, and the handling of components that misbehave.
//!
//! Needs the output of `cargo xtask edge`; without it the tests are skipped, or fail if `EASEL_REQUIRE_EDGE=1`.

use crate::{Host, play_all};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use easel_host::component::{self, Limits, Program};
use easel_host::serve::{Config, QueueService, component_router, environment};
use easel_transcripts::Setup;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[allow(dead_code, reason = "its main is not called here")]
#[path = "../../examples/plugin.rs"]
mod plugin;

/// Skips a test whose prerequisite is missing, or fails it if prerequisites are required.
pub(crate) fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var_os("EASEL_REQUIRE_EDGE").is_none(), "EASEL_REQUIRE_EDGE is set, but there is no {what}");
    eprintln!("skipped: there is no {what}");
    None
}

/// A component, if it has been built.
pub(crate) fn built(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/target/wasm32-wasip2/release").join(name);
    if path.is_file() { Some(path) } else { missing(&format!("{name}, which `cargo xtask edge` builds")) }
}

fn program(name: &str, limits: Limits) -> Option<Program> {
    Some(Program::compile(&std::fs::read(built(name)?).unwrap(), limits).unwrap())
}

fn edge(limits: Limits) -> Option<Program> {
    program("easel_edge.wasm", limits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transcript_holds_through_the_component() {
    let Some(program) = edge(Limits::default()) else { return };
    let routes = |service: QueueService, config: &Config| {
        let host = program.host(Arc::new(service.clone()), environment(config));
        component_router(host, Arc::new(service.clone()), service.metrics(), config)
    };
    play_all(async |setup| Host::start(setup, routes)).await;
}

#[tokio::test]
async fn an_application_hosts_the_component_as_a_plugin() {
    let Some(component) = built("easel_edge.wasm") else { return };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("apple.png");
    plugin::draw(&component, &file).await.unwrap();
    assert!(std::fs::read(file).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
}

/// The status of an answer.
async fn get(host: &component::Host, path: &str) -> StatusCode {
    let request = Request::get(path).body(Body::empty()).unwrap();
    host.answer(request).await.status()
}

fn service(folder: &TempDir) -> Arc<QueueService> {
    let config = Config { data: folder.path().to_owned(), model: "stub".into(), ..Config::default() };
    Arc::new(QueueService::open(&config).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misbehaving_component_is_stopped_while_others_go_on() {
    let limits = Limits { memory: 64 << 20, computing: Duration::from_secs(1), ..Limits::default() };
    let Some(program) = program("easel_faulty.wasm", limits) else { return };
    let folder = TempDir::new().unwrap();
    let host = program.host(service(&folder), Vec::new());
    let faults = [
        ("/loop", StatusCode::INTERNAL_SERVER_ERROR),
        ("/allocate", StatusCode::INTERNAL_SERVER_ERROR),
        ("/trap", StatusCode::INTERNAL_SERVER_ERROR),
    ];
    for (path, expected) in faults {
        let faulty = host.clone();
        let fault = tokio::spawn(async move { get(&faulty, path).await });
        let mut answered = 0;
        while !fault.is_finished() || answered == 0 {
            assert_eq!(get(&host, "/").await, StatusCode::OK, "while {path}");
            answered += 1;
        }
        assert_eq!(fault.await.unwrap(), expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_busy_with_short_requests_goes_on() {
    let computing = Duration::from_secs(1);
    let limits = Limits { computing, requests: usize::MAX, ..Limits::default() };
    let Some(program) = edge(limits) else { return };
    let folder = TempDir::new().unwrap();
    let host = program.host(service(&folder), Vec::new());
    let clients = (0..8).map(|_| {
        let host = host.clone();
        tokio::spawn(async move {
            let began = Instant::now();
            while began.elapsed() < 3 * computing {
                assert_eq!(get(&host, "/health").await, StatusCode::OK);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn an_instance_beyond_its_memory_limit_ends_alone() {
    let small = Limits { memory: 8 << 20, ..Limits::default() };
    let Some(program) = edge(small) else { return };
    let folder = TempDir::new().unwrap();
    let host = program.host(service(&folder), Vec::new());
    assert_eq!(get(&host, "/health").await, StatusCode::OK);
    let long = format!("{{\"prompt\":\"{}\"}}", "a".repeat(16 << 20));
    assert_eq!(post(&host, "/generate", &long).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(get(&host, "/health").await, StatusCode::OK, "the next request has another instance");
}

#[tokio::test]
async fn instances_are_returned_when_their_requests_are_answered() {
    let few = Limits { instances: 2, requests: 1, ..Limits::default() };
    let Some(program) = edge(few) else { return };
    let folder = TempDir::new().unwrap();
    let host = program.host(service(&folder), Vec::new());
    let began = Instant::now();
    let mut answered = 0;
    while answered < 50 {
        answered += usize::from(get(&host, "/health").await == StatusCode::OK);
        assert!(began.elapsed() < Duration::from_secs(60), "only {answered} were answered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_that_leave_free_their_instances() {
    let few = Limits { instances: 4, requests: 1, ..Limits::default() };
    let Some(program) = edge(few) else { return };
    let (component, _host) = slow(&program);
    let answer = post(&component, "/generate", r#"{"prompt":"a cat","width":64,"height":64,"steps":1000}"#).await;
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let task: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let path = format!("/generate-stream/{}", task["task_id"].as_str().unwrap());
    for left in 0..40 {
        let began = Instant::now();
        loop {
            let request = Request::get(&path).body(Body::empty()).unwrap();
            let answer = component.answer(request).await;
            if answer.status() == StatusCode::OK {
                break;
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "after {left} watchers there is no instance: {answer:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_takes_too_long_ends_alone() {
    let Some(program) = edge(Limits { answering: Duration::from_secs(2), ..Limits::default() }) else { return };
    let (component, _host) = slow(&program);
    let long = r#"{"prompt":"slowly","W":64,"H":64,"ddim_steps":100}"#;
    let (long, short) = tokio::join!(post(&component, "/imagine", long), get(&component, "/health"));
    assert_eq!((long.status(), short), (StatusCode::GATEWAY_TIMEOUT, StatusCode::OK));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_client_that_leaves_cancels_its_task() {
    let Some(program) = edge(Limits::default()) else { return };
    let (component, _host) = slow(&program);
    let client = component.clone();
    let waiting = tokio::spawn(async move {
        post(&client, "/imagine", r#"{"prompt":"a cat","W":64,"H":64,"ddim_steps":1000}"#).await
    });
    until_one_is(&component, "processing").await;
    waiting.abort();
    until_one_is(&component, "cancelled").await;
}

/// Waits until one task has this status.
async fn until_one_is(host: &component::Host, status: &str) {
    let began = Instant::now();
    loop {
        let request = Request::get(format!("/tasks?status={status}")).body(Body::empty()).unwrap();
        let answer = to_bytes(host.answer(request).await.into_body(), 1 << 20).await.unwrap();
        if String::from_utf8_lossy(&answer).contains("\"total_tasks\":1") {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "no task is {status}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Each analysis would take many seconds, and they would wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_clients_that_leave_end_their_analyses() {
    let Some(program) = edge(Limits::default()) else { return };
    let (component, _host) = over(&program, &Setup { sam: true, ..Setup::default() });
    let picture = easel_picture::Image::stub(64, 64).unwrap();
    let picture = picture.encode(easel_picture::ImageFormat::Png, &easel_picture::EncodeOptions::default()).unwrap();
    let picture = BASE64_STANDARD.encode(picture);
    let everything = format!(r#"{{"image":"{picture}","texts":["a cat"]}}"#);
    let leaving = (0..8).map(|_| {
        let client = component.clone();
        let everything = everything.clone();
        tokio::spawn(async move { post(&client, "/api/analyze", &everything).await })
    });
    let leaving: Vec<_> = leaving.collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    leaving.iter().for_each(tokio::task::JoinHandle::abort);
    let point = format!(r#"{{"image":"{picture}","texts":["a cat"],"roi":[[3,3]]}}"#);
    let answer = tokio::time::timeout(Duration::from_secs(60), post(&component, "/api/analyze", &point)).await;
    assert_eq!(answer.expect("the others have ended").status(), StatusCode::OK);
}

/// A component over the slow engine, and the host that keeps the engine alive.
fn slow(program: &Program) -> (component::Host, Host) {
    over(program, &Setup::default())
}

/// The same with another setup.
fn over(program: &Program, setup: &Setup) -> (component::Host, Host) {
    let mut component = None;
    let host = Host::start(setup, |service, config| {
        component = Some(program.host(Arc::new(service), environment(config)));
        Router::new()
    });
    (component.unwrap(), host)
}

async fn post(host: &component::Host, path: &str, body: &str) -> Response<Body> {
    let request = Request::post(path).header("content-type", "application/json").body(Body::from(body.to_owned()));
    host.answer(request.unwrap()).await
}

#[test]
fn files_that_are_not_components_are_refused() {
    let refused = |bytes: &[u8]| Program::compile(bytes, Limits::default()).err().map(|error| error.to_string());
    assert!(refused(b"a shopping list").is_some());
    // A component, but one that does not answer HTTP requests.
    let empty = [b"\0asm".as_slice(), &[0x0d, 0, 1, 0]].concat();
    assert!(refused(&empty).unwrap().contains("wasi:http/handler"), "{:?}", refused(&empty));
}
