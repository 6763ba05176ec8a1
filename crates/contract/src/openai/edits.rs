//! `POST /v1/images/edits`: pictures from a picture and a text, as a form or as JSON.

use super::answer::ImagesResponse;
use super::draw::{Asker, Kind, Wish, draw};
use super::error::OpenAiError;
use super::source::{Sources, Upload};
use super::stream::StreamEvent;
use crate::error::Place;
use crate::extract::{from_fields, parse};
use crate::multipart::{FormOrJson, Part};
use crate::service::{InitImage, Mask, Paste, Redraw, Result};
use crate::{Error, head};
use axum::body::Bytes;
use axum::response::Response;
use serde_json::{Map, Value};

/// The default strength: how much of the picture to change.
const STRENGTH: f64 = 0.75;

/// Edit a picture, as OpenAI's clients request it.
///
/// In a form the picture is the file `image` (or `image[]`), and the mask is `mask`. In JSON they are in base64 or
/// `data:` URLs, and the picture may also be in `images`. Where the mask is transparent, the picture is redrawn; the
/// rest stays. All other fields are those of `/v1/images/generations`.
#[utoipa::path(post, path = "/v1/images/edits", tag = "openai",
    request_body(content((Upload = "multipart/form-data"), (Upload = "application/json"))),
    responses((status = 200, content((ImagesResponse = "application/json"), (StreamEvent = "text/event-stream")),
               headers(("x-easel-seed" = u64, description = "the seed of the first picture"))),
              (status = 400, body = OpenAiError, description = "a field is wrong"),
              (status = 404, body = OpenAiError, description = "no such model"),
              (status = 409, body = OpenAiError, description = "cancelled by another client"),
              (status = 429, body = OpenAiError, description = "the queue is full"),
              (status = 503, body = OpenAiError, description = "shutting down")))]
pub(crate) async fn edits(asker: Asker, body: FormOrJson) -> Result<Response> {
    let (wish, sources) = match body {
        FormOrJson::Form(parts) => read_form(parts)?,
        FormOrJson::Json(body) => body.read_with(|bytes| Ok((parse(bytes)?, parse(bytes)?))).await?,
    };
    let init = sources.into_init(wish.strength.map_or(STRENGTH, |strength| strength.0))?;
    draw(asker, wish, Some(init), Kind::Edit).await
}

/// The fields and the pictures of a form. An empty text counts as missing.
fn read_form(parts: Vec<Part>) -> Result<(Wish, Sources)> {
    let mut fields = Map::new();
    let mut sources = Sources::default();
    for part in parts {
        match part.name.as_str() {
            "image" | "image[]" => sources.images.push(part.value),
            "mask" | "mask[]" => sources.mask = Some(part.value),
            _ if part.value.is_empty() => {}
            _ => drop(fields.insert(part.name.clone(), Value::String(part.text()?))),
        }
    }
    Ok((from_fields(fields, Place::Body)?, sources))
}

impl Sources {
    /// The initial picture.
    fn into_init(self, strength: f64) -> Result<InitImage> {
        let [bytes]: [Bytes; 1] = self.images.try_into().map_err(|images: Vec<Bytes>| match images.len() {
            0 => Error::invalid("image", "required"),
            count => Error::invalid("image", format!("must be one picture, got {count}")),
        })?;
        let size = check("image", &bytes)?;
        let Some(mask) = self.mask else { return Ok(InitImage { bytes, strength, mask: None }) };
        let (width, height) = check("mask", &mask)?;
        if (width, height) != size {
            let reason = format!("has {width}x{height} pixels, but the picture has {}x{}", size.0, size.1);
            return Err(Error::invalid("mask", reason));
        }
        let mask = Some(Mask { bytes: mask, redraw: Redraw::Transparent, paste: Some(Paste::default()) });
        Ok(InitImage { bytes, strength, mask })
    }
}

/// The size of a picture. Only its header is checked; the service decodes it.
fn check(field: &str, bytes: &[u8]) -> Result<(u32, u32)> {
    head::size(bytes).ok_or_else(|| Error::invalid(field, "must be a PNG, JPEG or WebP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, value: &'static [u8]) -> Part {
        Part { name: name.into(), value: Bytes::from_static(value) }
    }

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40\0\0\0\x40";
    const WIDE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x80\0\0\0\x40";

    fn refused(parts: Vec<Part>) -> String {
        let read = read_form(parts).and_then(|(_, sources)| sources.into_init(STRENGTH));
        read.unwrap_err().to_string()
    }

    #[test]
    fn a_form_has_one_picture_and_optionally_a_mask_of_its_size() {
        let prompt = || part("prompt", b"a cat");
        let (_, sources) =
            read_form(vec![prompt(), part("image[]", PNG), part("mask", PNG), part("user", b"")]).unwrap();
        let init = sources.into_init(0.5).unwrap();
        assert_eq!((&init.bytes[..], init.strength, init.mask.unwrap().redraw), (PNG, 0.5, Redraw::Transparent));
        assert_eq!(refused(vec![prompt()]), "image: required");
        assert_eq!(refused(vec![part("image", PNG)]), "prompt: required");
        let two = vec![prompt(), part("image", PNG), part("image", PNG)];
        assert_eq!(refused(two), "image: must be one picture, got 2");
        assert_eq!(refused(vec![prompt(), part("image", b"cat")]), "image: must be a PNG, JPEG or WebP");
        let other = vec![prompt(), part("image", PNG), part("mask", WIDE)];
        assert_eq!(refused(other), "mask: has 128x64 pixels, but the picture has 64x64");
        assert!(refused(vec![part("prompt", b"\xff"), part("image", PNG)]).starts_with("prompt: must be text"));
        let wrong = refused(vec![prompt(), part("image", PNG), part("n", b"11")]);
        assert_eq!(wrong, "n: invalid value: integer `11`, expected an integer from 1 to 10");
    }
}
