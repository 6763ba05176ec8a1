//! The prompt of a page, and its conversion.

use easel_inference::analysis;
use serde::Deserialize;

/// What is meant, as `segment` of the package describes it, without the earlier mask.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Prompt {
    #[serde(default)]
    points: Vec<Point>,
    /// Left, top, right, bottom.
    #[serde(rename = "box")]
    area: Option<[f64; 4]>,
    /// One mask in place of three.
    #[serde(default)]
    single: bool,
}

/// A point in pixels of the picture.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    x: f64,
    y: f64,
    #[serde(default = "is_inside")]
    inside: bool,
}

fn is_inside() -> bool {
    true
}

impl Prompt {
    /// The prompt with the logits of an earlier mask.
    pub(crate) fn with_mask(self, mask: Option<Vec<f32>>) -> analysis::Prompt {
        let points = self.points.into_iter().map(|Point { x, y, inside }| analysis::Point { x, y, inside });
        analysis::Prompt { points: points.collect(), area: self.area, mask, single: self.single }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> serde_json::Result<Prompt> {
        serde_json::from_str(json)
    }

    #[test]
    fn points_are_inside_unless_they_say_otherwise() {
        let json = r#"{"points": [{"x": 1, "y": 2}, {"x": 3, "y": 4, "inside": false}], "box": [0, 0, 5, 5]}"#;
        let prompt = read(json).unwrap().with_mask(Some(vec![1.0]));
        let outside = analysis::Point { x: 3.0, y: 4.0, inside: false };
        assert_eq!(prompt.points, [analysis::Point { x: 1.0, y: 2.0, inside: true }, outside]);
        assert_eq!((prompt.area, prompt.mask, prompt.single), (Some([0.0, 0.0, 5.0, 5.0]), Some(vec![1.0]), false));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |json| read(json).unwrap_err().to_string();
        assert!(refused(r#"{"point": []}"#).starts_with("unknown field `point`"));
        assert!(refused(r#"{"points": [{"x": 1}]}"#).starts_with("missing field `y`"));
        assert!(refused(r#"{"box": [1, 2, 3]}"#).starts_with("invalid length 3"));
    }
}
