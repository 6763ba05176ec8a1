//! Segment Anything (<https://arxiv.org/abs/2304.02643>): `SamModel` of transformers, and MobileSAM
//! (<https://arxiv.org/abs/2306.14289>), whose image encoder is a TinyViT.
//!
//! The image encoder is most of the work, and runs once for a picture. Prompts are encoded and decoded with its result.

mod config;
mod decoder;
mod neck;
mod prompt;
mod tiny_vit;
mod two_way;
mod vit;
mod windows;

pub use config::{DecoderConfig, PromptConfig, SamConfig, TinyVitConfig, VisionConfig, VisionKind, VitConfig};
pub use decoder::DecodedMasks;
pub use prompt::{Label, Mark, PromptEncoder};

use crate::weights::Weights;
use crate::{Error, Result, Tensor};
use decoder::{MaskDecoder, Prompted};
use tiny_vit::TinyVit;
use vit::Vit;

enum Vision {
    Vit(Box<Vit>),
    Tiny(Box<TinyVit>),
}

/// All parts with their weights.
pub struct Sam {
    config: SamConfig,
    vision: Vision,
    /// Turns prompts into tokens.
    pub prompt: PromptEncoder,
    decoder: MaskDecoder,
    positions: Tensor,
}

impl Sam {
    /// Takes the weights and complains about any that are left over. Waits for the device, to read small tables back.
    pub async fn new(weights: &Weights, config: SamConfig) -> Result<Self> {
        let encoder = weights.pp("vision_encoder");
        let vision = match &config.vision.kind {
            VisionKind::Vit(vit) => Vision::Vit(Box::new(Vit::new(&encoder, &config.vision, vit)?)),
            VisionKind::Tiny(tiny) => Vision::Tiny(Box::new(TinyVit::new(&encoder, &config.vision, tiny).await?)),
        };
        let image_size = config.vision.image_size;
        let prompt = PromptEncoder::new(weights, &config.prompt, image_size, config.vision.grid()).await?;
        let decoder = MaskDecoder::new(&weights.pp("mask_decoder"), &config.decoder)?;
        weights.finish(|_| false)?;
        let positions = prompt.image_positions()?;
        Ok(Self { config, vision, prompt, decoder, positions })
    }

    /// The configuration that the model was built from.
    pub fn config(&self) -> &SamConfig {
        &self.config
    }

    /// Encodes a normalised picture `[1, image_size, image_size, 3]`: `[1, grid, grid, channels]`.
    pub fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        self.embed_probed(pixels, &mut |_, _| {})
    }

    /// The same; `probe` sees the results of a vision transformer's layers.
    pub fn embed_probed(&self, pixels: &Tensor, probe: &mut dyn FnMut(&str, &Tensor)) -> Result<Tensor> {
        let mut x = pixels.clone();
        for step in 0..self.embed_steps() {
            x = self.embed_step(step, &x)?;
            if let Vision::Vit(vit) = &self.vision
                && let Some(name) = vit.probe(step)
            {
                probe(&name, &x);
            }
        }
        Ok(x)
    }

    /// The number of steps of [`Self::embed`].
    pub fn embed_steps(&self) -> usize {
        match &self.vision {
            Vision::Vit(vit) => vit.steps(),
            Vision::Tiny(tiny) => tiny.steps(),
        }
    }

    /// One step of [`Self::embed`], for callers that do something else between two of them: the first takes the pixels, every
    /// other one takes what the step before it returned, and the last returns the embedding.
    pub fn embed_step(&self, step: usize, x: &Tensor) -> Result<Tensor> {
        let side = self.config.vision.image_size;
        if step == 0 && x.shape() != [1, side, side, 3] {
            let expected = format!("[1, {side}, {side}, 3]");
            return Err(Error::Shape { op: "sam", expected, got: x.shape().to_vec() });
        }
        match &self.vision {
            Vision::Vit(vit) => vit.step(step, x),
            Vision::Tiny(tiny) => tiny.step(step, x),
        }
    }

    /// The masks of prompts, which have as many marks each, for the embedding of a picture. `mask` are logits of an earlier
    /// mask of the only prompt, `[1, side, side, 1]`. With `multimask` there are several masks for each prompt, else one.
    pub fn decode(
        &self,
        image: &Tensor,
        prompts: &[Vec<Mark>],
        mask: Option<&Tensor>,
        multimask: bool,
    ) -> Result<DecodedMasks> {
        let sparse = self.prompt.sparse(prompts)?.cast(image.dtype())?;
        let dense = self.prompt.dense(mask)?;
        let prompted = Prompted { image, positions: &self.positions, sparse: &sparse, dense: &dense };
        self.decoder.forward(prompted, multimask)
    }
}
