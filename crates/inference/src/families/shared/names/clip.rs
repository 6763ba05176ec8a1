//! The tensor names of text encoders: OpenAI's have the names of transformers, OpenCLIP's have fused projections.

use super::Renamed;
use crate::weights::TensorView;

/// Layers of OpenCLIP's ViT-H. Stable Diffusion 2 uses all but the last.
const VIT_H_LAYERS: usize = 24;

/// Maps a tensor that has the name of transformers, with or without the prefix `text_model.`.
pub(in crate::families) fn rename(name: &str, view: &TensorView) -> Renamed {
    let inner = name.strip_prefix("text_model.").unwrap_or(name);
    if inner == "embeddings.position_ids" {
        // A sequence of numbers from 0; some merged files even store it as floats.
        return Some(Vec::new());
    }
    let known = ["embeddings.", "encoder.layers.", "final_layer_norm."].iter().any(|part| inner.starts_with(part));
    known.then(|| vec![(format!("text_model.{inner}"), view.clone())])
}

/// The map for one text tower of OpenCLIP.
pub(super) struct OpenClip {
    /// The number of layers in use; further ones are skipped.
    layers: usize,
    /// Whether the projection of the pooled state is used.
    has_projection: bool,
}

impl OpenClip {
    /// `names` are those of the tower. `whole` selects SDXL's encoder, which has the last layer and the projection.
    /// Stable Diffusion 2's ends one layer earlier: if its file has a projection, it contains the whole tower with one
    /// layer too many. Files that were converted back from diffusers have neither.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>, whole: bool) -> Self {
        let mut layers = 0;
        let mut has_projection = false;
        for name in names {
            has_projection |= name == "text_projection";
            let number = name.strip_prefix("transformer.resblocks.").and_then(|rest| rest.split('.').next());
            let number = number.and_then(|number| number.parse::<usize>().ok());
            layers = layers.max(number.map_or(0, |number| number.saturating_add(1)));
        }
        let one_too_many = !whole && (has_projection || layers == VIT_H_LAYERS);
        Self { layers: layers - usize::from(one_too_many && layers > 0), has_projection: whole }
    }

    /// Maps a tensor.
    pub(super) fn rename(&self, name: &str, view: &TensorView) -> Renamed {
        let one = |name: String| Some(vec![(name, view.clone())]);
        if let Some(rest) = name.strip_prefix("transformer.resblocks.") {
            return self.layer(rest, view);
        }
        match name {
            "logit_scale" | "attn_mask" => Some(Vec::new()),
            "positional_embedding" => one("text_model.embeddings.position_embedding.weight".into()),
            "token_embedding.weight" => one("text_model.embeddings.token_embedding.weight".into()),
            "text_projection" if !self.has_projection => Some(Vec::new()),
            // OpenCLIP stores it transposed.
            "text_projection" => Some(vec![("text_projection.weight".into(), view.transposed()?)]),
            _ => one(format!("text_model.final_layer_norm.{}", name.strip_prefix("ln_final.")?)),
        }
    }

    fn layer(&self, rest: &str, view: &TensorView) -> Renamed {
        const PARTS: [(&str, &str); 5] = [
            ("ln_1.", "layer_norm1."),
            ("ln_2.", "layer_norm2."),
            ("mlp.c_fc.", "mlp.fc1."),
            ("mlp.c_proj.", "mlp.fc2."),
            ("attn.out_proj.", "self_attn.out_proj."),
        ];
        let (number, rest) = rest.split_once('.')?;
        if number.parse::<usize>().ok()? >= self.layers {
            return Some(Vec::new());
        }
        let layer = format!("text_model.encoder.layers.{number}");
        if let Some(kind) = rest.strip_prefix("attn.in_proj_") {
            return matches!(kind, "weight" | "bias").then(|| split(&layer, kind, view))?;
        }
        let renamed = PARTS.iter().find_map(|(old, new)| Some(format!("{layer}.{new}{}", rest.strip_prefix(old)?)));
        renamed.map(|name| vec![(name, view.clone())])
    }
}

/// Splits the stacked query, key and value projections.
fn split(layer: &str, kind: &str, view: &TensorView) -> Renamed {
    let rows = *view.shape().first()?;
    let width = rows / 3;
    let part = |(i, name)| Some((format!("{layer}.self_attn.{name}_proj.{kind}"), view.rows(i * width, width)?));
    if rows % 3 != 0 { None } else { ["q", "k", "v"].into_iter().enumerate().map(part).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::StoredType;

    fn view(shape: &[usize]) -> TensorView {
        TensorView::new(StoredType::F32, shape.to_vec(), 0).unwrap()
    }

    fn names(renamed: Renamed) -> Vec<String> {
        renamed.unwrap().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn fused_projections_are_split_in_three() {
        let map = OpenClip::new(["transformer.resblocks.1.ln_1.bias"].into_iter(), true);
        let parts = map.rename("transformer.resblocks.1.attn.in_proj_weight", &view(&[6, 2])).unwrap();
        let ranges: Vec<_> = parts.iter().map(|(_, view)| (view.shape().to_vec(), view.range())).collect();
        assert_eq!(ranges, [(vec![2, 2], 0..16), (vec![2, 2], 16..32), (vec![2, 2], 32..48)]);
        assert_eq!(parts[1].0, "text_model.encoder.layers.1.self_attn.k_proj.weight");
        assert_eq!(map.rename("transformer.resblocks.1.attn.in_proj_bias", &view(&[7])), None);
        let projection = map.rename("text_projection", &view(&[4, 2])).unwrap();
        assert_eq!((projection[0].0.as_str(), projection[0].1.shape()), ("text_projection.weight", &[2, 4][..]));
    }

    #[test]
    fn stable_diffusion_2_ends_one_layer_earlier() {
        let layers = |count: usize| (0..count).map(|i| format!("transformer.resblocks.{i}.ln_1.bias"));
        let kept = |names: Vec<String>, whole| OpenClip::new(names.iter().map(String::as_str), whole).layers;
        let with_projection = |count| layers(count).chain(["text_projection".to_owned()]).collect();
        assert_eq!(kept(with_projection(24), false), 23);
        assert_eq!(kept(layers(24).collect(), false), 23);
        assert_eq!(kept(with_projection(4), false), 3);
        assert_eq!(kept(layers(3).collect(), false), 3);
        assert_eq!(kept(with_projection(32), true), 32);
        let map = OpenClip { layers: 3, has_projection: false };
        assert!(names(map.rename("transformer.resblocks.3.mlp.c_fc.bias", &view(&[2]))).is_empty());
        assert!(names(map.rename("text_projection", &view(&[2, 2]))).is_empty());
        assert_eq!(
            names(map.rename("transformer.resblocks.2.mlp.c_fc.bias", &view(&[2]))),
            ["text_model.encoder.layers.2.mlp.fc1.bias"]
        );
        assert_eq!(names(map.rename("ln_final.bias", &view(&[2]))), ["text_model.final_layer_norm.bias"]);
        assert_eq!(map.rename("visual.proj", &view(&[2])), None);
    }

    #[test]
    fn names_of_transformers_stay() {
        let renamed = |name| names(rename(name, &view(&[2])));
        assert_eq!(renamed("text_model.final_layer_norm.bias"), ["text_model.final_layer_norm.bias"]);
        assert_eq!(renamed("encoder.layers.0.mlp.fc1.bias"), ["text_model.encoder.layers.0.mlp.fc1.bias"]);
        assert!(renamed("text_model.embeddings.position_ids").is_empty());
        assert_eq!(rename("visual.x", &view(&[2])), None);
    }
}
