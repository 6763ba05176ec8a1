//! The route that carries the service itself: every call comes through as it is.

use axum::body::Body;
use easel_contract::calls::{Call, PATH, router};
use easel_contract::service::{Image, ImageRequest, InitImage, Priority, Progress, Status, Task, WatchOptions};
use easel_contract::{Error, Service};
use easel_transcripts::{MemoryService, Setup};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use std::sync::Arc;
use tower::ServiceExt;

async fn ask(service: &Arc<MemoryService>, call: &Call) -> (StatusCode, Vec<u8>) {
    let request = Request::post(PATH).header("content-type", "application/json");
    let request = request.body(Body::from(serde_json::to_vec(call).unwrap())).unwrap();
    let answer = router(service.clone()).oneshot(request).await.unwrap();
    let status = answer.status();
    (status, answer.into_body().collect().await.unwrap().to_bytes().into())
}

fn request() -> ImageRequest {
    let init = Some(InitImage { bytes: vec![1, 2, 255].into(), strength: 0.1 });
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
    assert_eq!(refused(Call::ReadImage { id: 1, start: 2, end: 1 }).await, Error::invalid("end", "before start"));
}
