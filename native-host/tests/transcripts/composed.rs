//! The transcripts through the composed component under `wasmtime serve`, which calls a host in this process.
//!
//! Needs `cargo xtask edge` and a `wasmtime` 48 (`$EASEL_WASMTIME`, else on the path); without them it is skipped, or
//! fails if `EASEL_REQUIRE_EDGE=1`.

use crate::component::{built, missing};
use crate::{Host, KEY, native, play_some};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use easel_transcripts::{Client, Setup, Transcript};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// A `wasmtime` and the component that it compiled.
struct Tools {
    wasmtime: PathBuf,
    compiled: PathBuf,
    _folder: TempDir,
}

impl Tools {
    /// Both, if they are available. Compiled ahead of time, the component starts in milliseconds.
    fn find() -> Option<Self> {
        let component = built("easel_edge_remote.wasm")?;
        let wasmtime = std::env::var_os("EASEL_WASMTIME").map_or("wasmtime".into(), PathBuf::from);
        let version = std::process::Command::new(&wasmtime).arg("--version").output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        if !version.starts_with("wasmtime 48.") {
            return missing(&format!("wasmtime 48 (EASEL_WASMTIME or the path has {version:?})"));
        }
        let folder = TempDir::new().unwrap();
        let compiled = folder.path().join("edge.cwasm");
        let mut compile = std::process::Command::new(&wasmtime);
        let status = compile.arg("compile").arg("-o").arg(&compiled).arg(component).status().unwrap();
        assert!(status.success(), "the component does not compile");
        Some(Self { wasmtime, compiled, _folder: folder })
    }
}

/// `wasmtime serve` with the composed component, and the host that it calls.
struct Edge {
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
    _host: Host,
    _serve: Child,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Edge {
    async fn start(setup: &Setup, tools: &Tools) -> Result<Self> {
        let host = Host::start(setup, native);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = host.router.clone();
        let server = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        // A free port, because `wasmtime serve` does not report the port that it chose.
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let variables = setup.settings().to_environment();
        let serve = Command::new(&tools.wasmtime)
            .args(["serve", "--allow-precompiled", "-S", "cli", "--addr", &address.to_string()])
            .args(["--env", &format!("EASEL_URL={url}")])
            .args(variables.iter().flat_map(|(name, value)| ["--env".to_owned(), format!("{name}={value}")]))
            .args(["--env", &format!("EASEL_INTERNAL_KEY={KEY}")])
            .arg(&tools.compiled)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", tools.wasmtime.display()))?;
        for _ in 0..600 {
            if TcpStream::connect(address).await.is_ok() {
                return Ok(Self { address, server, _host: host, _serve: serve });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("wasmtime does not listen on {address} after 30 s")
    }

    /// Sends a request and returns the answer before its body has arrived.
    async fn open(&self, request: Request<Bytes>) -> Result<Response<hyper::body::Incoming>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { drop(connection.await) });
        let mut request = request.map(Full::new);
        let address = self.address.to_string().try_into()?;
        request.headers_mut().entry(header::HOST).or_insert(address);
        Ok(sender.send_request(request).await?)
    }
}

impl Client for Edge {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let (parts, body) = self.open(request).await?.into_parts();
        Ok(Response::from_parts(parts, body.collect().await.context("the body was cut off")?.to_bytes()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transcript_holds_under_another_host() {
    let Some(tools) = Tools::find() else { return };
    // This host removes the `host` header from requests without telling the component the name.
    let is_wanted = |transcript: &Transcript| !transcript.setup.knows_its_name;
    play_some(is_wanted, async |setup| Edge::start(setup, &tools).await.unwrap()).await;
}

/// Some versions of wasmtime end a body after its first piece, with status 200 and no error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_arrives_complete_and_without_delay() {
    let Some(tools) = Tools::find() else { return };
    let edge = Edge::start(&Setup::default(), &tools).await.unwrap();
    let order = r#"{"prompt":"slowly","width":64,"height":64,"steps":3}"#;
    let request = Request::post("/generate").header(header::CONTENT_TYPE, "application/json");
    let answer = edge.send(request.body(order.into()).unwrap()).await.unwrap();
    let task: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    let path = format!("/generate-stream/{}", task["task_id"].as_str().unwrap());

    let mut body = edge.open(Request::get(path).body(Bytes::new()).unwrap()).await.unwrap().into_body();
    let mut text = String::new();
    let mut arrivals = Vec::new();
    while let Some(frame) = body.frame().await {
        text.push_str(&String::from_utf8_lossy(&frame.unwrap().into_data().unwrap_or_default()));
        while text.contains(&format!("\"step\":{},", arrivals.len() + 1)) {
            arrivals.push(Instant::now());
        }
    }
    assert_eq!(arrivals.len(), 3, "a step is missing: {text}");
    assert!(text.contains("\"status\":\"completed\""), "the last event is missing: {text}");
    for pair in arrivals.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(apart > Duration::from_millis(500), "steps a second apart arrived {apart:?} apart");
    }
}
