//! The same through the edge component, and what happens to components that misbehave.
//!
//! Needs what `cargo xtask edge` builds; without it the transcripts are skipped, unless `EASEL_REQUIRE_EDGE=1` promises
//! it.

use crate::play_all;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use easel_host::component::{Limits, Program};
use easel_host::serve::{Config, Studio, component_router, environment};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The edge component, if it is there.
fn program(limits: Limits) -> Option<Program> {
    let built = "../edge/target/wasm32-wasip2/release/easel_edge.wasm";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(built);
    if !path.is_file() {
        let promised = std::env::var_os("EASEL_REQUIRE_EDGE").is_some();
        assert!(!promised, "EASEL_REQUIRE_EDGE is set, but there is no {}", path.display());
        eprintln!("skipped: there is no component, which `cargo xtask edge` builds");
        return None;
    }
    Some(Program::compile(&std::fs::read(path).unwrap(), limits).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transcript_holds_through_the_component() {
    let Some(program) = program(Limits::default()) else { return };
    play_all(|studio, config| {
        let host = program.host(Arc::new(studio.clone()), environment(config));
        component_router(host, Arc::new(studio.clone()), studio.metrics(), config)
    })
    .await;
}

/// The status of an answer to `GET /health`.
async fn health(host: &easel_host::component::Host) -> StatusCode {
    let request = Request::get("/health").body(Body::empty()).unwrap();
    host.answer(request).await.status()
}

fn studio(folder: &TempDir) -> Arc<Studio> {
    let config = Config { data: folder.path().to_owned(), model: "stub".into(), ..Config::default() };
    Arc::new(Studio::open(&config).unwrap())
}

#[tokio::test]
async fn an_instance_that_needs_more_memory_than_it_may_have_ends_alone() {
    let small = Limits { memory: 8 << 20, ..Limits::default() };
    let Some(program) = program(small) else { return };
    let folder = TempDir::new().unwrap();
    let host = program.host(studio(&folder), Vec::new());
    assert_eq!(health(&host).await, StatusCode::OK);
    let long = format!("{{\"prompt\":\"{}\"}}", "a".repeat(16 << 20));
    let request = Request::post("/generate").header("content-type", "application/json").body(Body::from(long)).unwrap();
    assert_eq!(host.answer(request).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(health(&host).await, StatusCode::OK, "the next request has another instance");
}

#[tokio::test]
async fn instances_return_when_their_requests_are_answered() {
    let few = Limits { instances: 2, requests: 1, ..Limits::default() };
    let Some(program) = program(few) else { return };
    let folder = TempDir::new().unwrap();
    let host = program.host(studio(&folder), Vec::new());
    let began = Instant::now();
    let mut answered = 0;
    while answered < 50 {
        answered += usize::from(health(&host).await == StatusCode::OK);
        assert!(began.elapsed() < Duration::from_secs(60), "only {answered} were answered");
    }
}

#[test]
fn what_is_no_component_is_refused() {
    let refused = |bytes: &[u8]| Program::compile(bytes, Limits::default()).err().map(|error| format!("{error:#}"));
    assert!(refused(b"a shopping list").is_some());
    // A component, but none that answers HTTP requests.
    let empty = [b"\0asm".as_slice(), &[0x0d, 0, 1, 0]].concat();
    assert!(refused(&empty).unwrap().contains("wasi:http/handler"), "{:?}", refused(&empty));
}
