//! The limits of an analysis: its picture, its texts and its regions.

use super::{Check, Limits, REGIONS_MAX, TEXT_MAX, TEXTS_MAX, text};
use crate::service::{AnalysisRequest, Region, Result, Spot};
use crate::{Error, head};

/// The shortest side of a picture: a single pixel shows nothing.
const SIDE_MIN: u32 = 2;

impl Check for AnalysisRequest {
    fn check(&self, limits: &Limits) -> Result<()> {
        let frame = Frame::read("image", &self.image)?;
        let Frame { width, height, .. } = frame;
        if width.min(height) < SIDE_MIN || frame.pixels() > limits.analysis_pixels {
            let most = limits.analysis_pixels;
            let reason =
                format!("{width}x{height} pixels, expected at least {SIDE_MIN} on each side and at most {most} in all");
            return Err(Error::invalid("image", reason));
        }
        check_texts(&self.texts)?;
        check_regions(&self.regions, Some(frame), limits)?;
        self.mask.as_ref().map_or(Ok(()), |mask| frame.check_mask(mask, &self.regions))
    }
}

/// The size of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Whether the sides may be the other way round: only decoding shows how a JPEG is turned.
    pub(crate) may_be_turned: bool,
}

impl Frame {
    /// The size in the head of a picture file.
    fn read(field: &str, bytes: &[u8]) -> Result<Self> {
        let size = head::size(bytes);
        let (width, height) = size.ok_or_else(|| Error::invalid(field, "must be a PNG, JPEG or WebP"))?;
        Ok(Self { width, height, may_be_turned: bytes.starts_with(b"\xff\xd8") })
    }

    fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    fn contains(self, spot: Spot) -> bool {
        let longest = self.width.max(self.height);
        let [width, height] = if self.may_be_turned { [longest; 2] } else { [self.width, self.height] };
        // A NaN is nowhere.
        (0.0..=f64::from(width)).contains(&spot.x) && (0.0..=f64::from(height)).contains(&spot.y)
    }

    fn check_mask(self, mask: &[u8], regions: &[Region]) -> Result<()> {
        if regions.is_empty() {
            return Err(Error::invalid("mask", "needs regions that correct it"));
        }
        let Self { width, height, .. } = Self::read("mask", mask)?;
        let is_turned = self.may_be_turned && (height, width) == (self.width, self.height);
        if (width, height) == (self.width, self.height) || is_turned {
            return Ok(());
        }
        let reason = format!("{width}x{height} pixels, expected {}x{} as in the picture", self.width, self.height);
        Err(Error::invalid("mask", reason))
    }
}

/// Checks what a picture may show.
pub(crate) fn check_texts(texts: &[String]) -> Result<()> {
    if texts.is_empty() || texts.len() > TEXTS_MAX {
        return Err(Error::invalid("texts", format!("must be 1 to {TEXTS_MAX} texts, got {}", texts.len())));
    }
    if let Some(at) = texts.iter().position(|text| text.trim().is_empty()) {
        return Err(Error::invalid("texts", format!("text {} is empty", at + 1)));
    }
    texts.iter().try_for_each(|one| text("texts", one, TEXT_MAX))
}

/// Checks regions of a picture of this size, if it is known.
pub(crate) fn check_regions(regions: &[Region], frame: Option<Frame>, limits: &Limits) -> Result<()> {
    if regions.len() > REGIONS_MAX {
        return Err(Error::invalid("roi", format!("must be at most {REGIONS_MAX} regions, got {}", regions.len())));
    }
    regions.iter().try_for_each(|region| check_region(*region, frame))?;
    let pixels = frame.map_or(0, Frame::pixels);
    if pixels.saturating_mul(regions.len() as u64) > limits.pixels {
        let most = limits.pixels / pixels;
        let got = regions.len();
        let reason = format!("{got} regions of {pixels} pixels are more than {} in all, ask for {most}", limits.pixels);
        return Err(Error::invalid("roi", reason));
    }
    Ok(())
}

fn check_region(region: Region, frame: Option<Frame>) -> Result<()> {
    let Region { start, end } = region;
    for spot in [Some(start), end].into_iter().flatten() {
        let is_within = frame.map_or(spot.x >= 0.0 && spot.y >= 0.0, |frame| frame.contains(spot));
        if !is_within {
            let size =
                frame.map_or_else(String::new, |Frame { width, height, .. }| format!(" of {width}x{height} pixels"));
            let reason = format!("the point {},{} is outside of the picture{size}", spot.x, spot.y);
            return Err(Error::invalid("roi", reason));
        }
    }
    match end {
        Some(end) if start.x >= end.x || start.y >= end.y => {
            let got = format!("{},{},{},{}", start.x, start.y, end.x, end.y);
            Err(Error::invalid("roi", format!("the box {got} is empty, expected left,top,right,bottom")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// The head of a PNG of this size.
    fn png(width: u32, height: u32) -> Bytes {
        let head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        [&head[..], &width.to_be_bytes(), &height.to_be_bytes(), b"\x08\x02"].concat().into()
    }

    fn point(x: f64, y: f64) -> Region {
        Region { start: Spot { x, y }, end: None }
    }

    fn area([left, top, right, bottom]: [f64; 4]) -> Region {
        Region { start: Spot { x: left, y: top }, end: Some(Spot { x: right, y: bottom }) }
    }

    /// The error message for a changed request.
    fn refused(change: impl FnOnce(&mut AnalysisRequest)) -> String {
        let regions = vec![point(40.0, 30.0), area([0.0, 0.0, 40.0, 30.0])];
        let mut request =
            AnalysisRequest { image: png(40, 30), texts: vec!["a cat".into()], regions, ..AnalysisRequest::default() };
        request.check(&Limits::default()).unwrap();
        change(&mut request);
        request.check(&Limits::default()).unwrap_err().to_string()
    }

    #[test]
    fn pictures_of_an_analysis_are_judged_by_their_heads() {
        assert_eq!(refused(|r| r.image = Bytes::new()), "image: must be a PNG, JPEG or WebP");
        let one = "image: 1x1 pixels, expected at least 2 on each side and at most 16777216 in all";
        assert_eq!(refused(|r| r.image = png(1, 1)), one);
        assert!(refused(|r| r.image = png(10_000, 10_000)).starts_with("image: 10000x10000 pixels, "));
        assert!(refused(|r| r.image = png(u32::MAX, u32::MAX)).starts_with("image: 4294967295x4294967295 pixels, "));
        assert_eq!(refused(|r| r.mask = Some(png(40, 31))), "mask: 40x31 pixels, expected 40x30 as in the picture");
        assert_eq!(
            refused(|r| (r.mask, r.regions) = (Some(png(40, 30)), vec![])),
            "mask: needs regions that correct it"
        );
    }

    #[test]
    fn texts_of_an_analysis_are_counted_and_measured() {
        assert_eq!(refused(|r| r.texts.clear()), "texts: must be 1 to 256 texts, got 0");
        assert_eq!(refused(|r| r.texts = vec!["a".into(); 10_000]), "texts: must be 1 to 256 texts, got 10000");
        assert_eq!(refused(|r| r.texts.push(" ".into())), "texts: text 2 is empty");
        assert_eq!(
            refused(|r| r.texts.push("a".repeat(1 << 20))),
            "texts: must have at most 1000 characters, got 1048576"
        );
    }

    #[test]
    fn regions_lie_within_the_picture() {
        let of = |region: Region| refused(|r| r.regions.push(region));
        assert_eq!(of(point(41.0, 3.0)), "roi: the point 41,3 is outside of the picture of 40x30 pixels");
        assert!(of(point(f64::NAN, 3.0)).contains("NaN,3 is outside"));
        assert!(of(point(1.0, -0.5)).contains("1,-0.5 is outside"));
        assert!(of(area([1.0, 1.0, f64::INFINITY, 2.0])).contains("inf,2 is outside"));
        let empty = "roi: the box 5,5,4,9 is empty, expected left,top,right,bottom";
        assert_eq!(of(area([5.0, 5.0, 4.0, 9.0])), empty);
        assert_eq!(refused(|r| r.regions = vec![point(1.0, 1.0); 65]), "roi: must be at most 64 regions, got 65");
        let large = |r: &mut AnalysisRequest| (r.image, r.regions) = (png(4096, 4096), vec![point(1.0, 1.0); 5]);
        assert_eq!(refused(large), "roi: 5 regions of 16777216 pixels are more than 67108864 in all, ask for 4");
        let unknown = check_regions(&[point(-1.0, 2.0)], None, &Limits::default()).unwrap_err().to_string();
        assert_eq!(unknown, "roi: the point -1,2 is outside of the picture");
        assert!(check_regions(&[point(1e9, 2.0)], None, &Limits::default()).is_ok());
    }

    #[test]
    fn a_jpeg_may_lie_on_its_side() {
        let jpeg = Bytes::from_static(b"\xff\xd8\xff\xc0\0\x11\x08\0\x1e\0\x28\x03");
        let mut request = AnalysisRequest {
            image: jpeg,
            texts: vec!["a cat".into()],
            regions: vec![point(30.0, 40.0)],
            mask: Some(png(30, 40)),
            each: false,
        };
        assert_eq!(request.check(&Limits::default()), Ok(()));
        request.mask = Some(png(40, 40));
        assert!(request.check(&Limits::default()).is_err());
    }
}
