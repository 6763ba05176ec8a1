//! Answers to calls: texts, small previews, and links to the full pictures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use easel_contract::links::Link;
use easel_contract::service::{Image, Model, Result, Service, Task};
use easel_contract::{Error, tools};
use easel_picture::{EncodeOptions, ImageFormat, Limits};
use rmcp::model::{CallToolResult, ContentBlock, Resource, ResourceContents};
use serde_json::json;

/// The longer side of a preview in pixels, and its quality as a JPEG.
const PREVIEW: usize = 256;
const QUALITY: u8 = 80;

/// The pictures of a task.
pub(super) async fn drawn(service: &dyn Service, task: Task, base: &str) -> Result<CallToolResult> {
    let count = task.images.len();
    let mut content = Vec::with_capacity(3 * count);
    let mut pictures = Vec::with_capacity(count);
    for (number, id) in (1..).zip(&task.images) {
        let image = service.image(*id).await?;
        let (image, bytes) = tools::whole(service, &Link::to(&image)).await?;
        let made = tokio::task::spawn_blocking(move || preview(&bytes)).await.map_err(Error::internal)?;
        let Preview { jpeg, width, height } = made.map_err(Error::internal)?;
        let Image { seed, ref media_type, .. } = image;
        let words = format!("Picture {number} of {count}: {width}x{height} pixels, {media_type}, seed {seed}.");
        content.push(ContentBlock::text(words));
        content.push(ContentBlock::image(STANDARD.encode(jpeg), ImageFormat::Jpeg.media_type()));
        let resource = resource(&image, base);
        pictures.push(json!({
            "uri": resource.uri, "seed": seed, "width": width, "height": height, "media_type": media_type,
            "bytes": image.size,
        }));
        content.push(ContentBlock::resource_link(resource));
    }
    let mut result = CallToolResult::success(content);
    result.structured_content = Some(json!({ "task_id": task.id, "pictures": pictures }));
    Ok(result)
}

/// The list of models.
pub(super) fn models(models: Vec<Model>) -> CallToolResult {
    let entry = |model: Model| json!({ "name": model.name, "width": model.width, "height": model.height, "steps": model.steps });
    let models = json!({ "models": models.into_iter().map(entry).collect::<Vec<_>>() });
    let mut result = CallToolResult::success(vec![ContentBlock::text(models.to_string())]);
    result.structured_content = Some(models);
    result
}

/// A stored picture as a resource.
pub(super) fn resource(image: &Image, base: &str) -> Resource {
    let kind = image.media_type.rsplit('/').next().unwrap_or_default();
    Resource::new(Link::to(image).under(base), format!("picture-{}.{kind}", image.id))
        .with_description(image.prompt.clone())
        .with_mime_type(image.media_type.clone())
        .with_size(image.size)
}

/// The bytes of a stored picture.
pub(super) fn contents(image: &Image, bytes: &[u8], uri: &str) -> ResourceContents {
    ResourceContents::blob(STANDARD.encode(bytes), uri).with_mime_type(image.media_type.clone())
}

/// A small picture, and the size of the large one.
struct Preview {
    jpeg: Vec<u8>,
    width: usize,
    height: usize,
}

fn preview(file: &[u8]) -> easel_picture::Result<Preview> {
    let image = easel_picture::Image::decode(file, &Limits::default())?;
    let width = image.width;
    let height = image.height;
    Ok(Preview { jpeg: small(image)?, width, height })
}

/// A picture as a JPEG of at most the size of a preview.
pub(super) fn small(image: easel_picture::Image) -> easel_picture::Result<Vec<u8>> {
    let longer = image.width.max(image.height).max(PREVIEW);
    let side = |side: usize| (side * PREVIEW / longer).max(1);
    let small = if longer > PREVIEW { image.resized(side(image.width), side(image.height))? } else { image };
    small.encode(ImageFormat::Jpeg, &EncodeOptions { quality: QUALITY, ..EncodeOptions::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_are_small_and_keep_their_shape() {
        let png = |width, height| {
            let image = easel_picture::Image::stub(width, height).unwrap();
            image.encode(ImageFormat::Png, &EncodeOptions::default()).unwrap()
        };
        for (size, expected) in [((128, 64), (128, 64)), ((1024, 512), (256, 128)), ((64, 2048), (8, 256))] {
            let made = preview(&png(size.0, size.1)).unwrap();
            assert_eq!((made.width, made.height), size);
            assert_eq!(easel_picture::Image::dimensions(&made.jpeg).unwrap(), expected);
        }
        assert!(preview(b"no picture").is_err());
    }
}
