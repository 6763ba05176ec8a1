//! The answer of `txt2img` and `img2img`: pictures in base64, the request, and a string of JSON about what was drawn.

use super::infotext::Infotext;
use super::progress::timestamp;
use super::wish::Wish;
use crate::pictures::{Framed, List};
use crate::service::{Image, Result, Task};
use crate::{App, Error, head, wire};
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A finished request: its task, its fields, and the names that clients see.
pub(super) struct Drawn {
    pub(super) wish: Wish,
    pub(super) task: Task,
    /// The model, if the request or the session names one.
    pub(super) model: Option<String>,
    /// How much of the initial picture it changed.
    pub(super) strength: Option<f64>,
}

/// Pictures.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body that `respond` writes")]
#[schema(as = WebUiPictures)]
pub(crate) struct PicturesResponse {
    /// PNGs in base64; of a task that was interrupted, those that are finished.
    images: Vec<String>,
    /// The request, without its pictures.
    #[schema(value_type = Object)]
    parameters: Value,
    /// A string of JSON about what was drawn: `seed`, `all_seeds`, `infotexts` and so on.
    info: String,
}

/// The contents of the string `info`.
#[derive(Debug, Serialize)]
struct Info {
    prompt: String,
    all_prompts: Vec<String>,
    negative_prompt: String,
    all_negative_prompts: Vec<String>,
    seed: u64,
    all_seeds: Vec<u64>,
    subseed: u64,
    all_subseeds: Vec<u64>,
    subseed_strength: f64,
    width: Option<u32>,
    height: Option<u32>,
    sampler_name: String,
    cfg_scale: Option<f64>,
    steps: Option<u32>,
    batch_size: u32,
    restore_faces: bool,
    face_restoration_model: Option<String>,
    sd_model_name: String,
    sd_model_hash: Option<String>,
    denoising_strength: Option<f64>,
    #[serde(rename = "extra_generation_params")]
    extra: Value,
    index_of_first_image: u32,
    infotexts: Vec<String>,
    styles: Vec<String>,
    job_timestamp: String,
    clip_skip: u32,
    is_using_inpainting_conditioning: bool,
    version: &'static str,
}

/// Answers with the pictures of a task.
pub(super) async fn respond(app: App, drawn: Drawn) -> Result<Response> {
    let mut images = Vec::with_capacity(drawn.task.images.len());
    for id in &drawn.task.images {
        images.push(app.service.image(*id).await?);
    }
    let info = info(&app, &drawn, &images).await?;
    let info = serde_json::to_string(&info).map_err(Error::internal)?;
    let tail = json!({ "parameters": drawn.wish.echo(), "info": info }).to_string();
    let sent = if drawn.wish.sends_images() { images } else { Vec::new() };
    let items = sent.into_iter().map(Framed::string).collect();
    // The other fields come last, because the pictures are written while they are read.
    let list = List { head: "{\"images\":[".into(), items, tail: format!("],{}", &tail[1..]), skips: false };
    let headers = [(wire::SEED, drawn.task.seed.to_string()), (header::CONTENT_TYPE, "application/json".into())];
    Ok((headers, Body::from_stream(list.open(app.service).await?)).into_response())
}

async fn info(app: &App, drawn: &Drawn, images: &[Image]) -> Result<Info> {
    let mut infotexts = Vec::with_capacity(images.len());
    let mut size = None;
    for image in images {
        let bytes = head::of(&*app.service, image).await?;
        size = size.or_else(|| head::size(&bytes));
        infotexts.push(head::settings(&bytes).unwrap_or_default());
    }
    let used = infotexts.first().map(|text| Infotext::read(text)).unwrap_or_default();
    let asked = drawn.wish.echo();
    let number = |name: &str| asked[name].as_u64().and_then(|number| u32::try_from(number).ok());
    let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
    let Drawn { task, model, strength, .. } = drawn;
    let count = images.len().max(1);
    let seeds: Vec<u64> =
        if images.is_empty() { vec![task.seed] } else { images.iter().map(|image| image.seed).collect() };
    Ok(Info {
        prompt: text("prompt"),
        all_prompts: vec![text("prompt"); count],
        negative_prompt: text("negative_prompt"),
        all_negative_prompts: vec![text("negative_prompt"); count],
        seed: task.seed,
        all_subseeds: vec![0; count],
        all_seeds: seeds,
        subseed: 0,
        subseed_strength: 0.0,
        width: size.map(|size| size.0).or(number("width")),
        height: size.map(|size| size.1).or(number("height")),
        sampler_name: used.get("Sampler").map_or_else(|| text("sampler_name"), str::to_owned),
        cfg_scale: used.number("CFG scale").or(asked["cfg_scale"].as_f64()),
        steps: used.number("Steps").or(number("steps")),
        batch_size: number("batch_size").unwrap_or(1),
        restore_faces: false,
        face_restoration_model: None,
        sd_model_name: used.get("Model").map(str::to_owned).or_else(|| model.clone()).unwrap_or_default(),
        sd_model_hash: used.get("Model hash").map(str::to_owned),
        denoising_strength: *strength,
        extra: json!({}),
        index_of_first_image: 0,
        infotexts,
        styles: Vec::new(),
        job_timestamp: timestamp(task),
        clip_skip: used.number("Clip skip").unwrap_or(1),
        is_using_inpainting_conditioning: false,
        version: concat!("easel ", env!("CARGO_PKG_VERSION")),
    })
}
