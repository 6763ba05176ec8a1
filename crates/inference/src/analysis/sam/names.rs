//! From the tensor names of <https://github.com/facebookresearch/segment-anything> and MobileSAM to those of transformers, as
//! `convert_sam_to_hf.py` has them.

/// Whether a tensor's name is one of the original files.
pub(super) fn is_original(name: &str) -> bool {
    name.starts_with("image_encoder.")
}

/// Parts of names outside of TinyViT.
const PARTS: [(&str, &str); 18] = [
    ("image_encoder.", "vision_encoder."),
    ("patch_embed.proj.", "patch_embed.projection."),
    (".blocks.", ".layers."),
    (".neck.0.", ".neck.conv1."),
    (".neck.1.", ".neck.layer_norm1."),
    (".neck.2.", ".neck.conv2."),
    (".neck.3.", ".neck.layer_norm2."),
    (".norm", ".layer_norm"),
    ("pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    ("point_embeddings.", "point_embed."),
    ("mask_downscaling.0.", "mask_embed.conv1."),
    ("mask_downscaling.1.", "mask_embed.layer_norm1."),
    ("mask_downscaling.3.", "mask_embed.conv2."),
    ("mask_downscaling.4.", "mask_embed.layer_norm2."),
    ("mask_downscaling.6.", "mask_embed.conv3."),
    ("output_upscaling.0.", "upscale_conv1."),
    ("output_upscaling.1.", "upscale_layer_norm."),
    ("output_upscaling.3.", "upscale_conv2."),
];

/// The name of a tensor in transformers; `None` for one that no mask needs: the classifier of TinyViT, and the numbers that
/// pictures are normalised with.
pub(super) fn rename(name: &str) -> Option<String> {
    let is_left_over = ["pixel_mean", "pixel_std"].contains(&name)
        || ["image_encoder.head.", "image_encoder.norm_head."].iter().any(|start| name.starts_with(start));
    if is_left_over {
        return None;
    }
    if let Some(rest) = name.strip_prefix("image_encoder.").filter(|rest| is_of_tiny_vit(rest)) {
        return Some(format!("vision_encoder.{rest}"));
    }
    let renamed = PARTS.iter().fold(name.to_owned(), |name, (old, new)| name.replace(old, new));
    Some(layer_of_head(&renamed).unwrap_or(renamed))
}

/// TinyViT has no class in transformers and keeps its names but for the neck.
fn is_of_tiny_vit(rest: &str) -> bool {
    rest.starts_with("layers.") || rest.starts_with("patch_embed.seq.")
}

/// The heads' layers: the first and the last of three have names of their own.
fn layer_of_head(name: &str) -> Option<String> {
    let (head, rest) = name.strip_prefix("mask_decoder.")?.split_once(".layers.")?;
    if head != "iou_prediction_head" && !head.starts_with("output_hypernetworks_mlps.") {
        return None;
    }
    let (layer, end) = rest.split_once('.')?;
    let own = match layer {
        "0" => "proj_in",
        "1" => "layers.0",
        "2" => "proj_out",
        _ => return None,
    };
    Some(format!("mask_decoder.{head}.{own}.{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_parts_are_those_of_transformers() {
        for (old, new) in [
            ("image_encoder.pos_embed", "vision_encoder.pos_embed"),
            ("image_encoder.patch_embed.proj.bias", "vision_encoder.patch_embed.projection.bias"),
            ("image_encoder.blocks.11.norm1.weight", "vision_encoder.layers.11.layer_norm1.weight"),
            ("image_encoder.blocks.0.attn.rel_pos_h", "vision_encoder.layers.0.attn.rel_pos_h"),
            ("image_encoder.blocks.0.mlp.lin1.bias", "vision_encoder.layers.0.mlp.lin1.bias"),
            ("image_encoder.neck.3.weight", "vision_encoder.neck.layer_norm2.weight"),
            ("image_encoder.layers.1.blocks.0.attn.norm.weight", "vision_encoder.layers.1.blocks.0.attn.norm.weight"),
            ("image_encoder.patch_embed.seq.0.c.weight", "vision_encoder.patch_embed.seq.0.c.weight"),
            ("prompt_encoder.point_embeddings.3.weight", "prompt_encoder.point_embed.3.weight"),
            ("prompt_encoder.mask_downscaling.6.bias", "prompt_encoder.mask_embed.conv3.bias"),
            ("prompt_encoder.no_mask_embed.weight", "prompt_encoder.no_mask_embed.weight"),
            (
                "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
                "prompt_encoder.shared_embedding.positional_embedding",
            ),
            ("mask_decoder.transformer.layers.1.norm4.bias", "mask_decoder.transformer.layers.1.layer_norm4.bias"),
            ("mask_decoder.transformer.norm_final_attn.bias", "mask_decoder.transformer.layer_norm_final_attn.bias"),
            ("mask_decoder.output_upscaling.3.weight", "mask_decoder.upscale_conv2.weight"),
            ("mask_decoder.iou_prediction_head.layers.0.bias", "mask_decoder.iou_prediction_head.proj_in.bias"),
            ("mask_decoder.iou_prediction_head.layers.1.bias", "mask_decoder.iou_prediction_head.layers.0.bias"),
            (
                "mask_decoder.output_hypernetworks_mlps.3.layers.2.weight",
                "mask_decoder.output_hypernetworks_mlps.3.proj_out.weight",
            ),
            (
                "mask_decoder.output_hypernetworks_mlps.0.layers.1.weight",
                "mask_decoder.output_hypernetworks_mlps.0.layers.0.weight",
            ),
        ] {
            assert_eq!(rename(old).as_deref(), Some(new));
        }
        assert_eq!(["pixel_mean", "image_encoder.head.bias"].map(rename), [None, None]);
    }
}
