//! SAM's prompt encoder: points and boxes become tokens, a mask becomes a picture that is added to the embedding
//! (`SamPromptEncoder` of transformers).

use super::config::PromptConfig;
use crate::models::layers::{Conv2d, LayerNorm};
use crate::tensor::{Activation, Conv2d as Geometry};
use crate::weights::Weights;
use crate::{Device, Error, Result, Tensor};

/// Positions as sines and cosines of random frequencies (<https://arxiv.org/abs/2006.10739>).
struct Fourier {
    /// `[2, features]`: how fast each feature turns with x, then with y.
    frequencies: Vec<f32>,
}

impl Fourier {
    async fn new(weights: &Weights, width: usize) -> Result<Self> {
        Ok(Self { frequencies: weights.get("positional_embedding", &[2, width / 2])?.to_vec().await? })
    }

    /// The embedding of a point from 0 to 1 in both directions.
    fn at(&self, [x, y]: [f32; 2]) -> Vec<f32> {
        let features = self.frequencies.len() / 2;
        let (of_x, of_y) = self.frequencies.split_at(features);
        let turn = |(a, b): (&f32, &f32)| {
            let angle = (2.0 * x - 1.0) * a + (2.0 * y - 1.0) * b;
            f64::from(angle * std::f32::consts::TAU)
        };
        let angles: Vec<f64> = of_x.iter().zip(of_y).map(turn).collect();
        let sines = angles.iter().map(|angle| angle.sin() as f32);
        sines.chain(angles.iter().map(|angle| angle.cos() as f32)).collect()
    }
}

/// The meaning of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// It is outside.
    Outside,
    /// It is inside.
    Inside,
    /// It is the top left corner of a box around all.
    TopLeft,
    /// It is the bottom right corner.
    BottomRight,
    /// Nothing: it stands for the box that a prompt of points lacks.
    Padding,
}

/// A point of a prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Pixels from the left and the top of the picture that the encoder sees.
    pub at: [f32; 2],
    /// Its meaning.
    pub label: Label,
}

/// The prompt encoder with its weights.
pub struct PromptEncoder {
    device: Device,
    image_size: usize,
    grid: usize,
    width: usize,
    /// Positions of prompts, and of the points of the picture's embedding.
    fourier: Fourier,
    image_fourier: Fourier,
    /// In the order of [`Label`].
    labels: [Vec<f32>; 5],
    no_mask: Tensor,
    mask: MaskEmbedding,
}

impl PromptEncoder {
    pub(super) async fn new(weights: &Weights, config: &PromptConfig, image_size: usize, grid: usize) -> Result<Self> {
        let width = config.hidden_size;
        let own = weights.pp("prompt_encoder");
        // Some files have the one table once, others twice.
        let names = ["prompt_encoder.shared_embedding", "shared_image_embedding"].map(|name| weights.pp(name));
        let [of_prompts, of_image] = match names.each_ref().map(|table| table.contains("positional_embedding")) {
            [true, false] => [&names[0]; 2],
            [false, true] => [&names[1]; 2],
            _ => [&names[0], &names[1]],
        };
        let no_mask = own.get("no_mask_embed.weight", &[1, width])?;
        let mut labels: [Vec<f32>; 5] = Default::default();
        for (i, label) in labels.iter_mut().take(4).enumerate() {
            *label = own.get(&format!("point_embed.{i}.weight"), &[1, width])?.to_vec().await?;
        }
        labels[4] = own.get("not_a_point_embed.weight", &[1, width])?.to_vec().await?;
        Ok(Self {
            device: no_mask.device(),
            image_size,
            grid,
            width,
            fourier: Fourier::new(of_prompts, width).await?,
            image_fourier: Fourier::new(of_image, width).await?,
            labels,
            no_mask,
            mask: MaskEmbedding::new(&own.pp("mask_embed"), config)?,
        })
    }

    /// The side of a mask that is given as part of a prompt.
    pub fn mask_side(&self) -> usize {
        4 * self.grid
    }

    /// The tokens of prompts, which have as many marks each: `[n, marks, width]`.
    pub fn sparse(&self, prompts: &[Vec<Mark>]) -> Result<Tensor> {
        let marks = prompts.first().map_or(0, Vec::len);
        if marks == 0 || prompts.iter().any(|prompt| prompt.len() != marks) {
            let got = prompts.iter().map(Vec::len).collect();
            return Err(Error::Shape {
                op: "sam_prompt",
                expected: "prompts of as many marks, at least one".into(),
                got,
            });
        }
        let tokens: Vec<f32> = prompts.iter().flatten().flat_map(|mark| self.token(mark)).collect();
        Tensor::from_vec(tokens, &[prompts.len(), marks, self.width], &self.device)
    }

    fn token(&self, mark: &Mark) -> Vec<f32> {
        let label = &self.labels[mark.label as usize];
        if mark.label == Label::Padding {
            return label.clone();
        }
        // The middle of the pixel.
        let mut token = self.fourier.at(mark.at.map(|x| (x + 0.5) / self.image_size as f32));
        token.iter_mut().zip(label).for_each(|(x, label)| *x += label);
        token
    }

    /// The addend to the embedding of the picture: for a mask `[n, side, side, 1]` of logits `[n, grid, grid, width]`,
    /// without one `[1, 1, 1, width]`.
    pub fn dense(&self, mask: Option<&Tensor>) -> Result<Tensor> {
        match mask {
            Some(mask) => self.mask.forward(mask),
            None => self.no_mask.reshape(&[1, 1, 1, self.width]),
        }
    }

    /// The positions of the points of the picture's embedding: `[1, grid * grid, width]`.
    pub(super) fn image_positions(&self) -> Result<Tensor> {
        let middle = |i: usize| (i as f32 + 0.5) / self.grid as f32;
        let points = (0..self.grid * self.grid).map(|i| [middle(i % self.grid), middle(i / self.grid)]);
        let all = points.flat_map(|point| self.image_fourier.at(point)).collect();
        Tensor::from_vec(all, &[1, self.grid * self.grid, self.width], &self.device)
    }
}

/// Convolutions that turn a mask into something of the size of the embedding.
struct MaskEmbedding {
    conv1: Conv2d,
    layer_norm1: LayerNorm,
    conv2: Conv2d,
    layer_norm2: LayerNorm,
    conv3: Conv2d,
    activation: Activation,
}

impl MaskEmbedding {
    fn new(weights: &Weights, config: &PromptConfig) -> Result<Self> {
        let channels = config.mask_input_channels;
        let halve = Geometry { stride: 2, ..Geometry::padded(0) };
        let conv = |name, inputs, outputs| Conv2d::new(&weights.pp(name), inputs, outputs, 2, halve);
        let norm = |name, width| LayerNorm::new(&weights.pp(name), width, config.layer_norm_eps);
        Ok(Self {
            conv1: conv("conv1", 1, channels / 4)?,
            layer_norm1: norm("layer_norm1", channels / 4)?,
            conv2: conv("conv2", channels / 4, channels)?,
            layer_norm2: norm("layer_norm2", channels)?,
            conv3: Conv2d::new(&weights.pp("conv3"), channels, config.hidden_size, 1, Geometry::padded(0))?,
            activation: config.hidden_act,
        })
    }

    fn forward(&self, mask: &Tensor) -> Result<Tensor> {
        let x = self.layer_norm1.forward(&self.conv1.forward(mask)?)?.activation(self.activation)?;
        let x = self.layer_norm2.forward(&self.conv2.forward(&x)?)?.activation(self.activation)?;
        self.conv3.forward(&x)
    }
}
