//! The engine: 10 ms per step, then a blue picture.

use super::MemoryService;
use crate::picture;
use easel_contract::service::{Image, ImageRequest, Status, Task};
use std::sync::Weak;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// The duration of a denoising step.
const STEP: Duration = Duration::from_millis(10);

/// Draws one task after another until the service is dropped.
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
    for number in 0..u64::from(request.count) {
        for _ in 0..request.steps.unwrap_or(20) {
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
        let Some(service) = service.upgrade() else { return };
        if let Err(error) = store(&service, id, request, number) {
            return end(&service, id, Some(error));
        }
    }
    if let Some(service) = service.upgrade() {
        end(&service, id, None);
    }
}

/// Stores the picture with this number.
fn store(service: &MemoryService, id: &str, request: &ImageRequest, number: u64) -> Result<(), String> {
    if request.prompt.contains("please fail") {
        return Err("asked to fail".to_owned());
    }
    let mut state = service.state();
    let Ok(task) = state.find(id).map(|entry| entry.task.clone()) else { return Ok(()) };
    let width = request.width.unwrap_or(512);
    let height = request.height.unwrap_or(512);
    let (width, height) = request.hires.map_or((width, height), |hires| hires.size(width, height));
    let encoding = request.encoding.unwrap_or_default();
    let seed = task.seed.wrapping_add(number);
    let settings = format!("{}\nSteps: {}, Seed: {seed}, Size: {width}x{height}", request.prompt, task.steps);
    let bytes = picture::stub(width, height, encoding, &settings).map_err(|error| error.to_string())?;
    let media_type = picture::media_type(encoding);
    let stored = state.store(Image { seed, size: bytes.len() as u64, ..image(&task, media_type) }, bytes);
    if let Ok(entry) = state.find_mut(id) {
        entry.task.images.push(stored);
    }
    Ok(())
}

/// Ends a task unless it was cancelled.
fn end(service: &MemoryService, id: &str, error: Option<String>) {
    if let Ok(entry) = service.state().find_mut(id)
        && entry.task.status == Status::Processing
    {
        entry.change(|task| {
            task.status = if error.is_none() { Status::Completed } else { Status::Error };
            task.error = error;
        });
    }
    service.announce();
}

/// The record of a task's picture, without the fields that depend on the picture.
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
