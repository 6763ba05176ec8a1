//! The transcripts against the router itself, with a service in memory.

use anyhow::Result;
use bytes::Bytes;
use easel_contract::{ERROR_CODE, openapi, router};
use easel_transcripts::{Client, MemoryService, Setup, all, play};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;

struct Direct(axum::Router);

impl Direct {
    fn new(setup: &Setup) -> Self {
        Self(router(MemoryService::start(setup), MemoryService::settings(setup)))
    }
}

impl Client for Direct {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let answer = self.0.clone().oneshot(request.map(axum::body::Body::from)).await?;
        let (parts, body) = answer.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    }
}

#[tokio::test]
async fn every_transcript_holds() {
    let played = all().unwrap().into_iter().map(|transcript| async move {
        play(&transcript, &Direct::new(&transcript.setup)).await.err().map(|error| format!("{error:#}"))
    });
    let failed: Vec<String> = futures_util::future::join_all(played).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[tokio::test]
async fn every_described_route_exists() {
    let client = Direct::new(&Setup::default());
    let description = serde_json::to_value(openapi()).unwrap();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{id}", "1").replace("{digest}", "1").replace("{task_id}", "1");
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&path);
            let answer = client.send(request.body(Bytes::new()).unwrap()).await.unwrap();
            let code = answer.headers().get(ERROR_CODE).map(|code| code.to_str().unwrap());
            assert!(!matches!(code, Some("route_not_found" | "method_not_allowed")), "{method} {path}: {code:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_never_silent_for_long() {
    let client = Direct::new(&Setup::default());
    let post = |body: &'static str| {
        let request = Request::post("/generate").header("content-type", "application/json");
        client.send(request.body(Bytes::from_static(body.as_bytes())).unwrap())
    };
    // Ten seconds each, so the last one waits for forty.
    for _ in 0..4 {
        post(r#"{"prompt":"a cat","width":64,"height":64,"steps":1000}"#).await.unwrap();
    }
    let answer = post(r#"{"prompt":"a dog","width":64,"height":64,"steps":1,"priority":"low"}"#).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    let path = format!("/generate-stream/{}", answer["task_id"].as_str().unwrap());
    let events = client.send(Request::get(path).body(Bytes::new()).unwrap()).await.unwrap();
    let comments = events.body().split(|byte| *byte == b'\n').filter(|line| line.starts_with(b":")).count();
    assert_eq!(comments, 2);
}
