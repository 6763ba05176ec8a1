//! Segment Anything: masks for points and boxes, or for everything in a picture (<https://arxiv.org/abs/2304.02643>), as
//! `SamModel` and `SamProcessor` of transformers compute them.
//!
//! [`Segmenter::embed`] is most of the work and is done once for a picture; each prompt after that is a small fraction of it.

mod automatic;
mod detect;
mod files;
mod names;
mod prompt;
mod scale;

pub use automatic::{Automatic, Found};
pub use files::SamFiles;
pub use prompt::{MAX_POINTS, Point, Prompt};

use super::Bitmap;
use super::preprocess::SamProcessor;
use crate::models::sam::{DecodedMasks, Mark, Sam, SamConfig};
use crate::pipeline::{CancelToken, Watcher};
use crate::{Device, Error, Result, Tensor};
use easel_picture::Image;

/// A SAM that is ready to cut out.
pub struct Segmenter {
    network: Sam,
    processor: SamProcessor,
    device: Device,
}

/// A picture as the network sees it, for any number of prompts.
pub struct Embedded {
    /// `[1, grid, grid, channels]`.
    embedding: Tensor,
    /// Width and height of the picture.
    size: [usize; 2],
    /// Width and height that it was resized to.
    resized: [usize; 2],
}

/// A mask for a prompt.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The pixels, in the size of the picture.
    pub mask: Bitmap,
    /// The predicted intersection over union with the truth.
    pub iou: f32,
    /// The network's own numbers, above zero inside, in a square whose upper or left part is the picture: an
    /// earlier mask for [`Prompt::mask`].
    pub logits: Vec<f32>,
}

impl Embedded {
    /// Width and height of the picture.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }
}

impl Segmenter {
    /// Loads the model onto a device.
    pub async fn load(files: &SamFiles, device: &Device) -> Result<Self> {
        let config = SamConfig::from_json(&files.component.config_file, &files.component.config)?;
        let side = config.vision.image_size;
        let processor = SamProcessor::from_json("preprocessor_config.json", &files.preprocessor, side)?;
        // Scores of distances are small differences of large numbers: masks in `f32` are those of the reference.
        let device = device.in_f32();
        let network = Sam::new(&files.component.weights(&device, None).await?, config).await?;
        Ok(Self { network, processor, device })
    }

    /// The picture as the network sees it.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field `image` for a picture that is far longer than wide.
    pub fn embed(&self, image: &Image) -> Result<Embedded> {
        let pixels = self.pixels(image)?;
        let embedding = self.device.enter(|| self.network.embed(&pixels))?;
        Ok(self.embedded(image, embedding))
    }

    /// The same for callers whose thread has an event loop: `watcher` may pause after every step of the network, and the
    /// device has finished when this returns.
    ///
    /// # Errors
    /// Those of [`Self::embed`], and [`Error::Cancelled`] after a step.
    pub async fn embed_watched(
        &self,
        image: &Image,
        watcher: &mut dyn Watcher,
        cancel: &CancelToken,
    ) -> Result<Embedded> {
        let mut x = self.pixels(image)?;
        for step in 0..self.network.embed_steps() {
            watcher.pause().await;
            cancel.check()?;
            x = self.device.enter(|| self.network.embed_step(step, &x))?;
        }
        if x.to_vec().await?.iter().any(|x| !x.is_finite()) {
            return Err(Error::NotFinite { what: "SAM's embedding".into(), hint: "" });
        }
        cancel.check()?;
        Ok(self.embedded(image, x))
    }

    fn pixels(&self, image: &Image) -> Result<Tensor> {
        let side = self.network.config().vision.image_size;
        Tensor::from_vec(self.processor.pixels(image)?, &[1, side, side, 3], &self.device)
    }

    fn embedded(&self, image: &Image, embedding: Tensor) -> Embedded {
        let size = [image.width, image.height];
        Embedded { embedding, size, resized: self.processor.resized_size(size) }
    }

    /// The masks for a prompt, in the network's order: three, or one with [`Prompt::single`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a prompt that does not fit the picture; see [`Prompt`].
    pub async fn segment(&self, picture: &Embedded, prompt: &Prompt) -> Result<Vec<Segment>> {
        let marks = prompt.marks(picture.size, picture.resized)?;
        let mask = prompt.mask.as_deref().map(|mask| self.mask_tensor(mask)).transpose()?;
        let decoded = self.decode(picture, &[marks], mask.as_ref(), !prompt.single)?;
        let scores = decoded.iou_scores.to_vec().await?;
        let mut segments = Vec::new();
        for (logits, iou) in self.logits(&decoded, 0).await?.into_iter().zip(scores) {
            segments.push(self.segment_of(picture, logits, iou)?);
        }
        Ok(segments)
    }

    fn decode(
        &self,
        picture: &Embedded,
        prompts: &[Vec<Mark>],
        mask: Option<&Tensor>,
        multimask: bool,
    ) -> Result<DecodedMasks> {
        self.device.enter(|| self.network.decode(&picture.embedding, prompts, mask, multimask))
    }

    /// The masks of one of the prompts, each row by row.
    async fn logits(&self, decoded: &DecodedMasks, prompt: usize) -> Result<Vec<Vec<f32>>> {
        let Some(logits) = decoded.logits.get(prompt) else { return Ok(Vec::new()) };
        let [_, _, masks] = logits.dims("sam")?;
        let numbers = logits.to_vec().await?;
        if numbers.iter().any(|x| !x.is_finite()) {
            return Err(Error::NotFinite { what: "SAM's mask".into(), hint: "" });
        }
        Ok((0..masks).map(|mask| numbers.iter().skip(mask).step_by(masks).copied().collect()).collect())
    }

    fn mask_tensor(&self, mask: &[f32]) -> Result<Tensor> {
        let side = self.network.prompt.mask_side();
        if mask.len() != side * side {
            let reason = format!("{} numbers, expected the {side}x{side} logits of an earlier mask", mask.len());
            return Err(Error::invalid("mask", reason));
        }
        if mask.iter().any(|x| !x.is_finite()) {
            return Err(Error::invalid("mask", "holds a value that is not a finite number"));
        }
        Tensor::from_vec(mask.to_vec(), &[1, side, side, 1], &self.device)
    }

    fn segment_of(&self, picture: &Embedded, logits: Vec<f32>, iou: f32) -> Result<Segment> {
        let [width, height] = picture.size;
        let pixels = self.at_full_size(picture, &logits).into_iter().map(|logit| logit > 0.0).collect();
        Ok(Segment { mask: Bitmap::new(width, height, pixels)?, iou, logits })
    }

    /// A mask in the size of the picture as logits, for [`Prompt::mask`]: as sure as the network is of most of its own.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field `mask` for a mask of another size.
    pub fn logits_of(&self, picture: &Embedded, mask: &Bitmap) -> Result<Vec<f32>> {
        /// The distance from zero.
        const SURE: f32 = 10.0;
        let [width, height] = picture.size;
        if [mask.width(), mask.height()] != picture.size {
            let reason = format!("{}x{} pixels, expected {width}x{height}", mask.width(), mask.height());
            return Err(Error::invalid("mask", reason));
        }
        let side = self.network.prompt.mask_side();
        let scale = self.network.config().vision.image_size as f64 / side as f64;
        // The pixel of the picture under the middle of a number, if that is not beside the picture.
        let pixel = |i: usize, axis: usize| {
            let at = (i as f64 + 0.5) * scale * picture.size[axis] as f64 / picture.resized[axis] as f64;
            (at < picture.size[axis] as f64).then_some(at as usize)
        };
        let is_inside = |i: usize| {
            let at = pixel(i % side, 0).zip(pixel(i / side, 1));
            at.is_some_and(|(column, row)| mask.pixels()[row * width + column])
        };
        Ok((0..side * side).map(|i| if is_inside(i) { SURE } else { -SURE }).collect())
    }

    /// A mask's logits in the size of the picture.
    pub fn at_full_size(&self, picture: &Embedded, logits: &[f32]) -> Vec<f32> {
        let side = self.network.prompt.mask_side();
        let full = self.network.config().vision.image_size;
        let padded = scale::bilinear(logits, [side; 2], [full; 2], picture.resized);
        scale::bilinear(&padded, picture.resized, picture.size, picture.size)
    }
}
