//! CLIP and SAM in memory. They are behind trait objects, for the same reason as [`LoadedModel`](super::LoadedModel).

use super::{Result, analysis};
use crate::names::Place;
use easel_contract::access::digest;
use easel_inference::Device;
use easel_inference::analysis::{Automatic, Bitmap, Clip, Embedded, Prompt, Segmenter};
use easel_inference::pipeline::CancelToken;
use easel_picture::Image;
use parking_lot::Mutex;
use pollster::block_on;
use std::sync::Arc;

/// A CLIP, which scores texts for pictures.
pub struct Scorer(Box<dyn Scores>);

trait Scores: Send + Sync {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>>;

    fn score(&self, image: &Image, texts: &[Vec<f32>]) -> Result<Vec<f32>>;
}

impl Scores for Clip {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        Ok(block_on(self.embed_texts(texts))?)
    }

    fn score(&self, image: &Image, texts: &[Vec<f32>]) -> Result<Vec<f32>> {
        let images = block_on(self.embed_images(&[image]))?;
        Ok(self.score_embedded(&images, texts).into_iter().flatten().collect())
    }
}

impl Scorer {
    /// Loads it from its place.
    pub fn load(place: &Place, device: &Device) -> Result<Self> {
        Ok(Self(Box::new(analysis::load_clip(place, device)?)))
    }

    /// The vectors of texts, for [`score`](Self::score).
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.0.embed(texts)
    }

    /// The probability of each text for a picture.
    pub fn score(&self, image: &Image, texts: &[Vec<f32>]) -> Result<Vec<f32>> {
        self.0.score(image, texts)
    }
}

/// A picture to cut from.
#[derive(Clone, Copy)]
pub struct Whole<'a> {
    /// Its file, by which it is recognised.
    pub file: &'a [u8],
    /// Its pixels.
    pub image: &'a Image,
}

/// What to cut out.
#[derive(Clone, Copy)]
pub struct Cutting<'a> {
    /// Each for itself; everything that is found if there are none.
    pub prompts: &'a [Prompt],
    /// An earlier mask, which the prompts correct.
    pub mask: Option<&'a Bitmap>,
    /// How everything is looked for.
    pub everything: &'a Automatic,
    /// The most masks of everything, the best first.
    pub most: usize,
}

/// Receives a mask and its predicted intersection over union with the truth.
pub type Receiver<'a> = dyn FnMut(Bitmap, f32) -> Result<()> + 'a;

/// A SAM, which cuts out parts of pictures. It keeps its view of the latest picture for further prompts.
pub struct Cutter(Box<dyn Cuts>);

trait Cuts: Send + Sync {
    fn cut(&self, whole: Whole<'_>, cutting: Cutting<'_>, cancel: &CancelToken, each: &mut Receiver<'_>) -> Result<()>;
}

impl Cutter {
    /// Loads it from its place.
    pub fn load(place: &Place, device: &Device) -> Result<Self> {
        let segmenter = analysis::load_sam(place, device)?;
        Ok(Self(Box::new(Keeping { segmenter, latest: Mutex::default() })))
    }

    /// Cuts out of a picture: three masks for each prompt, in their order, as soon as they are there.
    pub fn cut(
        &self,
        whole: Whole<'_>,
        cutting: Cutting<'_>,
        cancel: &CancelToken,
        each: &mut Receiver<'_>,
    ) -> Result<()> {
        self.0.cut(whole, cutting, cancel, each)
    }
}

/// A picture as the network sees it, with the SHA-256 of its file.
type View = ([u8; 32], Arc<Embedded>);

struct Keeping {
    segmenter: Segmenter,
    latest: Mutex<Option<View>>,
}

impl Keeping {
    fn view(&self, whole: Whole<'_>) -> Result<Arc<Embedded>> {
        let key = digest(whole.file);
        if let Some((_, view)) = self.latest.lock().as_ref().filter(|(own, _)| *own == key) {
            return Ok(Arc::clone(view));
        }
        let view = Arc::new(self.segmenter.embed(whole.image)?);
        *self.latest.lock() = Some((key, Arc::clone(&view)));
        Ok(view)
    }
}

impl Cuts for Keeping {
    fn cut(&self, whole: Whole<'_>, cutting: Cutting<'_>, cancel: &CancelToken, each: &mut Receiver<'_>) -> Result<()> {
        cancel.check()?;
        let view = self.view(whole)?;
        cancel.check()?;
        if cutting.prompts.is_empty() {
            let found = block_on(self.segmenter.segment_all(&view, cutting.everything, cancel))?;
            return found.into_iter().take(cutting.most).try_for_each(|found| each(found.mask.to_bitmap()?, found.iou));
        }
        let mask = cutting.mask.map(|mask| self.segmenter.logits_of(&view, mask)).transpose()?;
        for prompt in cutting.prompts {
            cancel.check()?;
            let prompt = Prompt { mask: mask.clone(), ..prompt.clone() };
            for segment in block_on(self.segmenter.segment(&view, &prompt))? {
                each(segment.mask, segment.iou)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_cut_out_where_there_are_no_prompts_and_the_best_is_kept() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/sam");
        let cutter = Cutter::load(&Place::Path(golden.into()), &Device::Cpu).unwrap();
        let image = Image::stub(40, 30).unwrap();
        // The network is random: its scores are far from those of a trained one.
        let everything = Automatic {
            points_per_side: 1,
            pred_iou_thresh: f32::NEG_INFINITY,
            stability_score_thresh: 0.0,
            ..Automatic::default()
        };
        let cut = |most: usize, cancel: &CancelToken| {
            let cutting = Cutting { prompts: &[], mask: None, everything: &everything, most };
            let mut found = Vec::new();
            let mut each = |mask: Bitmap, iou: f32| {
                found.push((mask, iou));
                Ok(())
            };
            cutter.cut(Whole { file: b"stub", image: &image }, cutting, cancel, &mut each).map(|()| found)
        };
        let cancel = CancelToken::default();
        let all = cut(9, &cancel).unwrap();
        assert!(!all.is_empty() && all.is_sorted_by(|a, b| a.1 >= b.1));
        assert_eq!(cut(1, &cancel).unwrap(), all[..1]);
        cancel.cancel();
        assert!(cut(9, &cancel).unwrap_err().to_string().contains("cancelled"));
    }
}
