//! The transcripts against the composed component under `wasmtime serve`, whose host is a router of this process.
//!
//! Needs `cargo xtask edge` and a `wasmtime` 48 (`$WASMTIME`, else on the path); without them it is skipped, unless
//! `EASEL_REQUIRE_EDGE=1` promises them.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use easel_contract::studio;
use easel_transcripts::{Client, MemoryService, Setup, all, play};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// `wasmtime serve` with the composed component, and the host that it calls.
struct Edge {
    address: SocketAddr,
    host: tokio::task::JoinHandle<()>,
    _serve: Child,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.host.abort();
    }
}

/// The component and the program that serves it, if both are there.
fn tools() -> Option<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let component = root.join("edge/target/wasm32-wasip2/release/easel_edge_remote.wasm");
    let wasmtime = std::env::var_os("WASMTIME").map_or("wasmtime".into(), PathBuf::from);
    let version = std::process::Command::new(&wasmtime).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let missing = match (component.is_file(), version.starts_with("wasmtime 48.")) {
        (true, true) => return Some((component, wasmtime)),
        (false, _) => "the component, which `cargo xtask edge` builds".to_owned(),
        (true, false) => format!("wasmtime 48 (found: {version:?})"),
    };
    assert!(std::env::var_os("EASEL_REQUIRE_EDGE").is_none(), "EASEL_REQUIRE_EDGE is set, but there is no {missing}");
    eprintln!("skipped: there is no {missing}");
    None
}

impl Edge {
    async fn start(setup: &Setup, component: &Path, wasmtime: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let routes = studio::router(MemoryService::start(setup));
        let host = tokio::spawn(async move { drop(axum::serve(listener, routes).await) });
        // A free port; `wasmtime serve` does not say which one it has taken when asked for any.
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let serve = Command::new(wasmtime)
            .args(["serve", "-S", "cli", "--addr", &address.to_string()])
            .args(["--env", &format!("EASEL_URL={url}"), "--env", &format!("EASEL_ORIGINS={}", setup.origins)])
            .args(["--env", &format!("EASEL_BODY_LIMIT={}", setup.body_limit)])
            .arg(component)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", wasmtime.display()))?;
        for _ in 0..600 {
            if TcpStream::connect(address).await.is_ok() {
                return Ok(Self { address, host, _serve: serve });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("wasmtime does not listen on {address} after 30 s")
    }

    /// Sends a request; the body of the answer is still to come.
    async fn open(&self, request: Request<Bytes>) -> Result<Response<hyper::body::Incoming>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { drop(connection.await) });
        let mut request = request.map(Full::new);
        request.headers_mut().insert(header::HOST, self.address.to_string().try_into()?);
        Ok(sender.send_request(request).await?)
    }
}

impl Client for Edge {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let (parts, body) = self.open(request).await?.into_parts();
        Ok(Response::from_parts(parts, body.collect().await.context("the body was cut")?.to_bytes()))
    }
}

#[tokio::test]
async fn every_transcript_holds() {
    let Some((component, wasmtime)) = tools() else { return };
    let mut failed = Vec::new();
    for transcript in all().unwrap() {
        let edge = Edge::start(&transcript.setup, &component, &wasmtime).await.unwrap();
        failed.extend(play(&transcript, &edge).await.err().map(|error| format!("{error:#}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// Some versions of wasmtime end a body that comes in pieces after the first one, with status 200 and no error.
#[tokio::test]
async fn a_stream_arrives_complete_and_as_it_is_made() {
    let Some((component, wasmtime)) = tools() else { return };
    let edge = Edge::start(&Setup::default(), &component, &wasmtime).await.unwrap();
    let order = r#"{"prompt":"a cat","width":64,"height":64,"steps":300}"#;
    let request = Request::post("/generate").header(header::CONTENT_TYPE, "application/json");
    let answer = edge.send(request.body(order.into()).unwrap()).await.unwrap();
    let task: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    let path = format!("/generate-stream/{}", task["task_id"].as_str().unwrap());

    let begin = Instant::now();
    let mut body = edge.open(Request::get(path).body(Bytes::new()).unwrap()).await.unwrap().into_body();
    let (mut text, mut arrivals) = (String::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        text.push_str(&String::from_utf8_lossy(&frame.unwrap().into_data().unwrap_or_default()));
        arrivals.push(begin.elapsed());
    }
    for step in 2..300 {
        assert!(text.contains(&format!("\"step\":{step},")), "step {step} is missing");
    }
    assert!(text.contains("\"status\":\"completed\""), "the last event is missing: {text}");
    let (first, last) = (arrivals[0], arrivals[arrivals.len() - 1]);
    assert!(last - first > Duration::from_secs(2), "everything came at once: from {first:?} to {last:?}");
}
