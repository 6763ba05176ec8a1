//! SAM's image encoder: a vision transformer whose layers look at windows, some at everything, with decomposed relative
//! positions (<https://arxiv.org/abs/2203.16527>; `SamVisionEncoder` of transformers).

use super::config::{VisionConfig, VitConfig};
use super::neck::Neck;
use super::windows::Windows;
use crate::models::layers::{Conv2d, LayerNorm, Linear};
use crate::tensor::{Activation, Conv2d as Geometry, Epilogue, Relative, Scores};
use crate::weights::Weights;
use crate::{Result, Tensor};

/// A vision transformer with its weights.
pub(super) struct Vit {
    patch_embed: Conv2d,
    /// `[1, grid, grid, width]`.
    pos_embed: Tensor,
    layers: Vec<Layer>,
    neck: Neck,
}

impl Vit {
    pub(super) fn new(weights: &Weights, vision: &VisionConfig, config: &VitConfig) -> Result<Self> {
        let width = config.hidden_size;
        let grid = vision.grid();
        let patches = Geometry { stride: vision.patch_size, ..Geometry::padded(0) };
        let patch = weights.pp("patch_embed.projection");
        let layer = |i: usize| {
            let is_global = config.global_attn_indexes.contains(&i);
            Layer::new(
                &weights.pp("layers").pp(i),
                config,
                if is_global { None } else { Some(config.window_size) },
                grid,
            )
        };
        Ok(Self {
            patch_embed: Conv2d::new(&patch, 3, width, vision.patch_size, patches)?,
            pos_embed: weights.get("pos_embed", &[1, grid, grid, width])?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            neck: Neck::new(&weights.pp("neck"), width, vision.output_channels)?,
        })
    }

    /// The number of steps that turn normalised pictures `[n, image_size, image_size, 3]` into embeddings
    /// `[n, grid, grid, output_channels]`.
    pub(super) fn steps(&self) -> usize {
        self.layers.len() + 3
    }

    /// A step: the first takes the pictures, every other one takes what the step before it returned.
    pub(super) fn step(&self, step: usize, x: &Tensor) -> Result<Tensor> {
        match step {
            0 => self.patch_embed.forward(x),
            1 => x.add(&self.pos_embed),
            _ => match self.layers.get(step - 2) {
                Some(layer) => layer.forward(x),
                None => self.neck.forward(x),
            },
        }
    }

    /// The name of the module whose result a step is, as golden cases have it.
    pub(super) fn probe(&self, step: usize) -> Option<String> {
        match step {
            0 => Some("vision_encoder.patch_embed".into()),
            1 => None,
            _ => (step - 2 < self.layers.len()).then(|| format!("vision_encoder.layers.{}", step - 2)),
        }
    }
}

struct Layer {
    layer_norm1: LayerNorm,
    attention: Attention,
    /// The side of the windows, if the layer does not look at everything.
    window: Option<usize>,
    layer_norm2: LayerNorm,
    lin1: Linear,
    lin2: Linear,
    activation: Activation,
}

impl Layer {
    fn new(weights: &Weights, config: &VitConfig, window: Option<usize>, grid: usize) -> Result<Self> {
        let width = config.hidden_size;
        let norm = |name| LayerNorm::new(&weights.pp(name), width, config.layer_norm_eps);
        let side = window.unwrap_or(grid);
        Ok(Self {
            layer_norm1: norm("layer_norm1")?,
            attention: Attention::new(&weights.pp("attn"), width, config.num_attention_heads, side)?,
            window,
            layer_norm2: norm("layer_norm2")?,
            lin1: Linear::new(&weights.pp("mlp.lin1"), width, config.mlp_dim)?,
            lin2: Linear::new(&weights.pp("mlp.lin2"), config.mlp_dim, width)?,
            activation: config.hidden_act,
        })
    }

    /// `[n, grid, grid, width]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [batch, height, across, width] = x.dims("sam_vit")?;
        let normed = self.layer_norm1.forward(x)?;
        let attended = match self.window {
            Some(side) => {
                let windows = Windows::new(&normed, side)?;
                windows.join(&self.attention.forward(&windows.cut(&normed)?)?)?
            }
            None => self.attention.forward(&normed.reshape(&[batch, height * across, width])?)?.reshape(x.shape())?,
        };
        drop(normed);
        let x = x.add(&attended)?;
        let inner = self.lin1.forward_with(&self.layer_norm2.forward(&x)?, Epilogue::activation(self.activation))?;
        self.lin2.forward_with(&inner, Epilogue::residual(&x))
    }
}

/// Attention on a square grid.
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    /// Vectors for all distances, `[2 * side - 1, width of a head]`: a table for rows, and one for columns.
    rel_pos_h: Tensor,
    rel_pos_w: Tensor,
    heads: usize,
    side: usize,
}

impl Attention {
    fn new(weights: &Weights, width: usize, heads: usize, side: usize) -> Result<Self> {
        let [query, key, value] = Linear::stacked(&weights.pp("qkv"), width, width)?;
        let table = [2 * side - 1, width / heads];
        Ok(Self {
            query,
            key,
            value,
            output: Linear::new(&weights.pp("proj"), width, width)?,
            rel_pos_h: weights.prepared("rel_pos_h", &table)?,
            rel_pos_w: weights.prepared("rel_pos_w", &table)?,
            heads,
            side,
        })
    }

    /// Grids `[n, side * side, width]` by themselves.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [batch, tokens, width] = x.dims("sam_attention")?;
        let query = self.query.forward(x)?;
        let heads = query.reshape(&[batch, tokens, self.heads, width / self.heads])?;
        let rows = heads.linear(&self.rel_pos_h, None, Epilogue::default())?;
        let columns = heads.linear(&self.rel_pos_w, None, Epilogue::default())?;
        let relative = Relative { grid: [self.side; 2], rows: &rows, columns: &columns };
        let scores = Scores { relative: Some(relative), ..Scores::default() };
        let attended = query.attention_scored(&self.key.forward(x)?, &self.value.forward(x)?, self.heads, scores)?;
        self.output.forward(&attended)
    }
}
