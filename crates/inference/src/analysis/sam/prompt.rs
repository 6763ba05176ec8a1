//! Prompts: what is to be cut out of a picture.

use crate::models::sam::{Label, Mark};
use crate::{Error, Result};

/// The most points of one prompt.
pub const MAX_POINTS: usize = 64;

/// A point of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Pixels from the left.
    pub x: f64,
    /// Pixels from the top.
    pub y: f64,
    /// Whether it lies inside of what is meant; else it lies outside.
    pub inside: bool,
}

/// The description of one thing: points, a box, or both, in pixels of the picture. A point, and every corner of a box, is from 0 up to the
/// width or height of the picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// Points inside and outside.
    pub points: Vec<Point>,
    /// A box around it: left, top, right, bottom.
    pub area: Option<[f64; 4]>,
    /// The logits of an earlier mask, which this prompt corrects: [`Segment::logits`](super::Segment::logits).
    pub mask: Option<Vec<f32>>,
    /// One mask for a clear prompt, in place of three for one that may mean a part or the whole.
    pub single: bool,
}

impl Prompt {
    /// One point inside.
    pub fn point(x: f64, y: f64) -> Self {
        Self { points: vec![Point { x, y, inside: true }], ..Self::default() }
    }

    /// A box.
    pub fn area(area: [f64; 4]) -> Self {
        Self { area: Some(area), ..Self::default() }
    }

    /// Whether the prompt fits a picture of this width and height: what [`Segmenter::segment`](super::Segmenter::segment)
    /// checks first, for those who have not loaded a model yet.
    pub fn check(&self, size: [usize; 2]) -> Result<()> {
        self.marks(size, size).map(drop)
    }

    /// The marks in the resized picture.
    pub(super) fn marks(&self, size: [usize; 2], resized: [usize; 2]) -> Result<Vec<Mark>> {
        if (self.points.is_empty() && self.area.is_none()) || self.points.len() > MAX_POINTS {
            let reason = format!("{} points and no box, expected a box or 1 to {MAX_POINTS} points", self.points.len());
            return Err(Error::invalid("roi", reason));
        }
        let scaled = |[x, y]: [f64; 2]| {
            let scale = [0, 1].map(|axis| resized[axis] as f64 / size[axis].max(1) as f64);
            [(x * scale[0]) as f32, (y * scale[1]) as f32]
        };
        let mut marks = Vec::new();
        for Point { x, y, inside } in &self.points {
            check_within([*x, *y], size)?;
            marks.push(Mark { at: scaled([*x, *y]), label: if *inside { Label::Inside } else { Label::Outside } });
        }
        match self.area {
            Some([left, top, right, bottom]) => {
                check_within([left, top], size)?;
                check_within([right, bottom], size)?;
                if left >= right || top >= bottom {
                    let got = format!("{left},{top},{right},{bottom}");
                    return Err(Error::invalid(
                        "roi",
                        format!("the box {got} is empty, expected left,top,right,bottom"),
                    ));
                }
                marks.push(Mark { at: scaled([left, top]), label: Label::TopLeft });
                marks.push(Mark { at: scaled([right, bottom]), label: Label::BottomRight });
            }
            None => marks.push(Mark { at: [0.0; 2], label: Label::Padding }),
        }
        Ok(marks)
    }
}

fn check_within([x, y]: [f64; 2], [width, height]: [usize; 2]) -> Result<()> {
    // A NaN is within nothing.
    let is_within = (0.0..=width as f64).contains(&x) && (0.0..=height as f64).contains(&y);
    if is_within {
        return Ok(());
    }
    Err(Error::invalid("roi", format!("the point {x},{y} is outside of the picture of {width}x{height} pixels")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(prompt: &Prompt) -> String {
        prompt.marks([40, 30], [1024, 768]).unwrap_err().to_string()
    }

    #[test]
    fn prompts_are_checked_against_the_picture() {
        assert_eq!(refused(&Prompt::point(41.0, 3.0)), "roi: the point 41,3 is outside of the picture of 40x30 pixels");
        assert!(refused(&Prompt::point(f64::NAN, 3.0)).contains("NaN,3 is outside"));
        assert!(refused(&Prompt::point(1.0, -0.5)).contains("1,-0.5 is outside"));
        assert!(refused(&Prompt::area([5.0, 5.0, 4.0, 9.0])).contains("the box 5,5,4,9 is empty"));
        assert!(refused(&Prompt::area([5.0, 5.0, 45.0, 9.0])).contains("45,9 is outside"));
        assert!(refused(&Prompt::area([f64::INFINITY, 5.0, 45.0, 9.0])).contains("outside"));
        assert!(refused(&Prompt::default()).starts_with("roi: 0 points and no box"));
        let many = Prompt { points: vec![Point { x: 1.0, y: 1.0, inside: true }; 65], ..Prompt::default() };
        assert!(refused(&many).starts_with("roi: 65 points"));
    }

    #[test]
    fn points_and_boxes_are_scaled_to_the_resized_picture() {
        let both = Prompt { area: Some([0.0, 0.0, 40.0, 30.0]), ..Prompt::point(20.0, 15.0) };
        let marks = both.marks([40, 30], [1024, 768]).unwrap();
        let places: Vec<_> = marks.iter().map(|mark| mark.at).collect();
        assert_eq!(places, [[512.0, 384.0], [0.0, 0.0], [1024.0, 768.0]]);
        let alone = Prompt::point(20.0, 15.0).marks([40, 30], [1024, 768]).unwrap();
        assert_eq!(alone.last().unwrap().label, Label::Padding);
    }
}
