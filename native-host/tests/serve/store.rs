//! The service over a busy or damaged store, or one from an earlier process, called as by the routes.

use crate::data;
use easel_contract::service::{ImageFilter, ImageRequest, Paging, Priority, Status, Task, TaskFilter};
use easel_contract::{Error, Service};
use easel_host::serve::{Config, QueueService};
use easel_inference::tensor::DeviceKind;
use futures_util::StreamExt;
use futures_util::future::join_all;
use std::path::Path;
use std::time::{Duration, Instant};

fn open(data: &Path, engines: usize) -> QueueService {
    let data = data.to_owned();
    let config = Config { model: "stub".into(), device: DeviceKind::Cpu, data, engines, ..Config::default() };
    QueueService::open(&config).unwrap()
}

fn request() -> ImageRequest {
    ImageRequest { prompt: "a cat".into(), width: Some(64), height: Some(64), count: 1, ..ImageRequest::default() }
}

async fn drawn(service: &QueueService) -> Task {
    let task = service.submit(request(), Priority::Normal).await.unwrap();
    loop {
        let task = service.task(task.id.clone()).await.unwrap();
        if task.status.is_final() {
            assert_eq!(task.status, Status::Completed, "{task:?}");
            return task;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const FIRST: Paging = Paging { page: 1, limit: 1000 };

#[tokio::test]
async fn f8_five_thousand_waiting_tasks_are_listed_at_once() {
    let data = data();
    let service = open(data.path(), 0);
    let database = rusqlite::Connection::open(data.path().join("easel.db")).unwrap();
    let fill = "WITH RECURSIVE place (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM place WHERE n < 5000)
                INSERT INTO task (id, status, priority, prompt, seed, request, created_at)
                SELECT printf('%08x-0000-4000-8000-000000000000', n), 'pending', 1, 'a cat', n, x'7b7d', n FROM place";
    database.execute_batch(fill).unwrap();
    let began = Instant::now();
    for page in 1..=5 {
        let tasks = service.tasks(TaskFilter { status: None, paging: Paging { page, ..FIRST } }).await.unwrap();
        assert_eq!((tasks.total, tasks.items.len()), (5000, 1000));
        let last = &tasks.items[999];
        assert_eq!(last.queue_position, Some(4000 - 1000 * (page - 1)));
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// All of this runs on one thread: a blocking call would hold up the others.
#[tokio::test]
async fn f9_while_the_database_is_locked_only_writers_wait() {
    let data = data();
    let service = open(data.path(), 1);
    let task = drawn(&service).await;
    let other = rusqlite::Connection::open(data.path().join("easel.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let writes = join_all((0..8).map(|_| service.run(request())));
    let reads = async {
        let began = Instant::now();
        for _ in 0..10 {
            assert!(service.latest_run().await.unwrap().is_none());
            assert!(Service::metrics(&service).await.unwrap().contains("easel_tasks{status=\"completed\"} 1"));
            assert_eq!(service.task(task.id.clone()).await.unwrap(), task);
        }
        began.elapsed()
    };
    let began = Instant::now();
    let (written, read, health) = tokio::join!(writes, reads, service.health());
    assert!(read < Duration::from_secs(1), "{read:?}");
    assert!(written.iter().all(|run| matches!(run, Err(Error::Busy { retry_after: 1.. }))), "{written:?}");
    let database = &health.checks[0];
    assert_eq!((database.0.as_str(), database.1.is_some()), ("database", true), "{health:?}");
    assert!(!format!("{health:?}").contains(&data.path().display().to_string()), "f18: {health:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    other.execute_batch("COMMIT").unwrap();
    let first = service.run(request()).await.unwrap();
    assert_eq!(first.status, Status::Pending, "no refused task is in the store");
}

#[tokio::test]
async fn f13_a_damaged_picture_fails_before_its_first_byte_and_the_others_are_whole() {
    let data = data();
    let service = open(data.path(), 1);
    let damaged = drawn(&service).await;
    let whole = drawn(&service).await;
    std::fs::write(data.path().join("pictures").join(format!("{}-0", damaged.id)), "PNG").unwrap();
    let page = service.images(ImageFilter { task_id: None, paging: FIRST }).await.unwrap();
    assert_eq!(page.total, 2);
    for image in page.items {
        let bytes = service.read_image(image.id, 0..image.size).await;
        if image.task_id == whole.id {
            let pieces: Vec<_> = bytes.unwrap().map(Result::unwrap).collect().await;
            assert_eq!(pieces.concat().len() as u64, image.size);
        } else {
            let refused = bytes.err().unwrap();
            assert_eq!(refused, Error::internal("the picture is damaged"));
        }
    }
}

#[tokio::test]
async fn f19_a_run_of_an_earlier_process_goes_on_and_its_picture_can_be_taken() {
    let data = data();
    let service = open(data.path(), 0);
    let run = service.run(request()).await.unwrap();
    service.shutdown(Duration::ZERO);
    drop(service);
    let service = open(data.path(), 0);
    assert_eq!(service.run(request()).await.unwrap_err(), Error::RunInProgress);
    assert_eq!(service.select_device(None).await.unwrap_err(), Error::RunInProgress);
    service.shutdown(Duration::ZERO);
    drop(service);
    let service = open(data.path(), 1);
    while !service.latest_run().await.unwrap().unwrap().task.status.is_final() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(service.latest_run().await.unwrap().unwrap().task.id, run.id);
    assert_eq!(service.take_run().await.unwrap().task_id, run.id);
    assert_eq!(service.take_run().await.unwrap_err(), Error::RunNotComplete);
}
