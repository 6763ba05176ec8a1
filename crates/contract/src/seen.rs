//! The types of an analysis: what to look for in a picture, and what was seen.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What an analysis says in place of scores if the host has no CLIP.
pub const NO_CLIP: &str = "clip: no model: start with --clip DIR (model.safetensors, config.json, tokenizer.json of \
    openai/clip-vit-base-patch32)";

/// What it says in place of masks if the host has no SAM.
pub const NO_SAM: &str =
    "sam: no model: start with --sam DIR (model.safetensors, config.json of facebook/sam-vit-base)";

/// A request to say what is in a picture, and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnalysisRequest {
    /// A picture file: PNG, JPEG or WebP.
    #[serde(with = "crate::wire::base64_bytes")]
    pub image: Bytes,
    /// What the picture may show.
    pub texts: Vec<String>,
    /// What to cut out, each region for itself; everything that is found if there are none.
    pub regions: Vec<Region>,
    /// An earlier mask, which the regions correct: a picture file of the picture's size, white inside.
    #[serde(default, with = "crate::wire::base64_option")]
    pub mask: Option<Bytes>,
    /// Whether the texts are also scored for each mask, with the rest of the picture black.
    pub each: bool,
}

/// A place in a picture, in pixels from its left and its top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spot {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
}

/// A point of a picture, or a box in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// The point, or the upper left corner of the box.
    pub start: Spot,
    /// The lower right corner of the box.
    pub end: Option<Spot>,
}

/// What was seen in a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// A UUID. The host's log has the analysis under it.
    pub id: String,
    /// The probability of each text, or why there are none.
    pub scores: Result<Vec<f32>, String>,
    /// The masks, three for each region in the order of the regions, or why there are none.
    pub cuts: Result<Vec<Cut>, String>,
}

/// A mask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// A PNG of the picture's size, 255 inside and 0 outside.
    #[serde(with = "crate::wire::base64_bytes")]
    pub mask: Bytes,
    /// Its predicted intersection over union with the truth.
    pub iou: f32,
    /// The outlines of its connected parts, the largest part first: the outer ring of each, then its holes.
    pub rings: Vec<Vec<Spot>>,
    /// The probability of each text for the mask alone; empty if nobody asked, or if there are none.
    pub scores: Vec<f32>,
}
