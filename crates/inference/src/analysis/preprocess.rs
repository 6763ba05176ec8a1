//! From a picture to the numbers of a network, as `CLIPImageProcessor` and `SamImageProcessor` of transformers do it with
//! PIL: resized, cut or padded, and normalised.

use crate::fields::Fields;
use crate::{Error, Result};
use easel_picture::{Filter, Image};
use serde_json::{Value, json};

/// The largest proportion of the sides of a picture: beyond it, one side vanishes when the other fits.
const LONGEST: usize = 100;

/// The largest side that is resized to.
const MOST_PIXELS: usize = 4096;

/// Levels of a byte to numbers with a mean of 0 and a deviation of 1.
#[derive(Clone, Debug, PartialEq)]
struct Normalization {
    rescale_factor: f64,
    mean: [f32; 3],
    std: [f32; 3],
}

impl Normalization {
    fn read(fields: &Fields<'_>, mean: [f64; 3], std: [f64; 3]) -> Result<Self> {
        let three = |name: &str, default: [f64; 3]| -> Result<[f32; 3]> {
            let numbers = fields.numbers(name)?.unwrap_or(default.to_vec());
            let numbers = <[f64; 3]>::try_from(numbers).map_err(|_| fields.error(name, "expected three numbers"))?;
            Ok(numbers.map(|x| x as f32))
        };
        for step in ["do_resize", "do_rescale", "do_normalize"] {
            fields.only(step, json!(true))?;
        }
        let std = three("image_std", std)?;
        if std.contains(&0.0) {
            return Err(fields.error("image_std", "expected numbers other than 0"));
        }
        let rescale_factor = fields.number("rescale_factor", 1.0 / 255.0)?;
        Ok(Self { rescale_factor, mean: three("image_mean", mean)?, std })
    }

    /// The level of a channel.
    fn at(&self, byte: u8, channel: usize) -> f32 {
        let rescaled = (f64::from(byte) * self.rescale_factor) as f32;
        (rescaled - self.mean[channel]) / self.std[channel]
    }
}

/// The filter with PIL's number.
fn filter(fields: &Fields<'_>, default: usize) -> Result<Filter> {
    match fields.integer("resample", default)? {
        1 => Ok(Filter::Lanczos),
        2 => Ok(Filter::Bilinear),
        3 => Ok(Filter::Bicubic),
        other => Err(fields.error("resample", format!("{other}, expected 1, 2 or 3"))),
    }
}

/// Refuses what becomes nothing when it is resized.
fn check_proportions(image: &Image) -> Result<()> {
    let short = image.width.min(image.height);
    let long = image.width.max(image.height);
    if long <= LONGEST.saturating_mul(short) {
        return Ok(());
    }
    let size = format!("{}x{}", image.width, image.height);
    Err(Error::invalid("image", format!("{size} pixels, expected at most {LONGEST} times as long as wide")))
}

/// Prepares pictures for CLIP: the short side resized, the middle cut out.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipProcessor {
    /// Pixels of the short side, or height and width.
    size: Size,
    /// Height and width of what is cut out.
    crop: [usize; 2],
    filter: Filter,
    normalization: Normalization,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Size {
    ShortestEdge(usize),
    Exactly([usize; 2]),
}

impl ClipProcessor {
    /// Reads a `preprocessor_config.json`; `file` is what errors call it, `side` is that of the network's pictures.
    pub fn from_json(file: &str, json: &Value, side: usize) -> Result<Self> {
        const MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
        const STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];
        let fields = Fields::new(file, json)?;
        fields.only("do_center_crop", json!(true))?;
        let size = match json.get("size").filter(|size| size.is_object()) {
            None => Size::ShortestEdge(fields.count("size", side, 1..=MOST_PIXELS)?),
            Some(size) => match size.get("shortest_edge") {
                Some(_) => {
                    Size::ShortestEdge(Fields::new(file, size)?.count("shortest_edge", side, 1..=MOST_PIXELS)?)
                }
                None => Size::Exactly(height_and_width(file, size, side)?),
            },
        };
        let crop = match json.get("crop_size").filter(|size| size.is_object()) {
            Some(size) => height_and_width(file, size, side)?,
            None => [fields.count("crop_size", side, 1..=MOST_PIXELS)?; 2],
        };
        let smallest = match size {
            Size::ShortestEdge(side) => [side; 2],
            Size::Exactly(size) => size,
        };
        if crop != [side; 2] || smallest[0] < side || smallest[1] < side {
            return Err(
                fields.error("crop_size", format!("{crop:?} of {smallest:?}, expected {side} of at least as much"))
            );
        }
        Ok(Self { size, crop, filter: filter(&fields, 3)?, normalization: Normalization::read(&fields, MEAN, STD)? })
    }

    /// The bytes that are normalised.
    pub fn cropped(&self, image: &Image) -> Result<Image> {
        check_proportions(image)?;
        let [height, width] = match self.size {
            Size::Exactly(size) => size,
            Size::ShortestEdge(short) if image.width <= image.height => {
                [short * image.height / image.width.max(1), short]
            }
            Size::ShortestEdge(short) => [short, short * image.width / image.height.max(1)],
        };
        let resized = image.resized_with(width, height, self.filter)?;
        let [rows, columns] = self.crop;
        let top = (height - rows) / 2;
        let left = (width - columns) / 2;
        let row = |row: usize| &resized.rgb8[((top + row) * width + left) * 3..][..columns * 3];
        Ok(Image::new(columns, rows, (0..rows).flat_map(row).copied().collect())?)
    }

    /// The numbers of the network: `[side, side, 3]`.
    pub fn pixels(&self, image: &Image) -> Result<Vec<f32>> {
        let cropped = self.cropped(image)?;
        Ok(cropped.rgb8.iter().enumerate().map(|(i, byte)| self.normalization.at(*byte, i % 3)).collect())
    }
}

fn height_and_width(file: &str, size: &Value, side: usize) -> Result<[usize; 2]> {
    let fields = Fields::new(file, size)?;
    Ok([fields.count("height", side, 1..=MOST_PIXELS)?, fields.count("width", side, 1..=MOST_PIXELS)?])
}

/// Prepares pictures for SAM: the long side resized, and zeros on the right and below.
#[derive(Clone, Debug, PartialEq)]
pub struct SamProcessor {
    longest_edge: usize,
    filter: Filter,
    normalization: Normalization,
}

impl SamProcessor {
    /// Reads a `preprocessor_config.json`; `file` is what errors call it, `side` is that of the network's pictures.
    pub fn from_json(file: &str, json: &Value, side: usize) -> Result<Self> {
        const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
        const STD: [f64; 3] = [0.229, 0.224, 0.225];
        let fields = Fields::new(file, json)?;
        fields.only("do_pad", json!(true))?;
        let empty = json!({});
        let size = Fields::new(file, json.get("size").unwrap_or(&empty))?;
        size.only("longest_edge", json!(side))?;
        let normalization = Normalization::read(&fields, MEAN, STD)?;
        Ok(Self { longest_edge: side, filter: filter(&fields, 2)?, normalization })
    }

    /// Width and height of a picture when its long side fits.
    pub fn resized_size(&self, [width, height]: [usize; 2]) -> [usize; 2] {
        let scale = self.longest_edge as f64 / width.max(height).max(1) as f64;
        [width, height].map(|side| ((side as f64 * scale + 0.5) as usize).max(1))
    }

    /// The picture before it is normalised and padded.
    pub fn resized(&self, image: &Image) -> Result<Image> {
        check_proportions(image)?;
        let [width, height] = self.resized_size([image.width, image.height]);
        Ok(image.resized_with(width, height, self.filter)?)
    }

    /// The numbers of the network: `[side, side, 3]`.
    pub fn pixels(&self, image: &Image) -> Result<Vec<f32>> {
        let resized = self.resized(image)?;
        let side = self.longest_edge;
        let mut pixels = vec![0.0; side * side * 3];
        for (row, line) in resized.rgb8.chunks_exact(resized.width * 3).enumerate() {
            for (i, byte) in line.iter().enumerate() {
                pixels[row * side * 3 + i] = self.normalization.at(*byte, i % 3);
            }
        }
        Ok(pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_one_pixel_and_of_odd_sizes_are_prepared() {
        let clip = ClipProcessor::from_json("p.json", &json!({}), 8).unwrap();
        let sam = SamProcessor::from_json("p.json", &json!({}), 32).unwrap();
        for [width, height] in [[1, 1], [3, 200], [200, 2], [31, 17]] {
            let image = Image::stub(width, height).unwrap();
            assert_eq!(clip.pixels(&image).unwrap().len(), 8 * 8 * 3);
            assert_eq!(sam.pixels(&image).unwrap().len(), 32 * 32 * 3);
        }
        assert_eq!(sam.resized_size([90, 120]), [24, 32]);
        let long = Image::stub(1000, 1).unwrap();
        let refused = clip.pixels(&long).unwrap_err().to_string();
        assert_eq!(refused, "image: 1000x1 pixels, expected at most 100 times as long as wide");
        assert!(sam.pixels(&long).is_err());
    }

    #[test]
    fn configurations_that_mean_something_else_are_refused() {
        let refused = |json: Value| ClipProcessor::from_json("p.json", &json, 8).unwrap_err().to_string();
        assert!(refused(json!({"resample": 0})).starts_with("p.json: field resample: 0, expected"));
        assert!(refused(json!({"do_resize": false})).contains("field do_resize"));
        assert!(refused(json!({"crop_size": 9})).contains("field crop_size: [9, 9] of [8, 8]"));
        assert!(refused(json!({"size": {"shortest_edge": 4}})).contains("field crop_size"));
        assert!(refused(json!({"image_std": [1, 0, 1]})).contains("field image_std"));
        assert!(SamProcessor::from_json("p.json", &json!({"size": {"longest_edge": 512}}), 1024).is_err());
    }
}
