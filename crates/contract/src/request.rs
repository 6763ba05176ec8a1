//! The request of a task in the service's plain types.

use crate::Origin;
use crate::limits::SIZE_STEP;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A request for pictures. For fields that are `None` the model's defaults apply.
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
    /// The seed of the first picture; each further picture has the next number. If it is missing, the service draws
    /// one.
    pub seed: Option<u64>,
    /// The scheduler by name.
    pub scheduler: Option<String>,
    /// The model by name.
    pub model: Option<String>,
    /// The number of pictures, at least 1.
    pub count: u32,
    /// An initial picture.
    pub init: Option<InitImage>,
    /// Whether a client waits for the task: it is cancelled when nobody watches it any more.
    #[serde(default)]
    pub attended: bool,
    /// How to encode the pictures; PNG if missing.
    #[serde(default)]
    pub encoding: Option<Encoding>,
    /// Draws each picture, enlarges it and draws it again.
    #[serde(default)]
    pub hires: Option<Hires>,
    /// The task's session, for clients that share one.
    #[serde(default)]
    pub session: Option<String>,
    /// Where it came from, for logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// How a picture is enlarged and redrawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hires {
    /// The factor for sides without a new length.
    pub scale: f64,
    /// The new width in pixels.
    pub width: Option<u32>,
    /// The new height in pixels.
    pub height: Option<u32>,
    /// Denoising steps of the second pass; as many as in the first if missing.
    pub steps: Option<u32>,
    /// How much of the enlarged picture to change, from 0 to 1.
    pub strength: f64,
}

impl Hires {
    /// The new width and height for a picture of this size.
    pub fn size(&self, width: u32, height: u32) -> (u32, u32) {
        let step = SIZE_STEP as f64;
        // Sizes are small, and the cast saturates.
        let scaled = |side: u32| ((f64::from(side) * self.scale / step).round() * step) as u32;
        (self.width.unwrap_or(scaled(width)), self.height.unwrap_or(scaled(height)))
    }

    /// The steps of the second pass, after a first one of `steps` steps.
    pub fn steps(&self, steps: u32) -> u32 {
        (f64::from(self.steps.unwrap_or(steps)) * self.strength).ceil() as u32
    }
}

/// An initial picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InitImage {
    /// A picture file: PNG, JPEG or WebP; hosts also read GIF, BMP and TIFF.
    #[serde(with = "crate::wire::base64_bytes")]
    pub bytes: Bytes,
    /// How much to change it, from 0 (not at all) to 1 (completely).
    pub strength: f64,
    /// The area to redraw; everything if missing.
    #[serde(default)]
    pub mask: Option<Mask>,
}

/// The area of a picture to redraw. The rest stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mask {
    /// A picture file, as in [`InitImage`]. It is resized to the requested size.
    #[serde(with = "crate::wire::base64_bytes")]
    pub bytes: Bytes,
    /// Which of its pixels mark the area.
    pub redraw: Redraw,
    /// How the drawn area is pasted into the initial picture, so that every other pixel stays. Without it, the rest stays as far
    /// as the model can keep it.
    #[serde(default)]
    pub paste: Option<Paste>,
}

impl InitImage {
    /// Whether only a part of the picture is drawn. The result then has the size of the picture, not that of the request.
    pub fn is_drawn_in_part(&self) -> bool {
        self.mask.as_ref().and_then(|mask| mask.paste).is_some_and(|paste| paste.margin.is_some())
    }
}

/// How a drawn area is pasted into the initial picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paste {
    /// The softness of its edge: the standard deviation of a Gaussian blur of the mask, in pixels.
    pub blur: u32,
    /// If set, only the masked area and this many pixels around it are drawn, in the size of the request.
    pub margin: Option<u32>,
    /// Whether to start from the colours around the masked area instead of its own.
    pub fill: bool,
}

/// Which pixels of a mask mark the area to redraw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Redraw {
    /// Pixels that are closer to white than to black.
    #[default]
    White,
    /// Pixels that are closer to black than to white.
    Black,
    /// Transparent pixels.
    Transparent,
}

/// How pictures are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoding {
    /// The kind of file.
    pub format: PictureFormat,
    /// 1 to 100, for lossy formats.
    pub quality: Option<u32>,
}

/// A format of picture files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PictureFormat {
    /// Lossless.
    #[default]
    Png,
    /// Lossy.
    Jpeg,
    /// Lossless, as Easel writes it.
    Webp,
    /// Uncompressed.
    Bmp,
    /// Lossless.
    Tiff,
    /// 256 colours.
    Gif,
}

impl PictureFormat {
    /// Every format by its name in PIL.
    pub const ALL: [(Self, &str); 6] = [
        (Self::Png, "png"),
        (Self::Jpeg, "jpeg"),
        (Self::Webp, "webp"),
        (Self::Bmp, "bmp"),
        (Self::Tiff, "tiff"),
        (Self::Gif, "gif"),
    ];

    /// The format of this name, in upper or lower case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(format, _)| format)
    }
}
