//! Plays the contract's transcripts against the queue and its store behind the router, behind the component, and behind
//! the component composed for other hosts. The gRPC services are tested on the same queue.

#[cfg(feature = "component")]
mod component;
#[cfg(feature = "component")]
mod composed;
mod engine;
#[cfg(feature = "grpc")]
mod grpc;
mod secure;

use anyhow::Result;
use axum::Router;
use bytes::Bytes;
use easel_contract::calls::Key;
use easel_host::serve::{Config, QueueService, router};
use easel_inference::tensor::DeviceKind;
use easel_transcripts::{Client, Setup, Transcript, all, play};
use engine::Slow;
use http::{Request, Response};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tower::ServiceExt;

/// The key of the internal route.
const KEY: &str = "a key for transcripts";

/// A tiny model with random weights.
fn golden(name: &str) -> String {
    format!("{}/../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A service and its routes, with a separate data folder.
struct Host {
    router: Router,
    /// Locks the database against writes, if the transcript requires that.
    _lock: Option<rusqlite::Connection>,
    _folder: TempDir,
}

impl Host {
    fn start(setup: &Setup, routes: impl FnOnce(QueueService, &Config) -> Router) -> Self {
        let folder = TempDir::new().unwrap();
        let settings = setup.settings();
        let config = Config {
            model: "stub".into(),
            device: DeviceKind::Cpu,
            data: folder.path().to_owned(),
            capacity: setup.queue,
            body_limit: settings.body_limit,
            origins: settings.origins,
            host_names: settings.host_names,
            keys: settings.keys,
            internal_key: Some(Key::new(KEY)),
            clip: setup.clip.then(|| golden("clip-vit")),
            sam: setup.sam.then(|| golden("sam")),
            ..Config::default()
        };
        let service = QueueService::with_engines(&config, |_| Box::new(Slow)).unwrap();
        if setup.stopping {
            service.shutdown(Duration::ZERO);
        }
        let lock = setup.unhealthy.then(|| {
            let other = rusqlite::Connection::open(folder.path().join("easel.db")).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            other
        });
        Self { router: routes(service, &config), _lock: lock, _folder: folder }
    }
}

impl Client for Host {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let answer = self.router.clone().oneshot(request.map(axum::body::Body::from)).await?;
        let (parts, body) = answer.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    }
}

/// The routes, answered by this program itself.
fn native(service: QueueService, config: &Config) -> Router {
    router(Arc::new(service.clone()), service.metrics(), config)
}

/// Plays every transcript, each against its own host. All hosts are started first, because starting one takes a while
/// and would delay running transcripts.
async fn play_all<C: Client>(start: impl AsyncFn(&Setup) -> C) {
    play_some(|_| true, start).await;
}

/// Plays some of the transcripts.
async fn play_some<C: Client>(is_wanted: impl Fn(&Transcript) -> bool, start: impl AsyncFn(&Setup) -> C) {
    let mut ready: Vec<(Transcript, C)> = Vec::new();
    for transcript in all().unwrap().into_iter().filter(is_wanted) {
        let host = start(&transcript.setup).await;
        ready.push((transcript, host));
    }
    // Analyses keep the processor busy, and the others would miss what happens while a picture is drawn.
    let (seeing, others): (Vec<_>, Vec<_>) =
        ready.iter().partition(|(transcript, _)| transcript.setup.clip || transcript.setup.sam);
    let mut failed: Vec<String> = Vec::new();
    for group in [others, seeing] {
        let played = group
            .into_iter()
            .map(async |(transcript, host)| play(transcript, host).await.err().map(|error| format!("{error:#}")));
        failed.extend(futures_util::future::join_all(played).await.into_iter().flatten());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transcript_holds_natively() {
    play_all(async |setup| Host::start(setup, native)).await;
}
