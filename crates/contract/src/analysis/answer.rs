//! The common parts of answers: scores, masks, and what stands in the place of a missing part.

use crate::service::{Cut, Spot};
use crate::wire;
use serde::Serialize;
use utoipa::ToSchema;

/// A part of an answer, or why it is missing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Part<T> {
    Made(T),
    Missing { error: String },
}

impl<T> Part<T> {
    pub(super) fn of<A>(part: Result<A, String>, made: impl FnOnce(A) -> T) -> Self {
        match part {
            Ok(part) => Self::Made(made(part)),
            Err(error) => Self::Missing { error },
        }
    }
}

/// The outlines of a mask: a list of rings, each a list of `[x, y]` in pixels. The holes of a part follow its outer ring.
pub(super) type Polygon = Vec<Vec<[f64; 2]>>;

/// The masks of an answer, in three lists.
#[derive(Debug, Default)]
pub(super) struct Masks {
    /// PNGs in base64.
    pub(super) masks: Vec<String>,
    pub(super) iou_scores: Vec<f32>,
    pub(super) polygons: Vec<Polygon>,
}

impl Masks {
    pub(super) fn of(cuts: &[Cut]) -> Self {
        Self {
            masks: cuts.iter().map(|cut| wire::base64(&cut.mask)).collect(),
            iou_scores: cuts.iter().map(|cut| cut.iou).collect(),
            polygons: cuts.iter().map(polygon).collect(),
        }
    }
}

fn polygon(cut: &Cut) -> Polygon {
    let ring = |ring: &Vec<Spot>| ring.iter().map(|spot| [spot.x, spot.y]).collect();
    cut.rings.iter().map(ring).collect()
}

/// The text with the highest probability.
pub(super) fn best(texts: &[String], scores: &[f32]) -> String {
    let best = texts.iter().zip(scores).reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(text, _)| text.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_best_is_named() {
        let texts = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(best(&texts, &[0.2, 0.4, 0.4]), "b");
        assert_eq!(best(&texts, &[]), "");
    }

    #[test]
    fn masks_are_three_lists() {
        let ring = vec![Spot { x: 1.0, y: 2.5 }];
        let cut = Cut { mask: vec![7].into(), iou: 0.5, rings: vec![ring], scores: vec![] };
        let masks = Masks::of(&[cut.clone(), Cut { rings: vec![], ..cut }]);
        assert_eq!((masks.masks.len(), masks.iou_scores), (2, vec![0.5, 0.5]));
        assert_eq!(masks.polygons, [vec![vec![[1.0, 2.5]]], vec![]]);
    }
}
