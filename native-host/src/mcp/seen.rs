//! The answer of `analyze_image`: probabilities, masks, and a small picture with the masks in colour.

use super::answer;
use crate::overlay;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use easel_contract::Error;
use easel_contract::service::{Analysis, Cut, Region, Result};
use easel_inference::analysis::{Bitmap, Polygon};
use easel_picture::{Image, ImageFormat, Limits};
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};

/// How many masks a region has.
const MASKS_PER_REGION: usize = 3;

/// The most masks of an answer. Language models read all of them.
const MASKS_MAX: usize = 64;

/// The largest distance between an outline and the edge of its mask, in pixels.
const TOLERANCE: f64 = 1.0;

/// What was asked.
pub(super) struct Asked {
    pub(super) image: Bytes,
    pub(super) texts: Vec<String>,
    pub(super) regions: Vec<Region>,
}

/// A mask of the answer.
struct Found {
    /// The region's place in the call, from 0.
    region: Option<usize>,
    iou: f32,
    png: Bytes,
    mask: Bitmap,
    polygons: Vec<Polygon>,
}

/// The answer to a call. Takes as long as decoding the picture and its masks.
pub(super) fn answer(asked: &Asked, analysis: Analysis) -> Result<CallToolResult> {
    let Analysis { id, scores, cuts } = analysis;
    if let Err(scores) = &scores
        && let Err(cuts) = &cuts
    {
        return Err(Error::NotAnalyzed { message: format!("{scores}; {cuts}") });
    }
    let mut content = Vec::new();
    let mut seen = json!({ "request_id": id });
    match scores {
        Ok(scores) => {
            let scores = ranked(&asked.texts, &scores);
            content.push(ContentBlock::text(in_words(&scores)));
            let entry = |(text, probability): &(&str, f32)| json!({ "text": text, "probability": probability });
            seen["scores"] = scores.iter().map(entry).collect();
        }
        Err(reason) => content.push(ContentBlock::text(format!("No probabilities: {reason}"))),
    }
    match cuts {
        Ok(cuts) => {
            let found = found(cuts, asked.regions.len())?;
            content.push(ContentBlock::text(described(&found)));
            content.push(preview(&asked.image, &found)?);
            seen["masks"] = found.iter().map(Found::json).collect();
        }
        Err(reason) => content.push(ContentBlock::text(format!("No masks: {reason}"))),
    }
    let mut result = CallToolResult::success(content);
    result.structured_content = Some(seen);
    Ok(result)
}

/// The texts with their probabilities, the most probable first.
fn ranked<'a>(texts: &'a [String], scores: &[f32]) -> Vec<(&'a str, f32)> {
    let mut ranked: Vec<(&str, f32)> = texts.iter().map(String::as_str).zip(scores.iter().copied()).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

fn in_words(scores: &[(&str, f32)]) -> String {
    let line = |(text, probability): &(&str, f32)| format!("\n{:.1} % {text}", probability * 100.0);
    let lines: String = scores.iter().map(line).collect();
    format!("The picture shows, with these probabilities:{lines}")
}

/// The best mask of each region; without regions, the best of all masks.
fn found(cuts: Vec<Cut>, regions: usize) -> Result<Vec<Found>> {
    let better = |a: &&Cut, b: &&Cut| a.iou.total_cmp(&b.iou);
    let best: Vec<(Option<usize>, &Cut)> = if regions > 0 {
        let groups = cuts.chunks(MASKS_PER_REGION).enumerate();
        groups.filter_map(|(region, group)| Some((Some(region), group.iter().max_by(better)?))).collect()
    } else {
        let mut all: Vec<&Cut> = cuts.iter().collect();
        all.sort_by(|a, b| better(b, a));
        all.into_iter().take(MASKS_MAX).map(|cut| (None, cut)).collect()
    };
    best.into_iter().map(|(region, cut)| Found::new(region, cut)).collect()
}

impl Found {
    fn new(region: Option<usize>, cut: &Cut) -> Result<Self> {
        let image = Image::decode(&cut.mask, &Limits::default()).map_err(Error::internal)?;
        let pixels = image.to_luma().into_iter().map(|level| level > 127).collect();
        let mask = Bitmap::new(image.width, image.height, pixels).map_err(Error::internal)?;
        let polygons = mask.polygons(TOLERANCE).map_err(Error::internal)?;
        Ok(Self { region, iou: cut.iou, png: cut.mask.clone(), mask, polygons })
    }

    /// Left, top, right and bottom, the last two beyond the last pixel.
    fn bounds(&self) -> Option<[usize; 4]> {
        self.mask.bounds().map(|bounds| [bounds.left, bounds.top, bounds.right + 1, bounds.bottom + 1])
    }

    fn json(&self) -> Value {
        json!({
            "region": self.region, "iou": self.iou, "bounds": self.bounds(), "area": self.mask.area(),
            "mask": STANDARD.encode(&self.png),
        })
    }
}

/// A line for each mask.
fn described(found: &[Found]) -> String {
    let colors = overlay::COLOR_NAMES.iter().cycle();
    let line = |((number, color), found): ((usize, &&str), &Found)| {
        let region = found.region.map_or_else(String::new, |region| format!(" of region {}", region + 1));
        let place = found.bounds().map_or_else(
            || "empty".to_owned(),
            |[left, top, right, bottom]| format!("from {left},{top} to {right},{bottom}"),
        );
        format!("\nMask {number}{region}, {color}: {place}, predicted IoU {:.2}", found.iou)
    };
    let lines: String = (1..).zip(colors).zip(found).map(line).collect();
    match found.len() {
        0 => "Nothing was found to cut out.".to_owned(),
        _ => format!("Masks, in pixels, with their colours in the preview:{lines}"),
    }
}

/// The picture with the masks in colour, small.
fn preview(image: &[u8], found: &[Found]) -> Result<ContentBlock> {
    let image = Image::decode(image, &Limits::default()).map_err(Error::internal)?;
    let drawn = overlay::draw(&image, found.iter().map(|found| (&found.mask, &found.polygons[..])));
    let jpeg = answer::small(drawn).map_err(Error::internal)?;
    Ok(ContentBlock::image(STANDARD.encode(jpeg), ImageFormat::Jpeg.media_type()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mask of 8x4 pixels whose first columns are inside.
    fn cut(columns: usize, iou: f32) -> Cut {
        let pixels = (0..32).map(|pixel| pixel % 8 < columns).collect();
        let mask = Bitmap::new(8, 4, pixels).unwrap().to_png().unwrap();
        Cut { mask: mask.into(), iou, ..Cut::default() }
    }

    #[test]
    fn each_region_has_its_best_mask() {
        let cuts = vec![cut(1, 0.1), cut(2, 0.9), cut(3, 0.5), cut(4, 0.2), cut(5, 0.3), cut(6, 0.8)];
        let found = found(cuts, 2).unwrap();
        let bounds: Vec<_> = found.iter().map(|found| (found.region, found.bounds().unwrap())).collect();
        assert_eq!(bounds, [(Some(0), [0, 0, 2, 4]), (Some(1), [0, 0, 6, 4])]);
        let lines = described(&found);
        assert!(lines.ends_with("\nMask 2 of region 2, light blue: from 0,0 to 6,4, predicted IoU 0.80"), "{lines}");
    }

    #[test]
    fn without_regions_the_best_masks_come_first_and_few_enough_to_read() {
        let cuts = (0..100).map(|number| cut(1, number as f32 / 100.0)).collect();
        let found = found(cuts, 0).unwrap();
        assert_eq!((found.len(), found[0].iou, found[0].region), (MASKS_MAX, 0.99, None));
        assert!(described(&found).contains("\nMask 8, orange: "), "the colours repeat");
        assert_eq!(described(&[]), "Nothing was found to cut out.");
    }

    #[test]
    fn an_empty_mask_is_called_empty_and_what_nobody_could_see_is_an_error() {
        let found = found(vec![cut(0, 0.5)], 0).unwrap();
        assert!(described(&found).contains("orange: empty"));
        let asked = Asked { image: Bytes::new(), texts: Vec::new(), regions: Vec::new() };
        let analysis = Analysis { id: "1".into(), scores: Err("clip: no".into()), cuts: Err("sam: no".into()) };
        let refused = answer(&asked, analysis).unwrap_err();
        assert_eq!(refused, Error::NotAnalyzed { message: "clip: no; sam: no".into() });
    }
}
