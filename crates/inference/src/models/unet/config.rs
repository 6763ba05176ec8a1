//! `UNetConfig`: the fields of a UNet's `config.json`, as `UNet2DConditionModel` of diffusers reads them.

use crate::fields::Fields;
use crate::tensor::Activation;
use crate::{Error, Result};
use serde_json::{Value, json};

/// One resolution level of the UNet.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Channels.
    pub channels: usize,
    /// Residual blocks in the down path; the up path has one more.
    pub layers: usize,
    /// Whether transformers follow the residual blocks of the down path (`CrossAttnDownBlock2D`).
    pub down_attention: bool,
    /// Whether transformers follow the residual blocks of the up path at this level (`CrossAttnUpBlock2D`).
    pub up_attention: bool,
    /// Blocks in each transformer of the down path.
    pub transformer_layers: usize,
    /// Blocks in each transformer of the up path.
    pub up_transformer_layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the text states.
    pub cross_attention_dim: usize,
    /// Whether the first attention of each transformer block also attends to the text.
    pub only_cross_attention: bool,
}

/// The block in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MidBlock {
    /// Residual block, transformer, residual block (`UNetMidBlock2DCrossAttn`).
    CrossAttention,
    /// One residual block (`UNetMidBlock2D`).
    Plain,
    /// No block.
    None,
}

/// What else than the timestep a class label adds to the time embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassEmbedding {
    /// A row of a table with this many entries.
    Table(usize),
    /// A sinusoidal embedding of a number, as of the timestep.
    Timestep,
    /// A vector of this width.
    Projection(usize),
}

/// The micro-conditioning of SDXL (`addition_embed_type` `text_time`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextTime {
    /// Width of the sinusoidal embedding of each number.
    pub time_width: usize,
    /// Width of all of those and the text embedding together.
    pub input_width: usize,
}

/// The shape of a UNet.
#[derive(Clone, Debug, PartialEq)]
pub struct UNetConfig {
    /// Channels of the input: 4, or 9 for inpainting.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// The resolution levels, beginning with the finest.
    pub levels: Vec<Level>,
    /// The block in the middle.
    pub mid_block: MidBlock,
    /// Groups of the group norms.
    pub norm_num_groups: usize,
    /// Epsilon of the group norms outside the transformers.
    pub norm_eps: f64,
    /// The activation function.
    pub activation: Activation,
    /// Zero padding of a downsampler's input.
    pub downsample_padding: usize,
    /// Cosines before sines in the embedding of the timestep.
    pub flip_sin_to_cos: bool,
    /// See [`Sinusoid`](crate::models::embeddings::Sinusoid).
    pub freq_shift: f64,
    /// Width of the time embedding.
    pub time_embed_dim: usize,
    /// Width of the guidance embedding of a distilled model.
    pub time_cond_proj_dim: Option<usize>,
    /// The class embedding.
    pub class_embedding: Option<ClassEmbedding>,
    /// The micro-conditioning of SDXL.
    pub text_time: Option<TextTime>,
    /// Whether the input is mapped from 0..1 to -1..1.
    pub center_input_sample: bool,
    /// Side of the first kernel.
    pub conv_in_kernel: usize,
    /// Side of the last kernel.
    pub conv_out_kernel: usize,
}

impl UNetConfig {
    /// Reads a `config.json`; `file` is its name in errors.
    pub fn from_json(file: &str, json: &Value) -> Result<Self> {
        let fields = Fields::new(file, json)?;
        reject_unsupported(&fields)?;
        let levels = levels(&fields)?;
        let finest = levels.first().map_or(1, |level| level.channels);
        Ok(Self {
            in_channels: fields.size("in_channels", 4)?,
            out_channels: fields.size("out_channels", 4)?,
            mid_block: mid_block(&fields)?,
            norm_num_groups: groups(&fields, &levels)?,
            norm_eps: fields.number("norm_eps", 1e-5)?,
            activation: fields.activation("act_fn", Activation::Silu)?,
            downsample_padding: fields.integer("downsample_padding", 1)?,
            flip_sin_to_cos: fields.flag("flip_sin_to_cos", true)?,
            freq_shift: fields.number("freq_shift", 0.0)?,
            time_embed_dim: fields.size("time_embedding_dim", finest * 4)?,
            time_cond_proj_dim: fields.optional_size("time_cond_proj_dim")?,
            class_embedding: class_embedding(&fields)?,
            text_time: text_time(&fields)?,
            center_input_sample: fields.flag("center_input_sample", false)?,
            conv_in_kernel: kernel(&fields, "conv_in_kernel")?,
            conv_out_kernel: kernel(&fields, "conv_out_kernel")?,
            levels,
        })
    }
}

/// Checks fields with only one supported value. Fields that only matter for unsupported block types are not listed.
fn reject_unsupported(fields: &Fields<'_>) -> Result<()> {
    fields.only("resnet_time_scale_shift", json!("default"))?;
    fields.only("time_embedding_type", json!("positional"))?;
    fields.only("attention_type", json!("default"))?;
    fields.only("dual_cross_attention", json!(false))?;
    fields.only("class_embeddings_concat", json!(false))?;
    if fields.number("mid_block_scale_factor", 1.0)? != 1.0 {
        return Err(fields.error("mid_block_scale_factor", "only 1 is supported"));
    }
    let null_only = ["encoder_hid_dim", "encoder_hid_dim_type", "time_embedding_act_fn", "timestep_post_act"];
    null_only.into_iter().try_for_each(|field| fields.only(field, Value::Null))
}

fn levels(fields: &Fields<'_>) -> Result<Vec<Level>> {
    const DOWN: [&str; 4] = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"];
    const UP: [&str; 4] = ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"];
    let channels = fields.sizes("block_out_channels", &[320, 640, 1280, 1280])?;
    let count = channels.len();
    if count == 0 {
        return Err(fields.error("block_out_channels", "expected at least one block"));
    }
    let down_attention = block_types(fields, "down_block_types", &DOWN, count, "Down")?;
    let mut up_attention = block_types(fields, "up_block_types", &UP, count, "Up")?;
    // The file lists the up path beginning with the coarsest level.
    up_attention.reverse();
    let layers = fields.size_per_block("layers_per_block", count, 2)?;
    let transformer_layers = fields.size_per_block("transformer_layers_per_block", count, 1)?;
    let up_transformer_layers = match fields.value("reverse_transformer_layers_per_block") {
        None => transformer_layers.clone(),
        Some(_) => {
            let mut reversed = fields.size_per_block("reverse_transformer_layers_per_block", count, 1)?;
            reversed.reverse();
            reversed
        }
    };
    let heads = heads(fields, &channels)?;
    let cross_attention_dim = fields.size_per_block("cross_attention_dim", count, 1280)?;
    let only_cross_attention = fields.flag_per_block("only_cross_attention", count, false)?;
    let level = |i: usize| Level {
        channels: channels[i],
        layers: layers[i],
        down_attention: down_attention[i],
        up_attention: up_attention[i],
        transformer_layers: transformer_layers[i],
        up_transformer_layers: up_transformer_layers[i],
        heads: heads[i],
        cross_attention_dim: cross_attention_dim[i],
        only_cross_attention: only_cross_attention[i],
    };
    Ok((0..count).map(level).collect())
}

/// Which blocks have attention in a list of `DownBlock2D` and `CrossAttnDownBlock2D`, or the same with `Up`.
fn block_types(
    fields: &Fields<'_>,
    field: &str,
    default: &[&'static str],
    count: usize,
    direction: &str,
) -> Result<Vec<bool>> {
    let names = fields.texts(field, default)?;
    if names.len() != count {
        let reason = format!("{} blocks, but block_out_channels has {count}", names.len());
        return Err(fields.error(field, reason));
    }
    let plain = format!("{direction}Block2D");
    let attention = format!("CrossAttn{direction}Block2D");
    let has_attention = |name: &&str| match *name {
        name if name == attention => Ok(true),
        name if name == plain => Ok(false),
        name => Err(fields.error(field, format!("{name:?} is not supported, only {plain} and {attention}"))),
    };
    names.iter().map(has_attention).collect()
}

/// The number of attention heads, which these files call `attention_head_dim` for historical reasons.
fn heads(fields: &Fields<'_>, channels: &[usize]) -> Result<Vec<usize>> {
    let named = fields.value("num_attention_heads").is_some();
    let field = if named { "num_attention_heads" } else { "attention_head_dim" };
    let heads = fields.size_per_block(field, channels.len(), 8)?;
    match channels.iter().zip(&heads).find(|(channels, heads)| *channels % *heads != 0) {
        Some((channels, heads)) => Err(fields.error(field, format!("{heads} heads do not divide {channels} channels"))),
        None => Ok(heads),
    }
}

fn groups(fields: &Fields<'_>, levels: &[Level]) -> Result<usize> {
    if fields.is_null("norm_num_groups") {
        return Err(fields.error("norm_num_groups", "null is not supported, expected a whole number"));
    }
    let groups = fields.size("norm_num_groups", 32)?;
    match levels.iter().find(|level| level.channels % groups != 0) {
        Some(level) => {
            Err(fields.error("norm_num_groups", format!("{groups} groups do not divide {} channels", level.channels)))
        }
        None => Ok(groups),
    }
}

fn mid_block(fields: &Fields<'_>) -> Result<MidBlock> {
    match fields.text("mid_block_type")? {
        None if fields.is_null("mid_block_type") => Ok(MidBlock::None),
        None | Some("UNetMidBlock2DCrossAttn") => Ok(MidBlock::CrossAttention),
        Some("UNetMidBlock2D") => Ok(MidBlock::Plain),
        Some(other) => {
            let supported = "only UNetMidBlock2DCrossAttn, UNetMidBlock2D and null";
            Err(fields.error("mid_block_type", format!("{other:?} is not supported, {supported}")))
        }
    }
}

fn class_embedding(fields: &Fields<'_>) -> Result<Option<ClassEmbedding>> {
    match fields.text("class_embed_type")? {
        None => Ok(fields.optional_size("num_class_embeds")?.map(ClassEmbedding::Table)),
        Some("timestep") => Ok(Some(ClassEmbedding::Timestep)),
        Some("projection") => Ok(Some(ClassEmbedding::Projection(projection_width(fields)?))),
        Some(other) => {
            Err(fields.error("class_embed_type", format!("{other:?} is not supported, only timestep and projection")))
        }
    }
}

fn text_time(fields: &Fields<'_>) -> Result<Option<TextTime>> {
    match fields.text("addition_embed_type")? {
        None => Ok(None),
        Some("text_time") => {
            let Some(time_width) = fields.optional_size("addition_time_embed_dim")? else {
                return Err(fields.error("addition_time_embed_dim", "missing, text_time needs it"));
            };
            Ok(Some(TextTime { time_width, input_width: projection_width(fields)? }))
        }
        Some(other) => {
            Err(fields.error("addition_embed_type", format!("{other:?} is not supported, only text_time and null")))
        }
    }
}

fn projection_width(fields: &Fields<'_>) -> Result<usize> {
    const FIELD: &str = "projection_class_embeddings_input_dim";
    fields.optional_size(FIELD)?.ok_or_else(|| -> Error { fields.error(FIELD, "missing, the embedding needs it") })
}

fn kernel(fields: &Fields<'_>, field: &str) -> Result<usize> {
    match fields.size(field, 3)? {
        side if side % 2 == 1 => Ok(side),
        side => Err(fields.error(field, format!("{side} is even, expected an odd side"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: Value) -> Result<UNetConfig> {
        UNetConfig::from_json("unet/config.json", &json)
    }

    #[test]
    fn an_empty_file_is_stable_diffusion_1_but_for_the_text_width() {
        let config = read(json!({})).unwrap();
        let channels: Vec<usize> = config.levels.iter().map(|level| level.channels).collect();
        assert_eq!(channels, [320, 640, 1280, 1280]);
        assert!(!config.levels[3].down_attention && !config.levels[3].up_attention);
        assert!(config.levels[0].down_attention && config.levels[0].up_attention);
        assert_eq!((config.time_embed_dim, config.levels[2].heads), (1280, 8));
        assert_eq!(config.mid_block, MidBlock::CrossAttention);
    }

    #[test]
    fn a_missing_mid_block_type_is_the_default_and_null_is_none() {
        assert_eq!(read(json!({"mid_block_type": null})).unwrap().mid_block, MidBlock::None);
        assert_eq!(read(json!({"mid_block_type": "UNetMidBlock2D"})).unwrap().mid_block, MidBlock::Plain);
    }

    #[test]
    fn unsupported_values_are_errors_that_name_the_field() {
        let cases = [
            (json!({"resnet_time_scale_shift": "scale_shift"}), "resnet_time_scale_shift"),
            (json!({"time_embedding_type": "fourier"}), "time_embedding_type"),
            (json!({"encoder_hid_dim": 768}), "encoder_hid_dim"),
            (json!({"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}), "mid_block_type"),
            (json!({"mid_block_scale_factor": 2}), "mid_block_scale_factor"),
            (json!({"class_embed_type": "identity"}), "class_embed_type"),
            (json!({"class_embed_type": "projection"}), "projection_class_embeddings_input_dim"),
            (json!({"addition_embed_type": "image"}), "addition_embed_type"),
            (json!({"addition_embed_type": "text_time"}), "addition_time_embed_dim"),
            (json!({"attention_head_dim": 7}), "attention_head_dim"),
            (json!({"attention_head_dim": [8, 8]}), "attention_head_dim"),
            (json!({"norm_num_groups": 33}), "norm_num_groups"),
            (json!({"norm_num_groups": null}), "norm_num_groups"),
            (json!({"block_out_channels": []}), "block_out_channels"),
            (json!({"down_block_types": ["DownBlock2D"]}), "down_block_types"),
            (json!({"up_block_types": ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"]}), "up_block_types"),
            (json!({"transformer_layers_per_block": [[1, 2], 1, 1, 1]}), "transformer_layers_per_block"),
            (json!({"conv_in_kernel": 2}), "conv_in_kernel"),
        ];
        for (json, field) in cases {
            let text = read(json.clone()).unwrap_err().to_string();
            assert!(text.starts_with(&format!("unet/config.json: field {field}: ")), "{json}: {text}");
        }
    }
}
