//! The internal route carries every call unchanged.

use axum::body::Body;
use easel_contract::calls::{Call, CallSettings, Key, PATH, router};
use easel_contract::service::{
    Image, ImageRequest, InitImage, Mask, Origin, Paste, Priority, Progress, Redraw, Status, Task, WatchOptions,
};
use easel_contract::service::{Paging, TaskFilter, TaskSelection};
use easel_contract::{Error, Limits, Service};
use easel_transcripts::{MemoryService, Setup};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use std::sync::Arc;
use tower::ServiceExt;

const KEY: &str = "a key for tests";

async fn ask(service: &Arc<MemoryService>, call: &Call) -> (StatusCode, Vec<u8>) {
    send(service, KEY, serde_json::to_vec(call).unwrap()).await
}

async fn send(service: &Arc<MemoryService>, key: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let request = Request::post(PATH).header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {key}")).body(Body::from(body)).unwrap();
    let settings = CallSettings { key: Key::new(KEY), body_limit: 2000, offload: None, limits: Limits::default() };
    let answer = router(service.clone(), settings).oneshot(request).await.unwrap();
    let status = answer.status();
    (status, answer.into_body().collect().await.unwrap().to_bytes().into())
}

fn request() -> ImageRequest {
    let mask = Some(Mask {
        bytes: vec![7].into(),
        redraw: Redraw::Black,
        paste: Some(Paste { blur: 4, margin: Some(32), fill: true }),
    });
    let init = Some(InitImage { bytes: vec![1, 2, 255].into(), strength: 0.1, mask });
    let size = (Some(64), Some(64));
    let prompt = "a \u{1f34e}".to_owned();
    ImageRequest {
        prompt,
        width: size.0,
        height: size.1,
        steps: Some(3),
        count: 1,
        seed: Some(u64::MAX),
        init,
        origin: Some(Origin { request_id: Some("7".into()), traceparent: None }),
        ..Default::default()
    }
}

#[tokio::test]
async fn calls_and_answers_are_whole() {
    let service = MemoryService::start(&Setup::default());
    let call = Call::Submit { request: request(), priority: Priority::High };
    assert_eq!(serde_json::from_slice::<Call>(&serde_json::to_vec(&call).unwrap()).unwrap(), call);

    let task: Task = serde_json::from_slice(&ask(&service, &call).await.1).unwrap();
    assert_eq!(task, service.task(task.id.clone()).await.unwrap());
    assert_eq!(task.seed, u64::MAX);

    let options = WatchOptions { after: Some(0), preview: true };
    let (_, lines) = ask(&service, &Call::Watch { id: task.id.clone(), options }).await;
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let reports: Vec<Progress> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert!(reports[reports.len() - 2].preview.is_some());
    assert_eq!(reports.last().unwrap().status, Status::Completed);

    let id = service.task(task.id.clone()).await.unwrap().images[0];
    let image: Image = serde_json::from_slice(&ask(&service, &Call::Image { id }).await.1).unwrap();
    let (status, bytes) = ask(&service, &Call::ReadImage { id, start: 1, end: image.size }).await;
    assert_eq!((status, &bytes[..3], bytes.len() as u64), (StatusCode::OK, &b"PNG"[..], image.size - 1));
}

#[tokio::test]
async fn errors_are_whole() {
    let service = MemoryService::start(&Setup::default());
    let refused = async |call: Call| {
        let (status, body) = ask(&service, &call).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        serde_json::from_slice::<Error>(&body).unwrap()
    };
    let id = "none".to_owned();
    assert_eq!(refused(Call::Task { id: id.clone() }).await, Error::TaskNotFound { task_id: id.clone() });
    assert_eq!(
        refused(Call::Watch { id: id.clone(), options: WatchOptions::default() }).await,
        Error::TaskNotFound { task_id: id }
    );
    assert_eq!(refused(Call::take_run().call).await, Error::RunNotComplete);
    assert_eq!(
        refused(Call::ReadImage { id: 1, start: 2, end: 1 }).await,
        Error::invalid("end", "must not be before start")
    );
    assert_eq!(refused(Call::ReadImage { id: 1, start: 0, end: 1 }).await, Error::ImageNotFound { id: 1 });
}

#[tokio::test]
async fn f1_an_absurd_count_is_refused_by_the_internal_route() {
    let service = MemoryService::start(&Setup::default());
    let refused = async |call: Call| {
        let (status, body) = ask(&service, &call).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        serde_json::from_slice::<Error>(&body).unwrap().to_string()
    };
    let absurd = |change: fn(&mut ImageRequest)| {
        let mut request = request();
        change(&mut request);
        request
    };
    let count = absurd(|request| request.count = u32::MAX);
    let expected = "count: must be between 1 and 256, got 4294967295";
    assert_eq!(refused(Call::run(count.clone()).call).await, expected);
    assert_eq!(refused(Call::submit(count, Priority::High).call).await, expected);
    let large = absurd(|request| request.width = Some(1 << 30));
    assert!(refused(Call::run(large).call).await.starts_with("width: must be a multiple of 8"));
    let paging = Paging { page: 0, limit: u32::MAX };
    assert!(refused(Call::tasks(TaskFilter { status: None, paging }).call).await.starts_with("page: must be"));
    assert!(refused(Call::task("a".repeat(1000)).call).await.starts_with("id: must have at most 200"));
    let ids = Some(vec!["a".repeat(201)]);
    assert!(refused(Call::delete_tasks(TaskSelection { ids, status: None }).call).await.starts_with("task_ids: "));
}

#[tokio::test]
async fn f17_the_internal_route_requires_its_key_and_keeps_its_body_limit() {
    let service = MemoryService::start(&Setup::default());
    let health = serde_json::to_vec(&Call::health().call).unwrap();
    assert_eq!(send(&service, KEY, health.clone()).await.0, StatusCode::OK);
    for key in ["", "a key for test", "a key for tests2"] {
        assert_eq!(send(&service, key, health.clone()).await.0, StatusCode::UNAUTHORIZED, "{key:?}");
    }
    let long = Call::task("a".repeat(2000)).call;
    let (status, body) = ask(&service, &long).await;
    let error = serde_json::from_slice::<Error>(&body).unwrap();
    assert_eq!((status, error), (StatusCode::BAD_REQUEST, Error::BodyTooLarge { limit: 2000 }));
}
