//! What is in a picture, and where.
//!
//! [`Clip`] scores texts for a picture; [`Segmenter`] cuts out what points and boxes name, or everything that it finds. Both
//! compute the numbers of Hugging Face's transformers, from the bytes of the picture on. The result of a cut is a
//! [`Bitmap`]: a PNG, a run-length encoding, or polygons.

mod bitmap;
mod clip;
mod polygon;
mod preprocess;
mod rle;
mod sam;

pub use bitmap::{Bitmap, Bounds};
pub use clip::{Clip, ClipFiles, MAX_TEXTS, check_texts};
pub use polygon::{Polygon, Ring};
pub use preprocess::{ClipProcessor, SamProcessor};
pub use rle::Rle;
pub use sam::{Automatic, Embedded, Found, MAX_POINTS, Point, Prompt, SamFiles, Segment, Segmenter};

use crate::Result;
use crate::weights::{Files, read_json};
use serde_json::Value;

/// The preprocessor's configuration in a folder, or an empty one.
async fn preprocessor(files: &dyn Files, list: &[String]) -> Result<Value> {
    const FILE: &str = "preprocessor_config.json";
    if list.iter().any(|path| path == FILE) {
        read_json(files, FILE).await
    } else {
        Ok(Value::Object(Default::default()))
    }
}
