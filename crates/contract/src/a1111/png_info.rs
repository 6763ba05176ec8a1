//! `POST /sdapi/v1/png-info`: the settings inside a picture.

use super::WebUiError;
use super::infotext::Infotext;
use crate::extract::JsonBody;
use crate::service::Result;
use crate::wire::Base64;
use crate::{Error, head};
use axum::Json;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A picture.
#[derive(Deserialize, ToSchema)]
#[schema(as = WebUiPicture)]
pub(crate) struct Picture {
    /// A PNG, JPEG or WebP in base64 or as a `data:` URL.
    #[schema(value_type = String)]
    image: Base64,
}

/// Its settings.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = WebUiPictureInfo)]
pub(crate) struct PictureInfo {
    /// The text; empty if there is none.
    info: String,
    /// Always empty.
    items: BTreeMap<String, String>,
    /// The parsed text.
    parameters: BTreeMap<String, String>,
}

/// Read the settings inside a picture.
#[utoipa::path(post, path = "/sdapi/v1/png-info", tag = "sdapi", request_body = Picture,
    responses((status = 200, body = PictureInfo), (status = 422, body = WebUiError)))]
pub(crate) async fn png_info(JsonBody(picture): JsonBody<Picture>) -> Result<Json<PictureInfo>> {
    let Base64(bytes) = picture.image;
    if head::size(&bytes).is_none() {
        return Err(Error::invalid("image", "must be a PNG, JPEG or WebP"));
    }
    let Some(info) = head::settings(&bytes) else { return Ok(Json(PictureInfo::default())) };
    let Infotext { prompt, negative_prompt, settings } = Infotext::read(&info);
    let prompts = [("Prompt".to_owned(), prompt), ("Negative prompt".to_owned(), negative_prompt)];
    let mut parameters: BTreeMap<String, String> = prompts.into_iter().chain(settings).collect();
    if let Some((width, height)) = parameters.get("Size").and_then(|size| size.split_once('x')) {
        let sides = [("Size-1".to_owned(), width.to_owned()), ("Size-2".to_owned(), height.to_owned())];
        parameters.extend(sides);
    }
    Ok(Json(PictureInfo { info, items: BTreeMap::new(), parameters }))
}
