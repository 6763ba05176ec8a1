//! What a task is asked to draw: the request in the service's plain types.

use crate::limits::SIZE_STEP;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A request for pictures. Fields that are `None` are the model's own choice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageRequest {
    /// What to draw.
    pub prompt: String,
    /// What not to draw.
    pub negative_prompt: Option<String>,
    /// Width in pixels, a multiple of 8.
    pub width: Option<u32>,
    /// Height in pixels, a multiple of 8.
    pub height: Option<u32>,
    /// Denoising steps.
    pub steps: Option<u32>,
    /// How strongly to follow the prompt.
    pub guidance_scale: Option<f64>,
    /// The seed of the first picture, the next one has the next; the service draws a missing one.
    pub seed: Option<u64>,
    /// The scheduler by name.
    pub scheduler: Option<String>,
    /// The model by name.
    pub model: Option<String>,
    /// How many pictures, at least 1.
    pub count: u32,
    /// A picture to start from.
    pub init: Option<InitImage>,
    /// Whether a client waits for it: the task is cancelled when nobody watches it any more.
    #[serde(default)]
    pub attended: bool,
    /// How the pictures are encoded; PNG if it says nothing.
    #[serde(default)]
    pub encoding: Option<Encoding>,
    /// Draws each picture, enlarges it and draws it again.
    #[serde(default)]
    pub hires: Option<Hires>,
    /// The session whose task it is, for clients that ask about the task of their session.
    #[serde(default)]
    pub session: Option<String>,
}

/// How a picture is enlarged before it is drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hires {
    /// How much wider and higher it becomes, where it has no width or height.
    pub scale: f64,
    /// The new width in pixels.
    pub width: Option<u32>,
    /// The new height in pixels.
    pub height: Option<u32>,
    /// Denoising steps of a whole second picture; as many as for the first one without it.
    pub steps: Option<u32>,
    /// How much of the enlarged picture to change, 0 to 1.
    pub strength: f64,
}

impl Hires {
    /// The new width and height of a picture of this size.
    pub fn size(&self, width: u32, height: u32) -> (u32, u32) {
        let step = SIZE_STEP as f64;
        // Sizes are small numbers, and the cast saturates.
        let scaled = |side: u32| ((f64::from(side) * self.scale / step).round() * step) as u32;
        (self.width.unwrap_or(scaled(width)), self.height.unwrap_or(scaled(height)))
    }

    /// The steps that it adds to those of a picture.
    pub fn steps(&self, steps: u32) -> u32 {
        (f64::from(self.steps.unwrap_or(steps)) * self.strength).ceil() as u32
    }
}

/// A picture to start from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InitImage {
    /// A picture file: PNG, JPEG or WebP; hosts also read GIF, BMP and TIFF.
    #[serde(with = "crate::wire::base64_bytes")]
    pub bytes: Bytes,
    /// How much to change it, 0 (not at all) to 1 (completely).
    pub strength: f64,
    /// Where to draw; everywhere without it.
    #[serde(default)]
    pub mask: Option<Mask>,
}

/// Where a picture is drawn anew. The rest of it stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mask {
    /// A picture file as of [`InitImage`]; it is resized to the size that is drawn.
    #[serde(with = "crate::wire::base64_bytes")]
    pub bytes: Bytes,
    /// Which part of it stands for what is drawn anew.
    pub redraw: Redraw,
}

/// Which part of a mask stands for what is drawn anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Redraw {
    /// What is white, or nearer to white than to black.
    #[default]
    White,
    /// What is black, or nearer to black than to white.
    Black,
    /// What is transparent.
    Transparent,
}

/// How pictures are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoding {
    /// The kind of file.
    pub format: PictureFormat,
    /// 1 to 100, where the format loses something.
    pub quality: Option<u32>,
}

/// A kind of picture file that requests may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PictureFormat {
    /// Lossless.
    #[default]
    Png,
    /// With losses.
    Jpeg,
    /// Lossless here.
    Webp,
}
