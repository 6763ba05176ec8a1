//! The sizes of a SAM: `SamConfig` of transformers, and those of MobileSAM's image encoder, which has no class there.

use crate::fields::Fields;
use crate::tensor::Activation;
use crate::{Error, Result};
use serde_json::{Value, json};

/// The largest side of a picture that is believed.
const MOST_PIXELS: usize = 4096;

/// The sizes of all parts.
#[derive(Clone, Debug, PartialEq)]
pub struct SamConfig {
    /// The image encoder.
    pub vision: VisionConfig,
    /// The prompt encoder.
    pub prompt: PromptConfig,
    /// The mask decoder.
    pub decoder: DecoderConfig,
}

/// The image encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Side of the square pictures, in pixels.
    pub image_size: usize,
    /// Pixels per point of the embedding, in each direction.
    pub patch_size: usize,
    /// Channels of the embedding.
    pub output_channels: usize,
    /// Its layers.
    pub kind: VisionKind,
}

/// The kinds of image encoders.
#[derive(Clone, Debug, PartialEq)]
pub enum VisionKind {
    /// A vision transformer: ViT-B, ViT-L, ViT-H.
    Vit(VitConfig),
    /// TinyViT, which MobileSAM has.
    Tiny(TinyVitConfig),
}

/// A vision transformer with windows.
#[derive(Clone, Debug, PartialEq)]
pub struct VitConfig {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub mlp_dim: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Heads of each attention.
    pub num_attention_heads: usize,
    /// Side of the windows in which most layers look.
    pub window_size: usize,
    /// The layers that look at everything.
    pub global_attn_indexes: Vec<usize>,
    /// Activation of the feed-forward layers.
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
}

/// TinyViT (<https://arxiv.org/abs/2207.10666>); one entry for each of the four stages; the first is convolutional.
#[derive(Clone, Debug, PartialEq)]
pub struct TinyVitConfig {
    /// Channels.
    pub embed_dims: [usize; 4],
    /// Blocks.
    pub depths: [usize; 4],
    /// Heads of each attention; the first is not used.
    pub num_heads: [usize; 4],
    /// Side of the windows; the first is not used.
    pub window_sizes: [usize; 4],
}

/// The prompt encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptConfig {
    /// Length of the embedding of a point.
    pub hidden_size: usize,
    /// Channels between the layers that encode a mask.
    pub mask_input_channels: usize,
    /// Activation of those layers.
    pub hidden_act: Activation,
    /// Epsilon of their norms.
    pub layer_norm_eps: f64,
}

/// The mask decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub mlp_dim: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Heads of each attention.
    pub num_attention_heads: usize,
    /// By how much the attention to and from the picture is narrower than the hidden states.
    pub attention_downsample_rate: usize,
    /// Activation of the feed-forward layers.
    pub hidden_act: Activation,
    /// Masks for an ambiguous prompt.
    pub num_multimask_outputs: usize,
    /// Layers that predict the quality of masks.
    pub iou_head_depth: usize,
    /// Width inside them.
    pub iou_head_hidden_dim: usize,
    /// Epsilon of the transformer's layer norms.
    pub layer_norm_eps: f64,
}

impl SamConfig {
    /// Reads a `config.json`; `file` is what errors call it.
    pub fn from_json(file: &str, json: &Value) -> Result<Self> {
        let fields = Fields::new(file, json)?;
        if fields.text("model_type")? != Some("sam") {
            return Err(fields.error("model_type", format!("{}, expected \"sam\"", json["model_type"])));
        }
        let empty = json!({});
        let part = |name: &str| json.get(name).filter(|part| part.is_object()).unwrap_or(&empty);
        let named = |name: &str| format!("{file}: {name}");
        let read = |name: &str| (named(name), part(name));
        let (file, json) = read("vision_config");
        let vision = VisionConfig::read(&Fields::new(&file, json)?)?;
        let (file, json) = read("prompt_encoder_config");
        let prompt = PromptConfig::read(&Fields::new(&file, json)?)?;
        let (file, json) = read("mask_decoder_config");
        let decoder = DecoderConfig::read(&Fields::new(&file, json)?)?;
        let widths = [vision.output_channels, prompt.hidden_size, decoder.hidden_size];
        if widths != [prompt.hidden_size; 3] {
            let reason = format!("the parts have {widths:?} channels, expected the same for all");
            return Err(Error::Config { file, field: "hidden_size".into(), reason });
        }
        Ok(Self { vision, prompt, decoder })
    }
}

impl VisionConfig {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        let is_tiny = fields.text("model_type")? == Some("tiny_vit");
        let config = Self {
            image_size: fields.count("image_size", 1024, 16..=MOST_PIXELS)?,
            patch_size: fields.count("patch_size", 16, 1..=MOST_PIXELS)?,
            output_channels: fields.size("output_channels", 256)?,
            kind: if is_tiny {
                VisionKind::Tiny(TinyVitConfig::read(fields)?)
            } else {
                VisionKind::Vit(VitConfig::read(fields)?)
            },
        };
        if config.grid() == 0
            || !config.image_size.is_multiple_of(config.patch_size)
            || (is_tiny && config.patch_size != 16)
        {
            let reason = format!("{} of a picture of {}", config.patch_size, config.image_size);
            return Err(fields.error("patch_size", reason));
        }
        Ok(config)
    }

    /// The side of the embedding.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }
}

impl VitConfig {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        fields.only("num_channels", json!(3))?;
        fields.only("qkv_bias", json!(true))?;
        fields.only("use_abs_pos", json!(true))?;
        fields.only("use_rel_pos", json!(true))?;
        let hidden_size = fields.size("hidden_size", 768)?;
        let ratio = fields.number("mlp_ratio", 4.0)?;
        let heads = fields.size("num_attention_heads", 12)?;
        let config = Self {
            hidden_size,
            mlp_dim: fields.optional_size("mlp_dim")?.unwrap_or((hidden_size as f64 * ratio) as usize),
            num_hidden_layers: fields.size("num_hidden_layers", 12)?,
            num_attention_heads: heads,
            window_size: fields.count("window_size", 14, 1..=MOST_PIXELS)?,
            global_attn_indexes: fields.integers("global_attn_indexes", &[2, 5, 8, 11])?,
            hidden_act: fields.activation("hidden_act", Activation::Gelu)?,
            layer_norm_eps: fields.number("layer_norm_eps", 1e-6)?,
        };
        if hidden_size % heads != 0 {
            return Err(fields.error("hidden_size", format!("{hidden_size} is not divisible by {heads} heads")));
        }
        Ok(config)
    }
}

impl TinyVitConfig {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        let four = |name: &str, default: [usize; 4]| {
            let sizes = fields.sizes(name, &default)?;
            <[usize; 4]>::try_from(sizes)
                .map_err(|sizes| fields.error(name, format!("{sizes:?}, expected four numbers")))
        };
        let config = Self {
            embed_dims: four("embed_dims", [64, 128, 160, 320])?,
            depths: four("depths", [2, 2, 6, 2])?,
            num_heads: four("num_heads", [2, 4, 5, 10])?,
            window_sizes: four("window_sizes", [7, 7, 14, 7])?,
        };
        let stages = config.embed_dims.iter().zip(config.num_heads);
        match stages.skip(1).find(|(width, heads)| *width % heads != 0) {
            Some((width, heads)) => {
                Err(fields.error("embed_dims", format!("{width} is not divisible by {heads} heads")))
            }
            None => Ok(config),
        }
    }
}

impl PromptConfig {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        fields.only("num_point_embeddings", json!(4))?;
        let config = Self {
            hidden_size: fields.size("hidden_size", 256)?,
            mask_input_channels: fields.size("mask_input_channels", 16)?,
            hidden_act: fields.activation("hidden_act", Activation::Gelu)?,
            layer_norm_eps: fields.number("layer_norm_eps", 1e-6)?,
        };
        if !config.mask_input_channels.is_multiple_of(4) {
            return Err(fields.error("mask_input_channels", "expected a multiple of 4"));
        }
        Ok(config)
    }
}

impl DecoderConfig {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        let config = Self {
            hidden_size: fields.size("hidden_size", 256)?,
            mlp_dim: fields.size("mlp_dim", 2048)?,
            num_hidden_layers: fields.size("num_hidden_layers", 2)?,
            num_attention_heads: fields.size("num_attention_heads", 8)?,
            attention_downsample_rate: fields.size("attention_downsample_rate", 2)?,
            hidden_act: fields.activation("hidden_act", Activation::Relu)?,
            num_multimask_outputs: fields.size("num_multimask_outputs", 3)?,
            iou_head_depth: fields.count("iou_head_depth", 3, 2..=64)?,
            iou_head_hidden_dim: fields.size("iou_head_hidden_dim", 256)?,
            layer_norm_eps: fields.number("layer_norm_eps", 1e-6)?,
        };
        let narrowed = config.attention_downsample_rate.saturating_mul(config.num_attention_heads);
        if !config.hidden_size.is_multiple_of(narrowed) || !config.hidden_size.is_multiple_of(8) {
            let reason = format!("{} is not divisible by 8 and by {narrowed}", config.hidden_size);
            return Err(fields.error("hidden_size", reason));
        }
        Ok(config)
    }
}
