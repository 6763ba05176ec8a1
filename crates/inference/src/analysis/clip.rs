//! CLIP zero-shot: how well each of some texts goes with a picture (<https://arxiv.org/abs/2103.00020>), as `CLIPModel` and
//! `CLIPProcessor` of transformers compute it.

use super::preprocess::ClipProcessor;
use super::preprocessor;
use crate::families::read_tokenizer;
use crate::models::clip::{Clip as Network, ClipConfig};
use crate::text::{Tokenizer, TokenizerFiles};
use crate::weights::{self, ComponentFiles, Files};
use crate::{Device, Error, Result, Tensor};
use easel_picture::Image;
use serde_json::Value;

/// The most texts that one picture is compared with at once.
pub const MAX_TEXTS: usize = 256;

/// Texts, or pictures, that go through the network together.
const BATCH: usize = 16;

/// The files of a CLIP in Hugging Face's layout, opened and not loaded yet: those of a hub repository are fetched.
pub struct ClipFiles {
    component: ComponentFiles,
    tokenizer: weights::TokenizerFiles,
    preprocessor: Value,
    name: String,
}

impl ClipFiles {
    /// Opens the model in a folder.
    pub async fn open(files: &dyn Files) -> Result<Self> {
        let list = files.list().await?;
        let missing = || Error::format(files.name(), "no tokenizer.json and no merges.txt, expected one of them");
        Ok(Self {
            tokenizer: read_tokenizer(files, &list, "").await?.ok_or_else(missing)?,
            preprocessor: preprocessor(files, &list).await?,
            component: ComponentFiles::open(files, "", None).await?,
            name: files.name().to_owned(),
        })
    }

    /// The configuration and the tensors, for programs that show them.
    pub fn component(&self) -> &ComponentFiles {
        &self.component
    }
}

/// A CLIP that is ready to compare.
pub struct Clip {
    network: Network,
    tokenizer: Tokenizer,
    processor: ClipProcessor,
    /// The factor on cosines.
    temperature: f32,
    device: Device,
}

impl Clip {
    /// Loads the model onto a device.
    pub async fn load(files: &ClipFiles, device: &Device) -> Result<Self> {
        let ClipFiles { component, tokenizer, preprocessor, name } = files;
        let config = ClipConfig::from_json(&component.config_file, &component.config)?;
        let processor = ClipProcessor::from_json("preprocessor_config.json", preprocessor, config.vision.image_size)?;
        let files = TokenizerFiles::find(name, |file| tokenizer.get(file));
        let tokenizer = Tokenizer::from_files(&files, config.text.max_position_embeddings)?;
        // Both encoders compute in `f32`, as text encoders do everywhere.
        let device = device.in_f32();
        let network = Network::new(&component.weights(&device, None).await?, config)?;
        let temperature = network.temperature().await?;
        Ok(Self { network, tokenizer, processor, temperature, device })
    }

    /// The probabilities of the texts for each picture: numbers that add up to 1, in the order of the texts.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field `texts` for no texts, more than [`MAX_TEXTS`], or an empty one, and with `image` for
    /// a picture that is far longer than wide.
    pub async fn score(&self, images: &[&Image], texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        check_texts(texts)?;
        let texts = self.embed_texts(texts).await?;
        let images = self.embed_images(images).await?;
        Ok(self.score_embedded(&images, &texts))
    }

    /// The same for vectors of [`Self::embed_images`] and [`Self::embed_texts`].
    pub fn score_embedded(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Vec<Vec<f32>> {
        images.iter().map(|image| softmax(&self.logits(image, texts))).collect()
    }

    /// The input of the softmax: the cosine with each text times the model's factor.
    pub fn logits(&self, image: &[f32], texts: &[Vec<f32>]) -> Vec<f32> {
        let dot = |text: &Vec<f32>| image.iter().zip(text).map(|(a, b)| a * b).sum::<f32>();
        texts.iter().map(|text| self.temperature * dot(text)).collect()
    }

    /// A vector of length 1 for each text. A text that is too long for the network is cut off.
    pub async fn embed_texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(texts.len());
        for texts in texts.chunks(BATCH) {
            let ids = self.ids(texts)?;
            let out = self.device.enter(|| self.network.text.forward(&ids))?;
            let projected = out.text_embeds.ok_or_else(|| Error::format("CLIP", "no text_projection"))?;
            vectors.extend(unit_rows(&projected).await?);
        }
        Ok(vectors)
    }

    /// A vector of length 1 for each picture.
    pub async fn embed_images(&self, images: &[&Image]) -> Result<Vec<Vec<f32>>> {
        let side = self.network.vision.config().image_size;
        let mut vectors = Vec::with_capacity(images.len());
        for images in images.chunks(BATCH) {
            let mut pixels = Vec::with_capacity(images.len() * side * side * 3);
            for image in images {
                pixels.extend(self.processor.pixels(image)?);
            }
            let pixels = Tensor::from_vec(pixels, &[images.len(), side, side, 3], &self.device)?;
            let out = self.device.enter(|| self.network.vision.forward(&pixels))?;
            vectors.extend(unit_rows(&out.image_embeds).await?);
        }
        Ok(vectors)
    }

    /// The ids of texts, as long as the longest is: what follows the end of a text has no influence.
    pub fn ids(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        let frame = self.tokenizer.frame();
        let around = frame.length - frame.content();
        let contents = texts.iter().map(|text| self.tokenizer.tokenize(text)).collect::<Result<Vec<_>>>()?;
        let longest = contents.iter().map(Vec::len).max().unwrap_or(0).min(frame.content());
        let windows = self.tokenizer.with_length(longest + around);
        Ok(contents.iter().map(|content| windows.frame().wrap(content)).collect())
    }
}

/// Refuses texts that cannot be scored.
///
/// # Errors
/// [`Error::Invalid`] with the field `texts` for no texts, more than [`MAX_TEXTS`], or an empty one.
pub fn check_texts(texts: &[&str]) -> Result<()> {
    if texts.is_empty() || texts.len() > MAX_TEXTS {
        return Err(Error::invalid("texts", format!("{} texts, expected 1 to {MAX_TEXTS}", texts.len())));
    }
    match texts.iter().position(|text| text.trim().is_empty()) {
        Some(at) => Err(Error::invalid("texts", format!("text {} is empty", at + 1))),
        None => Ok(()),
    }
}

/// The rows of a matrix, each divided by its length.
async fn unit_rows(x: &Tensor) -> Result<Vec<Vec<f32>>> {
    let [_, width] = x.dims("clip")?;
    let numbers = x.to_vec().await?;
    if numbers.iter().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite { what: "CLIP's embedding".into(), hint: "" });
    }
    let unit = |row: &[f32]| {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter().map(|x| x / length.max(f32::MIN_POSITIVE)).collect()
    };
    Ok(numbers.chunks_exact(width.max(1)).map(unit).collect())
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let total: f32 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_checked() {
        let message = |texts: &[&str]| check_texts(texts).unwrap_err().to_string();
        assert_eq!(message(&[]), "texts: 0 texts, expected 1 to 256");
        assert_eq!(message(&["x"; 10_000]), "texts: 10000 texts, expected 1 to 256");
        assert_eq!(message(&["a cat", " "]), "texts: text 2 is empty");
        assert!(check_texts(&["x"; MAX_TEXTS]).is_ok());
    }

    #[test]
    fn probabilities_add_up() {
        assert_eq!(softmax(&[100.0, 100.0]), [0.5, 0.5]);
        assert_eq!(softmax(&[-1e30, 1e30]), [0.0, 1.0]);
    }
}
