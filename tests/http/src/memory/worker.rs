//! The engine: 10 ms for a step, then a blue picture.

use super::MemoryService;
use crate::picture;
use easel_contract::service::{Image, ImageRequest, Status, Task};
use std::sync::Weak;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// How long a denoising step takes.
const STEP: Duration = Duration::from_millis(10);

/// Draws one task after the other, until the service is gone.
pub(crate) async fn work(service: Weak<MemoryService>, mut changed: watch::Receiver<()>) {
    while changed.changed().await.is_ok() {
        loop {
            let Some(strong) = service.upgrade() else { return };
            let Some((id, request)) = strong.state().begin_next() else { break };
            strong.announce();
            drop(strong);
            draw(&service, &id, &request).await;
        }
    }
}

async fn draw(service: &Weak<MemoryService>, id: &str, request: &ImageRequest) {
    for _ in 0..request.steps.unwrap_or(20) * request.count {
        tokio::time::sleep(STEP).await;
        let Some(service) = service.upgrade() else { return };
        let is_cancelled = {
            let mut state = service.state();
            let Ok(entry) = state.find_mut(id) else { return };
            let is_cancelled = entry.task.status == Status::Cancelled;
            if !is_cancelled {
                entry.change(|task| task.step += 1);
            }
            is_cancelled
        };
        if is_cancelled {
            return;
        }
        service.announce();
    }
    if let Some(service) = service.upgrade() {
        finish(&service, id, request);
        service.announce();
    }
}

fn finish(service: &MemoryService, id: &str, request: &ImageRequest) {
    let mut state = service.state();
    let Ok(task) = state.find(id).map(|entry| entry.task.clone()) else { return };
    let width = request.width.unwrap_or(512);
    let height = request.height.unwrap_or(512);
    let (width, height) = request.hires.map_or((width, height), |hires| hires.size(width, height));
    let encoding = request.encoding.unwrap_or_default();
    let stub = |k: u64| {
        let seed = task.seed.wrapping_add(k);
        let settings = format!("{}\nSteps: {}, Seed: {seed}, Size: {width}x{height}", request.prompt, task.steps);
        picture::stub(width, height, encoding, &settings)
    };
    let pictures: Result<Vec<Vec<u8>>, _> = (0..u64::from(request.count)).map(stub).collect();
    let pictures = match pictures {
        Ok(pictures) if !request.prompt.contains("please fail") => Ok(pictures),
        Ok(_) => Err("asked to fail".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let stored = pictures.map(|pictures| {
        let numbered = (0..).zip(pictures);
        let media_type = picture::media_type(encoding);
        let ids = numbered.map(|(k, bytes)| {
            let seed = task.seed.wrapping_add(k);
            state.store(Image { seed, size: bytes.len() as u64, ..image(&task, media_type) }, bytes)
        });
        ids.collect::<Vec<u64>>()
    });
    let Ok(entry) = state.find_mut(id) else { return };
    entry.change(|task| match stored {
        Ok(images) => (task.status, task.images) = (Status::Completed, images),
        Err(error) => (task.status, task.error) = (Status::Error, Some(error)),
    });
}

/// The record of a picture of a task, but for what only the picture says.
fn image(task: &Task, media_type: &str) -> Image {
    Image {
        id: 0,
        task_id: task.id.clone(),
        prompt: task.prompt.clone(),
        seed: task.seed,
        created_at: SystemTime::now(),
        size: 0,
        digest: String::new(),
        media_type: media_type.to_owned(),
    }
}
