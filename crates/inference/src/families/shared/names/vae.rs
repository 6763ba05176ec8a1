//! The tensor names of the autoencoder. The original numbers the decoder's levels from the finest and stores attention
//! as convolutions.

use super::Renamed;
use crate::weights::TensorView;

/// The map for one autoencoder.
pub(in crate::families) struct Map {
    /// The number of levels of the decoder.
    levels: usize,
}

impl Map {
    /// `names` are those under `first_stage_model.`.
    pub(in crate::families) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let level = |name: &str| name.strip_prefix("decoder.up.")?.split('.').next()?.parse::<usize>().ok();
        Self { levels: names.filter_map(level).max().map_or(0, |last| last.saturating_add(1)) }
    }

    /// Maps a tensor.
    pub(in crate::families) fn rename(&self, name: &str, view: &TensorView) -> Renamed {
        if name.starts_with("quant_conv.") || name.starts_with("post_quant_conv.") {
            return Some(vec![(name.to_owned(), view.clone())]);
        }
        let (coder, rest) = name.split_once('.').filter(|(coder, _)| matches!(*coder, "encoder" | "decoder"))?;
        let (part, inner) = rest.split_once('.')?;
        if let Some(inner) = rest.strip_prefix("mid.attn_1.") {
            return attention(&format!("{coder}.mid_block.attentions.0"), inner, view);
        }
        let renamed = match part {
            "conv_in" | "conv_out" => rest.to_owned(),
            "norm_out" => format!("conv_norm_out.{inner}"),
            "mid" => match inner.split_once('.')? {
                ("block_1", rest) => format!("mid_block.resnets.0.{}", resnet(rest)),
                ("block_2", rest) => format!("mid_block.resnets.1.{}", resnet(rest)),
                _ => return None,
            },
            "down" => self.level("down_blocks", inner, Some)?,
            "up" => self.level("up_blocks", inner, |level| self.levels.checked_sub(level.checked_add(1)?))?,
            _ => return None,
        };
        Some(vec![(format!("{coder}.{renamed}"), view.clone())])
    }

    fn level(&self, blocks: &str, name: &str, number: impl Fn(usize) -> Option<usize>) -> Option<String> {
        let (level, rest) = name.split_once('.')?;
        let level = number(level.parse().ok()?)?;
        if let Some(rest) = rest.strip_prefix("block.") {
            return Some(format!("{blocks}.{level}.resnets.{}", resnet(rest)));
        }
        match rest.split_once('.')? {
            ("downsample", rest) => Some(format!("{blocks}.{level}.downsamplers.0.{rest}")),
            ("upsample", rest) => Some(format!("{blocks}.{level}.upsamplers.0.{rest}")),
            _ => None,
        }
    }
}

fn resnet(rest: &str) -> String {
    rest.replacen("nin_shortcut.", "conv_shortcut.", 1)
}

fn attention(prefix: &str, rest: &str, view: &TensorView) -> Renamed {
    let (part, rest) = rest.split_once('.')?;
    let part = match part {
        "norm" => "group_norm",
        "q" => "to_q",
        "k" => "to_k",
        "v" => "to_v",
        "proj_out" => "to_out.0",
        _ => return None,
    };
    Some(vec![(format!("{prefix}.{part}.{rest}"), as_matrix(rest, view))])
}

fn as_matrix(name: &str, view: &TensorView) -> TensorView {
    let matrix = if name == "weight" { view.pointwise_as_matrix() } else { None };
    matrix.unwrap_or_else(|| view.clone())
}

/// Maps a tensor in the diffusers layout to its current name. Before version 0.16 the attention layers were called
/// `query`, `key`, `value` and `proj_attn`.
pub(in crate::families) fn modern_attention(name: &str, view: &TensorView) -> (String, TensorView) {
    const PARTS: [(&str, &str); 4] = [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];
    let old = name.split_once(".mid_block.attentions.").and_then(|(coder, rest)| {
        let (number, rest) = rest.split_once('.')?;
        let (part, rest) = rest.split_once('.')?;
        let (_, new) = PARTS.iter().find(|(old, _)| *old == part)?;
        Some((format!("{coder}.mid_block.attentions.{number}.{new}.{rest}"), as_matrix(rest, view)))
    });
    old.unwrap_or_else(|| (name.to_owned(), view.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::StoredType;

    #[test]
    fn names_of_the_original_autoencoder() {
        let map = Map::new(["decoder.up.3.block.0.norm1.bias", "decoder.up.0.block.0.norm1.bias"].into_iter());
        let view = TensorView::new(StoredType::F16, vec![8, 4, 1, 1], 0).unwrap();
        let cases = [
            ("encoder.conv_in.weight", "encoder.conv_in.weight", 4),
            ("encoder.norm_out.bias", "encoder.conv_norm_out.bias", 4),
            ("encoder.down.1.block.0.nin_shortcut.weight", "encoder.down_blocks.1.resnets.0.conv_shortcut.weight", 4),
            ("encoder.down.2.downsample.conv.bias", "encoder.down_blocks.2.downsamplers.0.conv.bias", 4),
            ("encoder.mid.attn_1.q.weight", "encoder.mid_block.attentions.0.to_q.weight", 2),
            ("decoder.mid.attn_1.proj_out.weight", "decoder.mid_block.attentions.0.to_out.0.weight", 2),
            ("decoder.mid.attn_1.norm.weight", "decoder.mid_block.attentions.0.group_norm.weight", 2),
            ("decoder.mid.block_2.conv1.weight", "decoder.mid_block.resnets.1.conv1.weight", 4),
            ("decoder.up.0.block.2.conv2.weight", "decoder.up_blocks.3.resnets.2.conv2.weight", 4),
            ("decoder.up.3.upsample.conv.weight", "decoder.up_blocks.0.upsamplers.0.conv.weight", 4),
            ("post_quant_conv.weight", "post_quant_conv.weight", 4),
        ];
        for (old, new, axes) in cases {
            let renamed = map.rename(old, &view).unwrap();
            assert_eq!((renamed.len(), renamed[0].0.as_str(), renamed[0].1.shape().len()), (1, new, axes), "{old}");
        }
        for unknown in
            ["", "decoder", "decoder.up.9.block.0.x", "decoder.mid.attn_2.q.weight", "sampler.conv_in.weight"]
        {
            assert_eq!(map.rename(unknown, &view), None, "{unknown}");
        }
    }

    #[test]
    fn old_names_of_diffusers() {
        let view = TensorView::new(StoredType::F16, vec![8, 8], 0).unwrap();
        let new = |name| modern_attention(name, &view).0;
        assert_eq!(new("encoder.mid_block.attentions.0.query.bias"), "encoder.mid_block.attentions.0.to_q.bias");
        assert_eq!(
            new("decoder.mid_block.attentions.0.proj_attn.weight"),
            "decoder.mid_block.attentions.0.to_out.0.weight"
        );
        assert_eq!(
            new("decoder.mid_block.attentions.0.group_norm.bias"),
            "decoder.mid_block.attentions.0.group_norm.bias"
        );
        assert_eq!(new("decoder.conv_in.weight"), "decoder.conv_in.weight");
    }
}
