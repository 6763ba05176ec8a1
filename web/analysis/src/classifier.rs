//! `Classifier`: a CLIP on its device, which compares pictures with texts.

use crate::{Load, decode};
use easel_inference::analysis::{Clip, ClipFiles, check_texts};
use easel_inference::{Device, Error};
use easel_web_common::{Backend, files, gpu_bytes, read, to_js};
use js_sys::Array;
use wasm_bindgen::prelude::*;

/// A CLIP that is ready to compare.
#[wasm_bindgen]
pub struct Classifier {
    clip: Clip,
    device: Device,
}

#[wasm_bindgen]
impl Classifier {
    /// Loads the model in `pairs` of a path and a `Blob`: a folder of Hugging Face.
    pub async fn load(pairs: Array, options: JsValue) -> Result<Classifier, JsValue> {
        let Load { name, backend } = read(options).map_err(to_js)?;
        let loaded = async {
            let device = Backend::parse(&backend)?.open().await?;
            let files = ClipFiles::open(&files(&name, &pairs)?).await?;
            Ok(Self { clip: Clip::load(&files, &device).await?, device })
        };
        loaded.await.map_err(to_js)
    }

    /// A PNG, JPEG or WebP file as a vector of length 1.
    pub async fn embed(&self, image: Vec<u8>) -> Result<Vec<f32>, JsValue> {
        let embedded = async {
            let image = decode(&image)?;
            let vectors = self.clip.embed_images(&[&image]).await?;
            vectors.into_iter().next().ok_or_else(|| Error::invalid("image", "no picture was read"))
        };
        embedded.await.map_err(to_js)
    }

    /// The probability of each text for a picture that [`Self::embed`] was given: numbers that add up to 1.
    pub async fn score(&self, image: Vec<f32>, texts: Vec<String>) -> Result<Vec<f32>, JsValue> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        check_texts(&texts).map_err(to_js)?;
        let texts = self.clip.embed_texts(&texts).await.map_err(to_js)?;
        let scores = self.clip.score_embedded(&[image], &texts);
        Ok(scores.into_iter().flatten().collect())
    }

    /// Bytes of graphics memory in use.
    #[wasm_bindgen(js_name = gpuBytes)]
    pub fn gpu_bytes(&self) -> f64 {
        gpu_bytes(&self.device)
    }
}
