//! The route `/mcp`: who may call, and links that lead to the server.

use crate::Served;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use easel_contract::access::{Key, KeyRing};
use easel_host::serve::{guarded, router};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

fn routes(served: &Served) -> Router {
    let router = router(Arc::new(served.service.clone()), served.service.metrics(), &served.config);
    guarded(router, &served.config)
}

/// A message to `/mcp`, as clients of 2025-06-18 send it.
fn message(body: &Value, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::post("/mcp")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header(header::HOST, "localhost:8100");
    }
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::from(body.to_string())).unwrap()
}

fn hello() -> Value {
    let params = json!({
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "a test", "version": "1" },
    });
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })
}

fn call(arguments: &Value) -> Value {
    let params = json!({ "name": "generate_image", "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
}

/// The last message of an answer that is a stream of events.
async fn last(answer: Response<Body>) -> Value {
    assert_eq!(answer.status(), StatusCode::OK);
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).rfind(|data| !data.is_empty());
    serde_json::from_str(data.expect("an event")).unwrap()
}

/// Begins a session, and returns its name.
async fn begin(routes: &Router, headers: &[(&str, &str)]) -> String {
    let answer = routes.clone().oneshot(message(&hello(), headers)).await.unwrap();
    let session = answer.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    assert_eq!(last(answer).await["result"]["serverInfo"]["name"], "easel");
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let headers = [headers, &[("mcp-session-id", session.as_str())]].concat();
    let answer = routes.clone().oneshot(message(&ready, &headers)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    session
}

#[tokio::test]
async fn a_session_draws_and_its_link_needs_no_key() {
    let served = Served::start(|_| ());
    let routes = routes(&served);
    let session = begin(&routes, &[]).await;
    let own = [("mcp-session-id", session.as_str())];
    let asked = call(&json!({ "prompt": "a red apple", "width": 64, "height": 64, "steps": 2 }));
    let drawn = last(routes.clone().oneshot(message(&asked, &own)).await.unwrap()).await;
    let uri = drawn["result"]["content"][2]["uri"].as_str().unwrap();
    let path = uri.strip_prefix("http://localhost:8100").expect("an address of this server");
    let fetch = Request::get(path).header(header::HOST, "localhost:8100").body(Body::empty()).unwrap();
    let picture = routes.clone().oneshot(fetch).await.unwrap();
    assert_eq!(
        (picture.status(), &picture.headers()[header::CONTENT_TYPE]),
        (StatusCode::OK, &"image/png".parse().unwrap())
    );

    let end = Request::delete("/mcp").header(header::HOST, "localhost:8100").header("mcp-session-id", &session);
    let ended = routes.clone().oneshot(end.body(Body::empty()).unwrap()).await.unwrap();
    assert!(ended.status().is_success());
    let gone = routes.oneshot(message(&asked, &own)).await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn host_names_origins_and_keys_are_checked_as_on_every_route() {
    let key = Key { models: Some(vec!["stub".into()]), ..Key::new("a", b"secret") };
    let served = Served::start(|config| {
        config.models = vec!["stub".into()];
        config.keys = Some(KeyRing::new([key].into_iter().collect()));
    });
    let routes = routes(&served);
    let status =
        async |headers: &[(&str, &str)]| routes.clone().oneshot(message(&hello(), headers)).await.unwrap().status();
    let bearer = ("authorization", "Bearer secret");
    assert_eq!(status(&[]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&[("authorization", "Bearer wrong")]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&[bearer, ("host", "evil.example")]).await, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(status(&[bearer, ("origin", "https://evil.example")]).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&[bearer, ("origin", "http://localhost:5173")]).await, StatusCode::OK);
    assert_eq!(status(&[("x-api-key", "secret")]).await, StatusCode::OK);
    let preflight = Request::builder().method(Method::OPTIONS).uri("/mcp").header(header::HOST, "localhost");
    let preflight = preflight.header("origin", "http://localhost:5173").header("access-control-request-method", "POST");
    let allowed = routes.clone().oneshot(preflight.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(allowed.headers()["access-control-allow-origin"], "http://localhost:5173");

    let session = begin(&routes, &[bearer]).await;
    let own = [bearer, ("mcp-session-id", session.as_str())];
    let other = call(&json!({ "prompt": "a cat", "model": "easel-emoji" }));
    let refused = last(routes.clone().oneshot(message(&other, &own)).await.unwrap()).await;
    assert_eq!(refused["result"]["content"][0]["text"], "model: this key may not use \"easel-emoji\"; it may use stub");
    let unkeyed = routes.oneshot(message(&other, &own[1..])).await.unwrap();
    assert_eq!(unkeyed.status(), StatusCode::UNAUTHORIZED, "a session does not replace a key");
}

#[tokio::test]
async fn bodies_that_are_not_messages_or_too_long_are_refused() {
    let served = Served::start(|config| config.body_limit = 1000);
    let routes = routes(&served);
    let send = async |body: String| {
        let request = message(&json!(null), &[]).map(|_| Body::from(body));
        routes.clone().oneshot(request).await.unwrap().status()
    };
    assert!(send("{".into()).await.is_client_error());
    assert!(send("[]".into()).await.is_client_error());
    assert_eq!(send(" ".repeat(2000)).await, StatusCode::PAYLOAD_TOO_LARGE);
    let deep = format!("{}{}", "[".repeat(400), "]".repeat(400));
    assert!(send(deep).await.is_client_error());
}
