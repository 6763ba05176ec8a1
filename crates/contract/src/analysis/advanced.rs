//! `POST /api/adv/generate`: draws a picture, and says what is in it and in each part of it.

use super::AnalysisError;
use super::answer::{Masks, Part, Polygon, best};
use super::draw::{Settings, draw};
use super::fields::{AtMost, Prompts, Roi};
use crate::access::Caller;
use crate::extract::JsonBody;
use crate::field::{Seed, Size, Steps};
use crate::limits::{Frame, REGIONS_MAX, TEXTS_MAX, check_regions, check_texts};
use crate::service::{AnalysisRequest, Cut, Image, Model, Region, Result};
use crate::{App, Error, wire};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What to draw, and what to look for in it.
#[derive(Deserialize, ToSchema)]
#[schema(as = AdvancedGenerateRequest)]
pub(crate) struct Question {
    #[serde(default)]
    #[schema(value_type = String)]
    prompt: Prompts,
    /// What the picture and its parts may show: 1 to 256 texts.
    #[schema(value_type = Vec<String>)]
    texts: AtMost<TEXTS_MAX, String>,
    /// What to cut out, at most 64 regions: `[x, y]` for a point, `[x1, y1, x2, y2]` for a box. Without any, everything
    /// that is found is cut out.
    #[serde(default)]
    #[schema(value_type = Vec<Vec<f64>>)]
    roi: AtMost<REGIONS_MAX, Roi>,
    #[schema(inline)]
    width: Option<Size>,
    #[schema(inline)]
    height: Option<Size>,
    #[schema(inline)]
    steps: Option<Steps>,
    #[schema(inline)]
    seed: Option<Seed>,
}

/// The picture, and what was seen in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdvancedGenerateAnswer)]
pub(crate) struct Seen {
    /// A UUID: the id of the task.
    request_id: String,
    /// A PNG in base64.
    generated_image: String,
    clip_analysis: Part<AllConcepts>,
    segmentation: Part<AdvancedSegmentation>,
}

/// The texts with their probabilities for the whole picture, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AllConcepts {
    all_concepts: Vec<String>,
    all_confidence_scores: Vec<f32>,
    global_confident_concept: String,
}

/// The masks, three for each region in the order of the regions, and what each shows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AdvancedSegmentation {
    /// PNGs in base64 of the picture's size, 255 inside and 0 outside.
    masks: Vec<String>,
    iou_scores: Vec<f32>,
    /// The outlines of each mask.
    #[schema(value_type = Vec<Vec<Vec<Vec<f64>>>>)]
    polygons: Vec<Polygon>,
    /// One entry for each polygon.
    segmented_regions: Vec<SegmentedRegion>,
}

/// What a part of the picture shows, with the rest of the picture black.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SegmentedRegion {
    request_id: String,
    clip_analysis: Part<RegionConcepts>,
    #[schema(value_type = Vec<Vec<Vec<f64>>>)]
    polygon: Polygon,
}

/// The texts with their probabilities for a part of the picture, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RegionConcepts {
    concepts: Vec<String>,
    confidence_scores: Vec<f32>,
    max_confident_concept: String,
}

/// Draw, and say what is in the picture and in its parts.
///
/// A part whose model the server does not have is `{"error"}` in its place. If the client disconnects, the task is
/// cancelled, and so is the analysis.
#[utoipa::path(post, path = "/api/adv/generate", tag = "analysis", request_body = Question,
    responses((status = 200, body = Seen, headers(("x-easel-seed" = u64, description = "the seed of the picture"))),
              (status = 400, body = AnalysisError, description = "a field is invalid"),
              (status = 409, body = AnalysisError, description = "cancelled by another client"),
              (status = 429, body = AnalysisError, description = "the queue is full"),
              (status = 503, body = AnalysisError, description = "shutting down"),
              (status = 507, body = AnalysisError, description = "the picture does not fit the machine's memory")))]
pub(super) async fn generate(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Question>,
) -> Result<([(HeaderName, String); 1], Json<Seen>)> {
    let settings = Settings { width: body.width, height: body.height, steps: body.steps, seed: body.seed };
    let AtMost(texts) = body.texts;
    let regions: Vec<Region> = body.roi.0.into_iter().map(|Roi(region)| region).collect();
    let prompts = match body.prompt {
        Prompts::One(prompt) => vec![prompt],
        Prompts::Several(prompts) => prompts,
        Prompts::Invalid => return Err(Error::InvalidPrompt),
    };
    if prompts.len() > 1 {
        return Err(Error::invalid("prompt", format!("must be one prompt, got {}", prompts.len())));
    }
    check_texts(&texts)?;
    check_regions(&regions, frame(&app, &caller, settings).await?, &app.limits)?;
    let drawn = draw(&app, &caller, prompts, settings).await?.pop();
    let drawn = drawn.ok_or_else(|| Error::internal("no picture was drawn"))?;
    let picture = read(&app, &drawn.image).await?;
    let generated_image = wire::base64(&picture);
    let request = AnalysisRequest { image: picture.into(), texts: texts.clone(), regions, mask: None, each: true };
    // The picture is there, whatever becomes of the analysis.
    let (scores, cuts) = match app.service.analyze(request).await {
        Ok(analysis) => (analysis.scores, analysis.cuts),
        Err(error @ Error::InvalidField { .. }) => return Err(error),
        Err(error) => (Err(error.to_string()), Err(error.to_string())),
    };
    let request_id = drawn.task.id;
    let seen = Seen {
        generated_image,
        segmentation: Part::of(cuts, |cuts| segmentation(&cuts, &texts, scores.as_ref().err(), &request_id)),
        clip_analysis: Part::of(scores, |scores| AllConcepts {
            global_confident_concept: best(&texts, &scores),
            all_concepts: texts,
            all_confidence_scores: scores,
        }),
        request_id,
    };
    Ok(([(wire::SEED, drawn.task.seed.to_string())], Json(seen)))
}

/// The size that the picture will have; for a model's own size, the largest that any model of the caller has. `None` if
/// it is not known.
async fn frame(app: &App, caller: &Caller, settings: Settings) -> Result<Option<Frame>> {
    let [mut width, mut height] = [settings.width, settings.height].map(|side| side.map(u32::from));
    if width.is_none() || height.is_none() {
        let models = caller.models(&*app.service).await?;
        let largest =
            |side: fn(&Model) -> Option<u32>| models.iter().map(side).collect::<Option<Vec<u32>>>()?.into_iter().max();
        width = width.or_else(|| largest(|model| model.width));
        height = height.or_else(|| largest(|model| model.height));
    }
    Ok(width.zip(height).map(|(width, height)| Frame { width, height, may_be_turned: false }))
}

async fn read(app: &App, image: &Image) -> Result<Vec<u8>> {
    let mut pieces = app.service.read_image(image.id, 0..image.size).await?;
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        whole.extend_from_slice(&piece?);
    }
    Ok(whole)
}

fn segmentation(cuts: &[Cut], texts: &[String], no_scores: Option<&String>, request_id: &str) -> AdvancedSegmentation {
    let Masks { masks, iou_scores, polygons } = Masks::of(cuts);
    let region = |(cut, polygon): (&Cut, &Polygon)| {
        let scores = no_scores.map_or_else(|| Ok(&cut.scores), |reason| Err(reason.clone()));
        SegmentedRegion {
            request_id: request_id.to_owned(),
            clip_analysis: Part::of(scores, |scores| RegionConcepts {
                concepts: texts.to_vec(),
                confidence_scores: scores.clone(),
                max_confident_concept: best(texts, scores),
            }),
            polygon: polygon.clone(),
        }
    };
    let segmented_regions = cuts.iter().zip(&polygons).map(region).collect();
    AdvancedSegmentation { masks, iou_scores, polygons, segmented_regions }
}
