//! The tensor names of the UNet: CompVis numbers the blocks of each direction consecutively, diffusers by level and
//! layer.

/// The map for one UNet.
pub(super) struct Map {
    /// The content of each input block, from block 1.
    inputs: Vec<Slot>,
    /// The level and layer of each output block; level 0 is the coarsest.
    outputs: Vec<(usize, usize)>,
    /// The meaning of `label_emb`: the embedding of sizes and pooled text in SDXL, of classes in other models.
    label: &'static str,
}

#[derive(Clone, Copy)]
enum Slot {
    Layer { level: usize, layer: usize },
    Downsampler { level: usize },
}

impl Map {
    /// `names` are those under `model.diffusion_model.`.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>, is_xl: bool) -> Self {
        let mut blocks: Vec<Option<bool>> = Vec::new();
        for name in names {
            let Some(rest) = name.strip_prefix("input_blocks.") else { continue };
            let Some((number, rest)) = rest.split_once('.') else { continue };
            // Without this limit, a file could make the table arbitrarily large.
            let Some(number) = number.parse::<usize>().ok().filter(|number| *number < 1000) else { continue };
            if blocks.len() <= number {
                blocks.resize(number + 1, None);
            }
            let is_downsampler = blocks[number].unwrap_or(false) || rest.starts_with("0.op.");
            blocks[number] = Some(is_downsampler);
        }
        let mut inputs = Vec::new();
        let mut layers = vec![0];
        for is_downsampler in blocks.iter().skip(1).map(|block| block.unwrap_or(false)) {
            let level = layers.len() - 1;
            if is_downsampler {
                inputs.push(Slot::Downsampler { level });
                layers.push(0);
            } else {
                inputs.push(Slot::Layer { level, layer: layers[level] });
                layers[level] += 1;
            }
        }
        // Each level has one more layer in the up path than in the down path.
        let levels = layers.iter().rev().enumerate();
        let outputs = levels.flat_map(|(level, layers)| (0..=*layers).map(move |layer| (level, layer))).collect();
        Self { inputs, outputs, label: if is_xl { "add_embedding" } else { "class_embedding" } }
    }

    /// Maps a name.
    pub(super) fn rename(&self, name: &str) -> Option<String> {
        let (block, rest) = name.split_once('.')?;
        match block {
            "time_embed" => embedding("time_embedding", rest),
            "label_emb" if rest == "weight" => Some("class_embedding.weight".into()),
            "label_emb" => embedding(self.label, rest.strip_prefix("0.")?),
            "out" => match rest.split_once('.')? {
                ("0", rest) => Some(format!("conv_norm_out.{rest}")),
                ("2", rest) => Some(format!("conv_out.{rest}")),
                _ => None,
            },
            "input_blocks" => self.input(rest),
            "middle_block" => match rest.split_once('.')? {
                ("0", rest) => Some(format!("mid_block.resnets.0.{}", resnet(rest)?)),
                ("1", rest) => Some(format!("mid_block.attentions.0.{rest}")),
                ("2", rest) => Some(format!("mid_block.resnets.1.{}", resnet(rest)?)),
                _ => None,
            },
            "output_blocks" => self.output(rest),
            _ => None,
        }
    }

    fn input(&self, rest: &str) -> Option<String> {
        let (number, rest) = rest.split_once('.')?;
        let (part, rest) = rest.split_once('.')?;
        let Some(block) = number.parse::<usize>().ok()?.checked_sub(1) else {
            return (part == "0").then(|| format!("conv_in.{rest}"));
        };
        match (*self.inputs.get(block)?, part) {
            (Slot::Downsampler { level }, "0") => {
                Some(format!("down_blocks.{level}.downsamplers.0.conv.{}", rest.strip_prefix("op.")?))
            }
            (Slot::Layer { level, layer }, "0") => {
                Some(format!("down_blocks.{level}.resnets.{layer}.{}", resnet(rest)?))
            }
            (Slot::Layer { level, layer }, "1") => Some(format!("down_blocks.{level}.attentions.{layer}.{rest}")),
            _ => None,
        }
    }

    fn output(&self, rest: &str) -> Option<String> {
        let (number, rest) = rest.split_once('.')?;
        let (level, layer) = *self.outputs.get(number.parse::<usize>().ok()?)?;
        match rest.split_once('.')? {
            ("0", rest) => Some(format!("up_blocks.{level}.resnets.{layer}.{}", resnet(rest)?)),
            // The upsampler follows the attention if there is one.
            ("1" | "2", rest) if rest.starts_with("conv.") => Some(format!("up_blocks.{level}.upsamplers.0.{rest}")),
            ("1", rest) => Some(format!("up_blocks.{level}.attentions.{layer}.{rest}")),
            _ => None,
        }
    }
}

fn embedding(name: &str, rest: &str) -> Option<String> {
    match rest.split_once('.')? {
        ("0", rest) => Some(format!("{name}.linear_1.{rest}")),
        ("2", rest) => Some(format!("{name}.linear_2.{rest}")),
        _ => None,
    }
}

fn resnet(rest: &str) -> Option<String> {
    const PARTS: [(&str, &str); 6] = [
        ("in_layers.0.", "norm1."),
        ("in_layers.2.", "conv1."),
        ("out_layers.0.", "norm2."),
        ("out_layers.3.", "conv2."),
        ("emb_layers.1.", "time_emb_proj."),
        ("skip_connection.", "conv_shortcut."),
    ];
    PARTS.iter().find_map(|(old, new)| Some(format!("{new}{}", rest.strip_prefix(old)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_stable_diffusion_1() {
        let names: Vec<String> = (0..12)
            .map(|i| {
                format!("input_blocks.{i}.0.{}", if [3, 6, 9].contains(&i) { "op.weight" } else { "in_layers.0.bias" })
            })
            .collect();
        let map = Map::new(names.iter().map(String::as_str), false);
        let cases = [
            ("time_embed.2.bias", "time_embedding.linear_2.bias"),
            ("label_emb.0.0.weight", "class_embedding.linear_1.weight"),
            ("input_blocks.0.0.weight", "conv_in.weight"),
            ("input_blocks.1.0.in_layers.0.weight", "down_blocks.0.resnets.0.norm1.weight"),
            ("input_blocks.3.0.op.bias", "down_blocks.0.downsamplers.0.conv.bias"),
            ("input_blocks.4.0.skip_connection.weight", "down_blocks.1.resnets.0.conv_shortcut.weight"),
            (
                "input_blocks.8.1.transformer_blocks.0.ff.net.2.bias",
                "down_blocks.2.attentions.1.transformer_blocks.0.ff.net.2.bias",
            ),
            ("input_blocks.11.0.emb_layers.1.bias", "down_blocks.3.resnets.1.time_emb_proj.bias"),
            ("middle_block.1.proj_in.weight", "mid_block.attentions.0.proj_in.weight"),
            ("middle_block.2.out_layers.3.weight", "mid_block.resnets.1.conv2.weight"),
            ("output_blocks.2.1.conv.weight", "up_blocks.0.upsamplers.0.conv.weight"),
            ("output_blocks.5.1.norm.bias", "up_blocks.1.attentions.2.norm.bias"),
            ("output_blocks.5.2.conv.bias", "up_blocks.1.upsamplers.0.conv.bias"),
            ("output_blocks.11.0.out_layers.0.bias", "up_blocks.3.resnets.2.norm2.bias"),
            ("out.2.weight", "conv_out.weight"),
        ];
        for (old, new) in cases {
            assert_eq!(map.rename(old).as_deref(), Some(new), "{old}");
        }
        for unknown in
            ["", "out", "out.1.weight", "input_blocks.12.0.in_layers.0.bias", "output_blocks.99.0.x", "a.b.c"]
        {
            assert_eq!(map.rename(unknown), None, "{unknown}");
        }
    }
}
