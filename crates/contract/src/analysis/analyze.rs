//! `POST /api/analyze`: what is in a picture, and where.

use super::AnalysisError;
use super::answer::{Masks, Part, Polygon, best};
use super::fields::{AtMost, Roi, SentPicture};
use crate::extract::JsonBody;
use crate::limits::{REGIONS_MAX, TEXTS_MAX};
use crate::service::{AnalysisRequest, Result};
use crate::{App, Error};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What to look for in a picture.
#[derive(Deserialize, ToSchema)]
#[schema(as = AnalyzeRequest)]
pub(crate) struct Question {
    /// A PNG, JPEG or WebP in base64, of at most 16,777,216 pixels.
    #[schema(value_type = String)]
    image: SentPicture,
    /// What the picture may show: 1 to 256 texts.
    #[schema(value_type = Vec<String>)]
    texts: AtMost<TEXTS_MAX, String>,
    /// What to cut out, at most 64 regions: `[x, y]` for a point, `[x1, y1, x2, y2]` for a box. Without any, everything
    /// that is found is cut out.
    #[serde(default)]
    #[schema(value_type = Vec<Vec<f64>>)]
    roi: AtMost<REGIONS_MAX, Roi>,
    /// An earlier mask that the regions correct: a PNG in base64, of the picture's size and white inside.
    #[schema(value_type = Option<String>)]
    mask: Option<SentPicture>,
}

/// What was seen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnalyzeAnswer)]
pub(crate) struct Seen {
    /// A UUID.
    request_id: String,
    /// As it was sent.
    image: String,
    clip_analysis: Part<Concepts>,
    basic_segmentation: Part<Segmentation>,
}

/// The texts with their probabilities, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Concepts {
    concepts: Vec<String>,
    confidence_scores: Vec<f32>,
    max_confidence_concept: String,
}

/// The masks: three for each region, in the order of the regions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Segmentation {
    /// PNGs in base64 of the picture's size, 255 inside and 0 outside.
    masks: Vec<String>,
    iou_scores: Vec<f32>,
    /// The outlines of each mask.
    #[schema(value_type = Vec<Vec<Vec<Vec<f64>>>>)]
    polygons: Vec<Polygon>,
}

/// Say what is in a picture, and where.
///
/// A part whose model the server does not have is `{"error"}` in its place. If the client disconnects, the analysis stops.
#[utoipa::path(post, path = "/api/analyze", tag = "analysis", request_body = Question,
    responses((status = 200, body = Seen),
              (status = 400, body = AnalysisError, description = "a field is invalid"),
              (status = 429, body = AnalysisError, description = "too many analyses wait"),
              (status = 503, body = AnalysisError, description = "there is no model for any part, or shutting down")))]
pub(super) async fn analyze(State(app): State<App>, JsonBody(body): JsonBody<Question>) -> Result<Json<Seen>> {
    let Question { image, texts: AtMost(texts), roi: AtMost(roi), mask } = body;
    let request = AnalysisRequest {
        image: image.bytes,
        texts: texts.clone(),
        regions: roi.into_iter().map(|Roi(region)| region).collect(),
        mask: mask.map(|mask| mask.bytes),
        each: false,
    };
    let analysis = app.service.analyze(request).await?;
    if let (Err(scores), Err(cuts)) = (&analysis.scores, &analysis.cuts) {
        return Err(Error::NotAnalyzed { message: format!("{scores}; {cuts}") });
    }
    Ok(Json(Seen {
        request_id: analysis.id,
        image: image.text,
        clip_analysis: Part::of(analysis.scores, |scores| Concepts {
            max_confidence_concept: best(&texts, &scores),
            concepts: texts,
            confidence_scores: scores,
        }),
        basic_segmentation: Part::of(analysis.cuts, |cuts| {
            let Masks { masks, iou_scores, polygons } = Masks::of(&cuts);
            Segmentation { masks, iou_scores, polygons }
        }),
    }))
}
