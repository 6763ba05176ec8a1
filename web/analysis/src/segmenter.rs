//! `Segmenter`: a SAM on its device, the pictures that it has seen, and the masks that it cuts out.

use crate::events::Events;
use crate::prompt::Prompt;
use crate::{Load, decode};
use easel_inference::Device;
use easel_inference::analysis::{self, SamFiles};
use easel_web_common::{Backend, Cancel, files, gpu_bytes, read, to_js};
use js_sys::Array;
use wasm_bindgen::prelude::*;

/// A SAM that is ready to cut out.
#[wasm_bindgen]
pub struct Segmenter {
    segmenter: analysis::Segmenter,
    device: Device,
}

/// A picture as the network sees it, for any number of prompts.
#[wasm_bindgen]
pub struct Embedded(analysis::Embedded);

/// A mask for a prompt.
#[wasm_bindgen]
pub struct Segment(analysis::Segment);

#[wasm_bindgen]
impl Segmenter {
    /// Loads the model in `pairs` of a path and a `Blob`: a folder of Hugging Face, or one original checkpoint.
    pub async fn load(pairs: Array, options: JsValue) -> Result<Segmenter, JsValue> {
        let Load { name, backend } = read(options).map_err(to_js)?;
        let loaded = async {
            let device = Backend::parse(&backend)?.open().await?;
            let files = SamFiles::open(&files(&name, &pairs)?).await?;
            Ok(Self { segmenter: analysis::Segmenter::load(&files, &device).await?, device })
        };
        loaded.await.map_err(to_js)
    }

    /// A PNG, JPEG or WebP file as the network sees it.
    pub async fn embed(&self, image: Vec<u8>, mut events: Events, cancel: &Cancel) -> Result<Embedded, JsValue> {
        let image = decode(&image).map_err(to_js)?;
        let embedded = self.segmenter.embed_watched(&image, &mut events, cancel.token()).await;
        embedded.map(Embedded).map_err(to_js)
    }

    /// The masks for a prompt, an array of [`Segment`]s; `mask` has the logits of an earlier one.
    pub async fn segment(&self, picture: &Embedded, prompt: JsValue, mask: Option<Vec<f32>>) -> Result<Array, JsValue> {
        let prompt = read::<Prompt>(prompt).map_err(to_js)?.with_mask(mask);
        let segments = self.segmenter.segment(&picture.0, &prompt).await.map_err(to_js)?;
        Ok(segments.into_iter().map(|segment| JsValue::from(Segment(segment))).collect())
    }

    /// Bytes of graphics memory in use.
    #[wasm_bindgen(js_name = gpuBytes)]
    pub fn gpu_bytes(&self) -> f64 {
        gpu_bytes(&self.device)
    }
}

#[wasm_bindgen]
impl Embedded {
    /// Width of the picture in pixels.
    #[wasm_bindgen(getter)]
    pub fn width(&self) -> usize {
        self.0.size()[0]
    }

    /// Height of the picture in pixels.
    #[wasm_bindgen(getter)]
    pub fn height(&self) -> usize {
        self.0.size()[1]
    }
}

#[wasm_bindgen]
impl Segment {
    /// The predicted intersection over union with what was meant.
    #[wasm_bindgen(getter)]
    pub fn iou(&self) -> f32 {
        self.0.iou
    }

    /// A byte for each pixel of the picture, row by row: 255 inside, 0 outside.
    #[wasm_bindgen(getter)]
    pub fn mask(&self) -> Vec<u8> {
        self.0.mask.pixels().iter().map(|inside| if *inside { u8::MAX } else { 0 }).collect()
    }

    /// The network's own numbers, which correct a later prompt.
    #[wasm_bindgen(getter)]
    pub fn logits(&self) -> Vec<f32> {
        self.0.logits.clone()
    }
}
