//! Pictures for prompts, drawn through the queue.

use crate::access::Caller;
use crate::field::{Seed, Size, Steps};
use crate::service::{Image, ImageRequest, Priority, Result, Task};
use crate::{App, Error, waiting};
use futures_util::future::try_join_all;

/// How to draw; the model has defaults for all but the seed.
#[derive(Clone, Copy, Default)]
pub(super) struct Settings {
    pub(super) width: Option<Size>,
    pub(super) height: Option<Size>,
    pub(super) steps: Option<Steps>,
    pub(super) seed: Option<Seed>,
}

/// A task with its picture.
pub(super) struct Drawn {
    pub(super) task: Task,
    pub(super) image: Image,
}

/// Draws a picture for each prompt, the k-th with the seed `seed + k`, and waits for all of them.
pub(super) async fn draw(app: &App, caller: &Caller, prompts: Vec<String>, settings: Settings) -> Result<Vec<Drawn>> {
    let mut tasks = Vec::with_capacity(prompts.len());
    for (k, prompt) in (0..).zip(prompts) {
        let request = settings.request(prompt, k);
        tasks.push(caller.clone().submit(&*app.service, request, Priority::Normal).await?);
    }
    // All are watched at once: what nobody watches is cancelled.
    try_join_all(tasks.iter().map(|task| drawn(app, task))).await
}

async fn drawn(app: &App, task: &Task) -> Result<Drawn> {
    let task = waiting::completed(&*app.service, &task.id).await?;
    let id = *task.images.first().ok_or_else(|| Error::internal("the task has no picture"))?;
    let image = app.service.image(id).await?;
    Ok(Drawn { task, image })
}

impl Settings {
    fn request(self, prompt: String, k: u64) -> ImageRequest {
        ImageRequest {
            prompt,
            width: self.width.map(u32::from),
            height: self.height.map(u32::from),
            steps: self.steps.map(u32::from),
            seed: self.seed.map(|seed| seed.get().wrapping_add(k)),
            count: 1,
            attended: true,
            ..ImageRequest::default()
        }
    }
}
