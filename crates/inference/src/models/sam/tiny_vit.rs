//! TinyViT (<https://arxiv.org/abs/2207.10666>), the image encoder of MobileSAM
//! (<https://github.com/ChaoningZhang/MobileSAM>): convolutions, then attention in windows with a bias for each distance.

use super::config::{TinyVitConfig, VisionConfig};
use super::neck::Neck;
use super::windows::Windows;
use crate::models::layers::{Conv2d, LayerNorm, Linear};
use crate::tensor::{Activation, Conv2d as Geometry, Epilogue, Scores};
use crate::weights::Weights;
use crate::{DType, Result, Tensor};

/// Epsilon of batch norms and layer norms: PyTorch's own.
const EPS: f32 = 1e-5;

/// The width of the inner layers of blocks, in widths of the blocks.
const EXPANSION: usize = 4;

/// A TinyViT with its weights.
pub(super) struct TinyVit {
    patch_embed: [Conv2d; 2],
    layers: Vec<Layer>,
    neck: Neck,
}

/// What stands between the patches and the neck.
enum Layer {
    Convolution(Inverted),
    Merging(Merging),
    Block(Box<Block>),
}

impl Layer {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Convolution(layer) => layer.forward(x),
            Self::Merging(layer) => layer.forward(x),
            Self::Block(layer) => layer.forward(x),
        }
    }
}

impl TinyVit {
    pub(super) async fn new(weights: &Weights, vision: &VisionConfig, config: &TinyVitConfig) -> Result<Self> {
        let widths = config.embed_dims;
        let patch = weights.pp("patch_embed.seq");
        let halve = Geometry { stride: 2, ..Geometry::padded(1) };
        let patch_embed = [
            Folded::read(&patch.pp(0), [3, widths[0] / 2, 3]).await?.conv(halve)?,
            Folded::read(&patch.pp(2), [widths[0] / 2, widths[0], 3]).await?.conv(halve)?,
        ];
        let mut layers = Vec::new();
        for i in 0..config.depths[0] {
            layers.push(Layer::Convolution(Inverted::new(&weights.pp("layers.0.blocks").pp(i), widths[0]).await?));
        }
        for stage in 1..widths.len() {
            let before = weights.pp("layers").pp(stage - 1).pp("downsample");
            // The last stage keeps the size, so that the embedding has a point for 16 pixels.
            let stride = if stage == widths.len() - 1 { 1 } else { 2 };
            layers.push(Layer::Merging(Merging::new(&before, [widths[stage - 1], widths[stage]], stride).await?));
            for i in 0..config.depths[stage] {
                let sizes = [widths[stage], config.num_heads[stage], config.window_sizes[stage]];
                let block = Block::new(&weights.pp("layers").pp(stage).pp("blocks").pp(i), sizes).await?;
                layers.push(Layer::Block(Box::new(block)));
            }
        }
        let neck = Neck::new(&weights.pp("neck"), widths[3], vision.output_channels)?;
        Ok(Self { patch_embed, layers, neck })
    }

    /// The number of steps that turn normalised pictures `[n, image_size, image_size, 3]` into embeddings
    /// `[n, grid, grid, output_channels]`.
    pub(super) fn steps(&self) -> usize {
        self.layers.len() + 2
    }

    /// A step: the first takes the pictures, every other one takes what the step before it returned.
    pub(super) fn step(&self, step: usize, x: &Tensor) -> Result<Tensor> {
        let [first, second] = &self.patch_embed;
        match step {
            0 => second.forward(&first.forward_with(x, Epilogue::activation(Activation::Gelu))?),
            _ => match self.layers.get(step - 1) {
                Some(layer) => layer.forward(x),
                None => self.neck.forward(x),
            },
        }
    }
}

/// A convolution `c` and the batch norm `bn` after it, as one convolution.
struct Folded {
    /// `[outputs, kh, kw, inputs]`.
    weight: Tensor,
    bias: Tensor,
}

impl Folded {
    async fn read(weights: &Weights, [inputs, outputs, kernel]: [usize; 3]) -> Result<Self> {
        let weight = weights.conv("c.weight", [outputs, inputs, kernel, kernel])?;
        let norm = weights.pp("bn");
        let mut numbers: [Vec<f32>; 4] = Default::default();
        for (name, numbers) in ["weight", "bias", "running_mean", "running_var"].into_iter().zip(&mut numbers) {
            *numbers = norm.get(name, &[outputs])?.to_vec().await?;
        }
        let [gain, offset, mean, variance] = numbers;
        let scale: Vec<f32> =
            gain.iter().zip(&variance).map(|(gain, variance)| gain / (variance + EPS).sqrt()).collect();
        let terms = offset.iter().zip(&mean).zip(&scale);
        let bias = terms.map(|((offset, mean), scale)| offset - mean * scale).collect();
        let device = weight.device();
        let scale = Tensor::from_vec(scale, &[outputs, 1, 1, 1], &device)?;
        Ok(Self { weight: weight.cast(DType::F32)?.mul(&scale)?, bias: Tensor::from_vec(bias, &[outputs], &device)? })
    }

    fn conv(&self, geometry: Geometry) -> Result<Conv2d> {
        Conv2d::made_of(&self.weight, &self.bias, geometry)
    }

    /// A 1x1 kernel as a linear layer.
    fn linear(&self) -> Result<Linear> {
        let [outputs, _, _, inputs] = self.weight.dims("tiny_vit")?;
        Linear::made_of(&self.weight.reshape(&[outputs, inputs])?, &self.bias)
    }

    /// A 3x3 kernel for every channel.
    fn depthwise(self, stride: usize) -> Result<Depthwise> {
        let [channels, height, width, _] = self.weight.dims("tiny_vit")?;
        let weight = self.weight.reshape(&[channels, height * width])?.permute(&[1, 0])?;
        let geometry = Geometry { stride, ..Geometry::padded(height / 2) };
        Ok(Depthwise { weight: weight.reshape(&[height, width, channels])?, bias: self.bias, geometry })
    }
}

/// A convolution of every channel by itself.
struct Depthwise {
    weight: Tensor,
    bias: Tensor,
    geometry: Geometry,
}

impl Depthwise {
    async fn new(weights: &Weights, channels: usize, stride: usize) -> Result<Self> {
        Folded::read(weights, [1, channels, 3]).await?.depthwise(stride)
    }

    fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        x.depthwise(&self.weight, &self.bias, self.geometry, activation)
    }
}

/// A wide depthwise convolution between two linear layers, around a residual connection (`MBConv`).
struct Inverted {
    conv1: Linear,
    conv2: Depthwise,
    conv3: Linear,
}

impl Inverted {
    async fn new(weights: &Weights, width: usize) -> Result<Self> {
        let inner = EXPANSION * width;
        Ok(Self {
            conv1: Folded::read(&weights.pp("conv1"), [width, inner, 1]).await?.linear()?,
            conv2: Depthwise::new(&weights.pp("conv2"), inner, 1).await?,
            conv3: Folded::read(&weights.pp("conv3"), [inner, width, 1]).await?.linear()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.conv1.forward_with(x, Epilogue::activation(Activation::Gelu))?;
        let inner = self.conv2.forward(&inner, Activation::Gelu)?;
        self.conv3.forward_with(&inner, Epilogue { residual: Some(x), activation: Activation::Gelu })
    }
}

/// The layers between two stages (`PatchMerging`).
struct Merging {
    conv1: Linear,
    conv2: Depthwise,
    conv3: Linear,
}

impl Merging {
    async fn new(weights: &Weights, [inputs, outputs]: [usize; 2], stride: usize) -> Result<Self> {
        Ok(Self {
            conv1: Folded::read(&weights.pp("conv1"), [inputs, outputs, 1]).await?.linear()?,
            conv2: Depthwise::new(&weights.pp("conv2"), outputs, stride).await?,
            conv3: Folded::read(&weights.pp("conv3"), [outputs, outputs, 1]).await?.linear()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.conv1.forward_with(x, Epilogue::activation(Activation::Gelu))?;
        self.conv3.forward(&self.conv2.forward(&inner, Activation::Gelu)?)
    }
}

/// Attention in windows, a depthwise convolution, and two linear layers (`TinyViTBlock`).
struct Block {
    attention: Attention,
    local_conv: Depthwise,
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    window: usize,
}

impl Block {
    async fn new(weights: &Weights, [width, heads, window]: [usize; 3]) -> Result<Self> {
        let mlp = weights.pp("mlp");
        Ok(Self {
            attention: Attention::new(&weights.pp("attn"), width, heads, window).await?,
            local_conv: Depthwise::new(&weights.pp("local_conv"), width, 1).await?,
            norm: LayerNorm::new(&mlp.pp("norm"), width, f64::from(EPS))?,
            fc1: Linear::new(&mlp.pp("fc1"), width, EXPANSION * width)?,
            fc2: Linear::new(&mlp.pp("fc2"), EXPANSION * width, width)?,
            window,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // Unlike in a ViT, the zeros around the picture go through the layer norm, too.
        let windows = Windows::new(x, self.window)?;
        let x = x.add(&windows.join(&self.attention.forward(&windows.cut(x)?)?)?)?;
        let x = self.local_conv.forward(&x, Activation::None)?;
        let inner = self.fc1.forward_with(&self.norm.forward(&x)?, Epilogue::activation(Activation::Gelu))?;
        self.fc2.forward_with(&inner, Epilogue::residual(&x))
    }
}

struct Attention {
    norm: LayerNorm,
    /// Query, key, value.
    projections: [Linear; 3],
    output: Linear,
    /// `[heads, tokens, tokens]`.
    bias: Tensor,
    heads: usize,
}

impl Attention {
    async fn new(weights: &Weights, width: usize, heads: usize, window: usize) -> Result<Self> {
        let table = weights.get("attention_biases", &[heads, window * window])?.to_vec().await?;
        let tokens = window * window;
        let bias = table.chunks_exact(tokens).flat_map(|table| of_distances(table, window)).collect();
        let qkv = weights.pp("qkv");
        let weight = by_kind(&qkv.get("weight", &[3 * width, width])?, heads)?;
        let offset = by_kind(&qkv.get("bias", &[3 * width])?, heads)?;
        let part =
            |i: usize| Linear::made_of(&weight.narrow(0, i * width, width)?, &offset.narrow(0, i * width, width)?);
        Ok(Self {
            norm: LayerNorm::new(&weights.pp("norm"), width, f64::from(EPS))?,
            projections: [part(0)?, part(1)?, part(2)?],
            output: Linear::new(&weights.pp("proj"), width, width)?,
            bias: Tensor::from_vec(bias, &[heads, tokens, tokens], &weight.device())?,
            heads,
        })
    }

    /// Windows `[n, tokens, width]` by themselves.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.norm.forward(x)?;
        let [query, key, value] = &self.projections;
        let scores = Scores { bias: Some(&self.bias), ..Scores::default() };
        let query = query.forward(&x)?;
        let attended = query.attention_scored(&key.forward(&x)?, &value.forward(&x)?, self.heads, scores)?;
        self.output.forward(&attended)
    }
}

/// One head's bias `[tokens, tokens]` from its table: an entry for every distance, in the order in which they are first met.
fn of_distances(table: &[f32], window: usize) -> Vec<f32> {
    let tokens = window * window;
    // From the first token, which is met first, all distances are met in this order.
    let distance = |a: usize, b: usize| (a / window).abs_diff(b / window) * window + (a % window).abs_diff(b % window);
    (0..tokens * tokens).map(|i| table[distance(i / tokens, i % tokens)]).collect()
}

/// Rows in the order head, kind (query, key, value), column as rows in the order kind, head, column.
fn by_kind(x: &Tensor, heads: usize) -> Result<Tensor> {
    let rows = x.shape()[0];
    let columns = x.elements() / rows.max(1);
    let split = x.reshape(&[heads, 3, rows / heads / 3 * columns])?.permute(&[1, 0, 2])?;
    split.reshape(x.shape())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use pollster::block_on;

    #[test]
    fn rows_are_sorted_by_kind() {
        let rows = Tensor::from_vec((0..12).map(|x| x as f32).collect(), &[12], &Device::Cpu).unwrap();
        let sorted = block_on(by_kind(&rows, 2).unwrap().to_vec()).unwrap();
        assert_eq!(sorted, [0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 8.0, 9.0, 4.0, 5.0, 10.0, 11.0]);
    }

    #[test]
    fn a_bias_depends_on_the_distance_alone() {
        let bias = of_distances(&[0.0, 1.0, 10.0, 11.0], 2);
        assert_eq!(bias[..8], [0.0, 1.0, 10.0, 11.0, 1.0, 0.0, 11.0, 10.0]);
        assert_eq!(bias[8..], [10.0, 11.0, 0.0, 1.0, 11.0, 10.0, 1.0, 0.0]);
    }
}
