//! Everything in a picture: masks for the points of a grid; those that are good, stable and different are kept
//! (`SamAutomaticMaskGenerator` of <https://github.com/facebookresearch/segment-anything>, for the picture as a whole).

use super::{Embedded, Segmenter};
use crate::analysis::{Bitmap, Bounds, Rle};
use crate::models::sam::{Label, Mark};
use crate::pipeline::CancelToken;
use crate::{Error, Result};

/// Points that are decoded together.
const BATCH: usize = 8;

/// The criteria for the masks that are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Automatic {
    /// Points along each side of the grid, 1 to 128.
    pub points_per_side: usize,
    /// The least predicted intersection over union.
    pub pred_iou_thresh: f32,
    /// The least stability: how alike the masks are above and below the threshold.
    pub stability_score_thresh: f32,
    /// The distance of these thresholds from zero.
    pub stability_score_offset: f32,
    /// The most that the boxes of two masks may overlap.
    pub box_nms_thresh: f32,
}

impl Default for Automatic {
    fn default() -> Self {
        Self {
            points_per_side: 32,
            pred_iou_thresh: 0.88,
            stability_score_thresh: 0.95,
            stability_score_offset: 1.0,
            box_nms_thresh: 0.7,
        }
    }
}

/// A mask that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The pixels, in the size of the picture.
    pub mask: Rle,
    /// The smallest box around them.
    pub bounds: Bounds,
    /// The predicted intersection over union with the truth.
    pub iou: f32,
    /// The intersection over union of the masks for a higher and a lower threshold.
    pub stability: f32,
    /// The point that it was found with, in pixels of the picture.
    pub point: [f64; 2],
}

impl Segmenter {
    /// Masks of everything, those with the highest scores first.
    ///
    /// # Errors
    /// [`Error::Cancelled`] between two batches of points, and [`Error::Invalid`] for a grid without or with too many points.
    pub async fn segment_all(
        &self,
        picture: &Embedded,
        options: &Automatic,
        cancel: &CancelToken,
    ) -> Result<Vec<Found>> {
        if !(1..=128).contains(&options.points_per_side) {
            let reason = format!("{} points, expected 1 to 128", options.points_per_side);
            return Err(Error::invalid("points_per_side", reason));
        }
        let mut found = Vec::new();
        for points in grid(options.points_per_side, picture.size).chunks(BATCH) {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let prompts: Vec<Vec<Mark>> = points.iter().map(|point| marks(*point, picture)).collect();
            let decoded = self.decode(picture, &prompts, None, true)?;
            let scores = decoded.iou_scores.to_vec().await?;
            let masks = scores.len() / points.len();
            for (i, point) in points.iter().enumerate() {
                let scores = &scores[i * masks..][..masks];
                if scores.iter().all(|iou| *iou <= options.pred_iou_thresh) {
                    continue;
                }
                for (logits, iou) in self.logits(&decoded, i).await?.iter().zip(scores) {
                    if *iou > options.pred_iou_thresh {
                        found.extend(self.stable(picture, logits, [*iou, options.stability_score_offset], *point)?);
                    }
                }
            }
            found.retain(|found| found.stability >= options.stability_score_thresh);
        }
        Ok(different(found, options.box_nms_thresh))
    }

    /// A mask with its stability, unless there is nothing in it.
    fn stable(
        &self,
        picture: &Embedded,
        logits: &[f32],
        [iou, offset]: [f32; 2],
        point: [f64; 2],
    ) -> Result<Option<Found>> {
        let [width, height] = picture.size;
        let logits = self.at_full_size(picture, logits);
        let above = |threshold: f32| logits.iter().filter(|logit| **logit > threshold).count();
        let stability = above(offset) as f32 / above(-offset) as f32;
        let mask = Bitmap::new(width, height, logits.iter().map(|logit| *logit > 0.0).collect())?;
        Ok(mask.bounds().map(|bounds| Found { mask: mask.to_rle(), bounds, iou, stability, point }))
    }
}

/// The middles of the fields of a grid.
fn grid(side: usize, [width, height]: [usize; 2]) -> Vec<[f64; 2]> {
    let middle = |i: usize, size: usize| (i as f64 + 0.5) / side as f64 * size as f64;
    (0..side * side).map(|i| [middle(i % side, width), middle(i / side, height)]).collect()
}

fn marks([x, y]: [f64; 2], picture: &Embedded) -> Vec<Mark> {
    let scale = [0, 1].map(|axis| picture.resized[axis] as f64 / picture.size[axis] as f64);
    let at = [(x * scale[0]) as f32, (y * scale[1]) as f32];
    vec![Mark { at, label: Label::Inside }, Mark { at: [0.0; 2], label: Label::Padding }]
}

/// The masks whose boxes overlap that of no better one by more than this (non-maximum suppression).
fn different(mut found: Vec<Found>, most: f32) -> Vec<Found> {
    found.sort_by(|a, b| b.iou.total_cmp(&a.iou));
    let mut kept: Vec<Found> = Vec::new();
    for candidate in found {
        if !kept.iter().any(|better| overlap(better.bounds, candidate.bounds) > most) {
            kept.push(candidate);
        }
    }
    kept
}

/// Intersection over union of boxes between the middles of their outer pixels.
fn overlap(a: Bounds, b: Bounds) -> f32 {
    let area = |bounds: Bounds| ((bounds.right - bounds.left) * (bounds.bottom - bounds.top)) as f32;
    let width = a.right.min(b.right).saturating_sub(a.left.max(b.left));
    let height = a.bottom.min(b.bottom).saturating_sub(a.top.max(b.top));
    let both = (width * height) as f32;
    both / (area(a) + area(b) - both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(left: usize, right: usize, iou: f32) -> Found {
        let bounds = Bounds { left, top: 0, right, bottom: 10 };
        let mask = Rle { size: [1, 1], counts: vec![1] };
        Found { mask, bounds, iou, stability: 1.0, point: [0.0; 2] }
    }

    #[test]
    fn of_masks_that_overlap_the_best_is_kept() {
        let kept = different(vec![found(0, 10, 0.9), found(0, 11, 0.95), found(5, 15, 0.8)], 0.7);
        assert_eq!(kept.iter().map(|found| found.iou).collect::<Vec<_>>(), [0.95, 0.8]);
        // Boxes without an area overlap nothing, not even themselves.
        assert_eq!(different(vec![found(3, 3, 0.9), found(3, 3, 0.8)], 0.7).len(), 2);
    }

    #[test]
    fn the_grid_fills_the_picture_evenly() {
        assert_eq!(grid(2, [40, 20]), [[10.0, 5.0], [30.0, 5.0], [10.0, 15.0], [30.0, 15.0]]);
    }
}
