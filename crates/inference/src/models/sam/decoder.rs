//! SAM's mask decoder: from the embedding of a picture and the tokens of a prompt to masks and how good they are
//! (`SamMaskDecoder` of transformers).

use super::config::DecoderConfig;
use super::neck::PICTURE_EPS;
use super::two_way::{Streams, TwoWay};
use crate::models::layers::{LayerNorm, Linear};
use crate::tensor::{Activation, Epilogue};
use crate::weights::Weights;
use crate::{Result, Tensor};

/// The input of the decoder.
#[derive(Clone, Copy)]
pub(super) struct Prompted<'a> {
    /// The embedding of one picture `[1, grid, grid, width]`.
    pub(super) image: &'a Tensor,
    /// The positions of its points `[1, grid * grid, width]`.
    pub(super) positions: &'a Tensor,
    /// The tokens of `n` prompts `[n, t, width]`.
    pub(super) sparse: &'a Tensor,
    /// The sum of this and the picture is decoded; one for each prompt, or for all: `[n or 1, grid or 1, grid or 1, width]`.
    pub(super) dense: &'a Tensor,
}

/// The masks of `n` prompts.
pub struct DecodedMasks {
    /// Logits, above zero inside: for each prompt `[4 * grid, 4 * grid, masks]`.
    pub logits: Vec<Tensor>,
    /// The predicted intersection over union of each mask with the truth: `[n, masks]`.
    pub iou_scores: Tensor,
}

/// The mask decoder with its weights.
pub(super) struct MaskDecoder {
    /// The tokens that become the score and the masks: `[1, 2 + multimask outputs, width]`.
    tokens: Tensor,
    transformer: TwoWay,
    upscale1: Doubling,
    upscale_norm: LayerNorm,
    upscale2: Doubling,
    /// Makes a kernel for each mask.
    kernels: Vec<FeedForward>,
    iou_prediction: FeedForward,
}

impl MaskDecoder {
    pub(super) fn new(weights: &Weights, config: &DecoderConfig) -> Result<Self> {
        let width = config.hidden_size;
        let masks = config.num_multimask_outputs + 1;
        let iou_token = weights.get("iou_token.weight", &[1, width])?;
        let mask_tokens = weights.get("mask_tokens.weight", &[masks, width])?;
        let wide = |tensor: &Tensor| tensor.cast(crate::DType::F32);
        let tokens = Tensor::concat(&[&wide(&iou_token)?, &wide(&mask_tokens)?], 0)?;
        let kernel = |i: usize| {
            let weights = weights.pp("output_hypernetworks_mlps").pp(i);
            FeedForward::new(&weights, [width, width, width / 8], 3)
        };
        let iou = weights.pp("iou_prediction_head");
        Ok(Self {
            tokens: tokens.reshape(&[1, masks + 1, width])?,
            transformer: TwoWay::new(&weights.pp("transformer"), config)?,
            upscale1: Doubling::new(&weights.pp("upscale_conv1"), width, width / 4)?,
            upscale_norm: LayerNorm::new(&weights.pp("upscale_layer_norm"), width / 4, PICTURE_EPS)?,
            upscale2: Doubling::new(&weights.pp("upscale_conv2"), width / 4, width / 8)?,
            kernels: (0..masks).map(kernel).collect::<Result<_>>()?,
            iou_prediction: FeedForward::new(&iou, [width, config.iou_head_hidden_dim, masks], config.iou_head_depth)?,
        })
    }

    /// With `multimask` the masks for an ambiguous prompt, else the one for a clear prompt.
    pub(super) fn forward(&self, prompted: Prompted<'_>, multimask: bool) -> Result<DecodedMasks> {
        let Prompted { image, positions, sparse, dense } = prompted;
        let [prompts, _, width] = sparse.dims("sam_decoder")?;
        let [_, height, across, _] = image.dims("sam_decoder")?;
        let own = self.tokens.cast(sparse.dtype())?.repeat(prompts)?;
        let tokens = Tensor::concat(&[&own, sparse], 1)?;
        let repeats = dense.shape()[0] == 1;
        let image = if repeats { image.add(dense)?.repeat(prompts)? } else { image.repeat(prompts)?.add(dense)? };
        let image = image.reshape(&[prompts, height * across, width])?;
        let Streams { tokens, image } = self.transformer.forward(Streams { tokens, image }, positions)?;
        let image = image.reshape(&[prompts, height, across, width])?;
        let upscaled = self.upscale1.forward(&image, Activation::None)?;
        let upscaled = self.upscale_norm.forward(&upscaled)?.activation(Activation::Gelu)?;
        let upscaled = self.upscale2.forward(&upscaled, Activation::Gelu)?;
        let token = |i: usize| tokens.narrow(1, i, 1)?.reshape(&[prompts, width]);
        let chosen = if multimask { 1..self.kernels.len() } else { 0..1 };
        let made = chosen.clone().map(|i| self.kernels[i].forward(&token(i + 1)?)).collect::<Result<Vec<_>>>()?;
        let iou_scores = self.iou_prediction.forward(&token(0)?)?.narrow(1, chosen.start, chosen.len())?;
        let one = |prompt: usize| {
            let kernels = made.iter().map(|kernels| kernels.narrow(0, prompt, 1)).collect::<Result<Vec<_>>>()?;
            let kernels = Tensor::concat(&kernels.iter().collect::<Vec<_>>(), 0)?;
            let pixels = upscaled.narrow(0, prompt, 1)?.reshape(&[4 * height, 4 * across, width / 8])?;
            pixels.linear(&kernels, None, Epilogue::default())
        };
        Ok(DecodedMasks { logits: (0..prompts).map(one).collect::<Result<_>>()?, iou_scores })
    }
}

/// A transposed convolution with a 2x2 kernel and a stride of 2: each pixel becomes four, which are a linear layer of it.
struct Doubling {
    layer: Linear,
    outputs: usize,
}

impl Doubling {
    fn new(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        // A kernel's first axis is that of its outputs, and here of the inputs.
        let weight = weights.conv("weight", [inputs, outputs, 2, 2])?;
        let weight = weight.reshape(&[inputs, 4 * outputs])?.permute(&[1, 0])?;
        let bias = weights.get("bias", &[outputs])?.cast(crate::DType::F32)?;
        Ok(Self { layer: Linear::made_of(&weight, &Tensor::concat(&[&bias; 4], 0)?)?, outputs })
    }

    /// `[n, h, w, inputs]` to `[n, 2 * h, 2 * w, outputs]`.
    fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let [batch, height, width, _] = x.dims("sam_decoder")?;
        let four = self.layer.forward_with(x, Epilogue::activation(activation))?;
        let split = four.reshape(&[batch, height, width, 2, 2, self.outputs])?.permute(&[0, 1, 3, 2, 4, 5])?;
        split.reshape(&[batch, 2 * height, 2 * width, self.outputs])
    }
}

/// Linear layers with ReLU between them.
struct FeedForward {
    layers: Vec<Linear>,
}

impl FeedForward {
    fn new(weights: &Weights, [inputs, inner, outputs]: [usize; 3], depth: usize) -> Result<Self> {
        let mut layers = vec![Linear::new(&weights.pp("proj_in"), inputs, inner)?];
        for i in 0..depth.saturating_sub(2) {
            layers.push(Linear::new(&weights.pp("layers").pp(i), inner, inner)?);
        }
        layers.push(Linear::new(&weights.pp("proj_out"), inner, outputs)?);
        Ok(Self { layers })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().try_fold(x.clone(), |x, (i, layer)| {
            let activation = if i == last { Activation::None } else { Activation::Relu };
            layer.forward_with(&x, Epilogue::activation(activation))
        })
    }
}
