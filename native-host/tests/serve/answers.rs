//! Answers with large pictures, and clients that leave early: the routes in this process, over an engine that draws a
//! megabyte at once or never finishes.

use crate::data;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use easel_contract::Service;
use easel_contract::service::{ImageRequest, Paging, Priority, Status, TaskFilter};
use easel_host::serve::{Config, QueueService, router};
use easel_inference::tensor::DeviceKind;
use easel_jobs::{Engine, EngineError, Job, NewPicture};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tower::ServiceExt;

/// The length of a picture in bytes: not a multiple of 3, and many pieces long.
const LENGTH: usize = 1_000_001;

/// The longest allowed piece of an answer.
const PIECE: usize = 80_000;

/// Draws large pictures; with the prompt `never`, waits until it is asked to stop.
struct Large;

impl Engine for Large {
    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError> {
        let request: ImageRequest = serde_json::from_slice(job.request()).unwrap();
        if request.prompt == "never" {
            while !job.should_stop() {
                std::thread::sleep(Duration::from_millis(5));
            }
            return Err(EngineError::Stopped);
        }
        let picture =
            |number: u32| NewPicture { bytes: picture(number).into(), media_type: "image/png".into(), seed: 0 };
        Ok((0..request.count).map(picture).collect())
    }
}

/// The bytes of a task's picture of this number.
fn picture(number: u32) -> Vec<u8> {
    (0..LENGTH).map(|at| (at as u32).wrapping_mul(31).wrapping_add(number) as u8).collect()
}

struct Served {
    service: QueueService,
    router: Router,
    folder: TempDir,
}

impl Served {
    fn start(keep_abandoned: bool) -> Self {
        let folder = data();
        let config = Config {
            model: "stub".into(),
            device: DeviceKind::Cpu,
            data: folder.path().to_owned(),
            keep_abandoned,
            ..Config::default()
        };
        let service = QueueService::with_engines(&config, |_| Box::new(Large)).unwrap();
        let router = router(Arc::new(service.clone()), service.metrics(), &config);
        Self { service, router, folder }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response<Body> {
        self.send(Request::get(path).header(header::HOST, "localhost").body(Body::empty()).unwrap()).await
    }

    /// Draws pictures, and returns the task's id.
    async fn draw(&self, count: u32) -> String {
        let request = ImageRequest { prompt: "a".into(), count, ..ImageRequest::default() };
        let task = self.service.submit(request, Priority::Normal).await.unwrap();
        self.until(&task.id, Status::Completed).await;
        task.id
    }

    async fn until(&self, task: &str, status: Status) {
        let began = Instant::now();
        loop {
            let found = self.service.task(task.to_owned()).await.unwrap().status;
            if found == status {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{found:?} is not {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The id of the only task, once there is one.
    async fn only_task(&self) -> String {
        let filter = || TaskFilter { status: None, paging: Paging { page: 1, limit: 10 } };
        loop {
            if let Some(task) = self.service.tasks(filter()).await.unwrap().items.pop() {
                return task.id;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn imagine(prompt: &str, samples: u32) -> Request<Body> {
    let body = json!({ "prompt": prompt, "H": 64, "W": 64, "ddim_steps": 1, "n_samples": samples });
    let request = Request::post("/imagine").header(header::CONTENT_TYPE, "application/json");
    request.header(header::HOST, "localhost").body(Body::from(body.to_string())).unwrap()
}

/// The text of an answer, after checking that its pieces are short.
async fn in_pieces(response: Response<Body>) -> String {
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        let piece: Bytes = frame.unwrap().into_data().unwrap();
        assert!(piece.len() <= PIECE, "a piece of {} bytes", piece.len());
        text += std::str::from_utf8(&piece).unwrap();
    }
    text
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn f16_large_pictures_are_sent_while_they_are_read() {
    let served = Served::start(false);
    let task = served.draw(3).await;
    let list: Value = serde_json::from_str(&in_pieces(served.get("/images?limit=100").await).await).unwrap();
    assert_eq!(list["length"], 3);
    let numbers: Vec<Vec<u8>> = list["slice"].as_array().unwrap().iter().map(|e| decoded(&e["image_url"])).collect();
    assert_eq!(numbers.len(), 3);
    assert!((0..3).all(|number| numbers.contains(&picture(number))));

    let events = in_pieces(served.get(&format!("/generate-stream/{task}")).await).await;
    let last = events.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!((&last["status"], decoded(&last["result"]["image_url"])), (&json!("completed"), picture(0)));

    let answer = served.send(imagine("a", 2)).await;
    let pictures: Vec<Value> = serde_json::from_str(&in_pieces(answer).await).unwrap();
    assert_eq!(pictures.iter().map(decoded).collect::<Vec<_>>(), [picture(0), picture(1)]);
}

#[tokio::test]
async fn f13_a_damaged_picture_is_left_out_of_a_list() {
    let served = Served::start(false);
    let task = served.draw(2).await;
    let file = served.folder.path().join("pictures").join(format!("{task}-0"));
    let short = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    short.set_len(10).unwrap();
    let list: Value = serde_json::from_str(&in_pieces(served.get("/images").await).await).unwrap();
    let slice = list["slice"].as_array().unwrap();
    assert_eq!((slice.len(), decoded(&slice[0]["image_url"])), (1, picture(1)));
}

/// A request of each family whose clients wait for their pictures.
fn waited_for() -> [Request<Body>; 3] {
    let post = |path: &str, body: Value| {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        request.header(header::HOST, "localhost").body(Body::from(body.to_string())).unwrap()
    };
    [
        imagine("never", 1),
        post("/v1/images/generations", json!({ "prompt": "never" })),
        post("/sdapi/v1/txt2img", json!({ "prompt": "never" })),
    ]
}

#[tokio::test]
async fn f11_a_client_that_leaves_cancels_its_task() {
    for request in waited_for() {
        let served = Served::start(false);
        let waiting = tokio::spawn(served.router.clone().oneshot(request));
        let task = served.only_task().await;
        served.until(&task, Status::Processing).await;
        waiting.abort();
        served.until(&task, Status::Cancelled).await;
    }
}

#[tokio::test]
async fn f11_a_client_that_stops_reading_events_cancels_its_task() {
    let served = Served::start(false);
    let body = json!({ "prompt": "never", "stream": true }).to_string();
    let request = Request::post("/v1/images/generations").header(header::CONTENT_TYPE, "application/json");
    let request = request.header(header::HOST, "localhost").body(Body::from(body)).unwrap();
    let answer = served.send(request).await;
    let task = served.only_task().await;
    served.until(&task, Status::Processing).await;
    drop(answer);
    served.until(&task, Status::Cancelled).await;
}

#[tokio::test]
async fn f11_abandoned_tasks_are_kept_if_configured() {
    for request in waited_for() {
        let served = Served::start(true);
        let waiting = tokio::spawn(served.router.clone().oneshot(request));
        let task = served.only_task().await;
        served.until(&task, Status::Processing).await;
        waiting.abort();
        assert!(waiting.await.is_err());
        tokio::time::sleep(Duration::from_millis(50)).await;
        served.until(&task, Status::Processing).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_client_that_waits_is_told_when_the_service_stops() {
    let served = Served::start(false);
    let waiting = tokio::spawn(served.router.clone().oneshot(imagine("never", 1)));
    let task = served.only_task().await;
    served.until(&task, Status::Processing).await;
    let service = served.service.clone();
    tokio::task::spawn_blocking(move || service.shutdown(Duration::ZERO)).await.unwrap();
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
}
