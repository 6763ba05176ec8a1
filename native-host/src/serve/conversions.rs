//! Between the contract's types and those of the queue and of pictures.

use easel_contract::service::{Image, Paging, PictureFormat, Priority, Progress, Redraw, Result, Status, Task};
use easel_jobs::{Event, Picture, PictureId, Standing};
use easel_picture::ImageFormat;

/// A task with its place in the queue and its pictures.
pub(super) fn report(task: easel_jobs::Task, standing: Standing) -> Task {
    let has_pictures = matches!(task.status, easel_jobs::Status::Completed | easel_jobs::Status::Cancelled);
    let pictures = if has_pictures { standing.pictures } else { Vec::new() };
    Task {
        id: task.id.to_string(),
        status: status(task.status),
        step: task.progress.step,
        steps: task.progress.steps,
        created_at: task.created_at,
        started_at: task.started_at,
        completed_at: task.completed_at,
        prompt: task.prompt,
        seed: task.seed,
        queue_position: standing.position.map(|before| u32::try_from(before).unwrap_or(u32::MAX)),
        error: task.error,
        images: pictures.into_iter().map(PictureId::cast_unsigned).collect(),
    }
}

pub(super) fn image(picture: Picture) -> Result<Image> {
    Ok(Image {
        id: picture.id.cast_unsigned(),
        task_id: picture.task.to_string(),
        prompt: picture.prompt,
        seed: picture.seed,
        created_at: picture.created_at,
        size: picture.length,
        digest: picture.digest,
        media_type: picture.media_type,
    })
}

pub(super) fn progress(event: Event) -> Progress {
    let Event { id, status: now, progress: easel_jobs::Progress { step, steps }, preview, error } = event;
    Progress { sequence: id, status: status(now), step, steps, preview, error }
}

/// Limit and offset.
pub(super) fn bounds(paging: Paging) -> (usize, usize) {
    let limit = paging.limit as usize;
    (limit, limit.saturating_mul((paging.page as usize).saturating_sub(1)))
}

pub(super) fn status(status: easel_jobs::Status) -> Status {
    match status {
        easel_jobs::Status::Pending => Status::Pending,
        easel_jobs::Status::Processing => Status::Processing,
        easel_jobs::Status::Completed => Status::Completed,
        easel_jobs::Status::Cancelled => Status::Cancelled,
        easel_jobs::Status::Error => Status::Error,
    }
}

pub(super) fn status_to_jobs(status: Status) -> easel_jobs::Status {
    match status {
        Status::Pending => easel_jobs::Status::Pending,
        Status::Processing => easel_jobs::Status::Processing,
        Status::Completed => easel_jobs::Status::Completed,
        Status::Cancelled => easel_jobs::Status::Cancelled,
        Status::Error => easel_jobs::Status::Error,
    }
}

pub(super) fn priority_to_jobs(priority: Priority) -> easel_jobs::Priority {
    match priority {
        Priority::Low => easel_jobs::Priority::Low,
        Priority::Normal => easel_jobs::Priority::Normal,
        Priority::High => easel_jobs::Priority::High,
    }
}

/// The kind of file.
pub(super) fn format(format: PictureFormat) -> ImageFormat {
    match format {
        PictureFormat::Png => ImageFormat::Png,
        PictureFormat::Jpeg => ImageFormat::Jpeg,
        PictureFormat::Webp => ImageFormat::WebP,
        PictureFormat::Bmp => ImageFormat::Bmp,
        PictureFormat::Tiff => ImageFormat::Tiff,
        PictureFormat::Gif => ImageFormat::Gif,
    }
}

/// Which part of a mask stands for what is drawn anew.
pub(super) fn redraw(redraw: Redraw) -> easel_picture::Redraw {
    match redraw {
        Redraw::White => easel_picture::Redraw::White,
        Redraw::Black => easel_picture::Redraw::Black,
        Redraw::Transparent => easel_picture::Redraw::Transparent,
    }
}
