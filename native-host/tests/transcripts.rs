//! Every conversation of the contract's transcripts, with the queue and its store behind the router.

use anyhow::Result;
use axum::Router;
use bytes::Bytes;
use easel_contract::service::ImageRequest;
use easel_host::serve::{Config, Studio, router};
use easel_inference::pipeline::{EncodeOptions, Image, ImageFormat};
use easel_inference::tensor::DeviceKind;
use easel_jobs::{Engine, EngineError, Job, NewPicture, Progress};
use easel_transcripts::{Client, Setup, Transcript, all, play};
use http::{Request, Response};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tower::ServiceExt;

/// Draws the stub picture in steps of 10 ms, and fails when the prompt asks for that.
struct Slow;

impl Engine for Slow {
    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError> {
        let failed = |error: &dyn std::fmt::Display| EngineError::Failed(error.to_string());
        let request: ImageRequest = serde_json::from_slice(job.request()).map_err(|error| failed(&error))?;
        let steps = request.steps.unwrap_or(20) * request.count;
        for step in 1..=steps {
            if job.should_stop() {
                return Err(EngineError::Stopped);
            }
            std::thread::sleep(Duration::from_millis(10));
            if request.prompt.contains("please fail") {
                return Err(EngineError::Failed("the prompt asked for it".into()));
            }
            let preview = job.wants_previews().then(|| Bytes::from_static(b"\xff\xd8\xff"));
            job.report(Progress { step, steps }, preview);
        }
        let [width, height] = [request.width, request.height].map(|side| side.unwrap_or(512) as usize);
        let picture = |number| {
            let seed = request.seed.unwrap_or_default().wrapping_add(number);
            let parameters = format!("{}\nSeed: {seed}", request.prompt);
            let options = EncodeOptions { parameters: Some(&parameters), ..EncodeOptions::default() };
            let bytes = Image::stub(width, height).and_then(|image| image.encode(ImageFormat::Png, &options));
            let bytes = bytes.map_err(|error| failed(&error))?.into();
            Ok(NewPicture { bytes, media_type: "image/png".into(), seed })
        };
        (0..u64::from(request.count)).map(picture).collect()
    }
}

/// A studio and its router, in a data folder of their own.
struct Host {
    router: Router,
    /// Keeps the database from being written to, if the transcript wants that.
    _lock: Option<rusqlite::Connection>,
    _folder: TempDir,
}

impl Host {
    fn start(setup: &Setup) -> Self {
        let folder = TempDir::new().unwrap();
        let config = Config {
            model: "stub".into(),
            device: DeviceKind::Cpu,
            data: folder.path().to_owned(),
            capacity: setup.queue,
            body_limit: setup.body_limit,
            origins: setup.origins.parse().unwrap(),
            ..Config::default()
        };
        let studio = Studio::with_engines(&config, |_| Box::new(Slow)).unwrap();
        if setup.stopping {
            studio.shutdown(Duration::ZERO);
        }
        let lock = setup.unhealthy.then(|| {
            let other = rusqlite::Connection::open(folder.path().join("easel.db")).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            other
        });
        let router = router(Arc::new(studio.clone()), studio.metrics(), &config);
        Self { router, _lock: lock, _folder: folder }
    }
}

impl Client for Host {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let answer = self.router.clone().oneshot(request.map(axum::body::Body::from)).await?;
        let (parts, body) = answer.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    }
}

async fn played(transcript: Transcript) -> Option<String> {
    play(&transcript, &Host::start(&transcript.setup)).await.err().map(|error| format!("{error:#}"))
}

#[tokio::test]
async fn every_transcript_holds() {
    let played = futures_util::future::join_all(all().unwrap().into_iter().map(played)).await;
    let failed: Vec<String> = played.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
