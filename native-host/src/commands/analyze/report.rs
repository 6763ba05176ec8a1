//! The output of `easel analyze`: bars and a table for people, one object for programs.

use crate::terminal::{say, say_json, table};
use anyhow::Result;
use easel_inference::analysis::{Bitmap, Polygon, Ring};
use serde_json::{Value, json};

/// Cells of the longest bar.
const BAR: f32 = 32.0;

/// A text and how probable it is.
pub(super) struct Score {
    pub(super) text: String,
    pub(super) probability: f32,
}

/// A mask of a region.
pub(super) struct Cut {
    /// A point or a box.
    pub(super) region: Vec<f64>,
    pub(super) mask: Bitmap,
    pub(super) iou: f32,
    pub(super) polygons: Vec<Polygon>,
}

impl Cut {
    pub(super) fn new(region: Vec<f64>, mask: Bitmap, iou: f32, tolerance: f64) -> Result<Self> {
        let polygons = mask.polygons(tolerance)?;
        Ok(Self { region, mask, iou, polygons })
    }

    /// The numbers of the region with commas between them.
    fn name(&self) -> String {
        let numbers: Vec<String> = self.region.iter().map(f64::to_string).collect();
        numbers.join(",")
    }

    fn json(&self) -> Value {
        let rle = self.mask.to_rle();
        let rings = |polygon: &Polygon| polygon.rings().cloned().collect::<Vec<Ring>>();
        let bounds = self.mask.bounds().map(|bounds| [bounds.left, bounds.top, bounds.right + 1, bounds.bottom + 1]);
        json!({
            "region": self.region, "iou": self.iou, "area": self.mask.area(), "bounds": bounds,
            "rle": { "size": rle.size, "counts": rle.to_text() },
            "polygons": self.polygons.iter().map(rings).collect::<Vec<_>>(),
        })
    }
}

/// Everything that was found.
pub(super) struct Report {
    /// Width and height of the picture.
    pub(super) size: [usize; 2],
    pub(super) scores: Vec<Score>,
    pub(super) cuts: Vec<Cut>,
}

impl Report {
    /// The most probable text first, then the masks.
    pub(super) fn print(&self) -> Result<()> {
        let mut scores: Vec<&Score> = self.scores.iter().collect();
        scores.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        if !scores.is_empty() {
            say(table(&scores.into_iter().map(line).collect::<Vec<_>>(), &[0]))?;
        }
        if self.cuts.is_empty() {
            return Ok(());
        }
        if !self.scores.is_empty() {
            say("")?;
        }
        let heading = ["REGION", "IOU", "AREA", "PART", "POLYGONS"].map(str::to_owned);
        let pixels = (self.size[0] * self.size[1]) as f64;
        let row = |cut: &Cut| {
            let area = cut.mask.area();
            let part = format!("{:.1}%", 100.0 * area as f64 / pixels);
            [cut.name(), format!("{:.3}", cut.iou), area.to_string(), part, cut.polygons.len().to_string()]
        };
        say(table(&std::iter::once(heading).chain(self.cuts.iter().map(row)).collect::<Vec<_>>(), &[1, 2, 3, 4]))
    }

    pub(super) fn print_json(&self) -> Result<()> {
        let scores = self.scores.iter().map(|score| json!({ "text": score.text, "probability": score.probability }));
        let cuts = self.cuts.iter().map(Cut::json);
        let [width, height] = self.size;
        say_json(&json!({
            "width": width, "height": height, "scores": scores.collect::<Vec<_>>(), "masks": cuts.collect::<Vec<_>>(),
        }))
    }
}

/// Percent, bar and text.
fn line(score: &Score) -> [String; 3] {
    let cells = (score.probability * BAR).round() as usize;
    let bar = format!("{}{}", "\u{2588}".repeat(cells), "\u{2591}".repeat((BAR as usize).saturating_sub(cells)));
    [format!("{:.1}%", score.probability * 100.0), bar, score.text.clone()]
}
