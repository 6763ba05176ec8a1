//! SAM's files in the layout of the original repository, automatic masks, and what is refused.

use easel_inference::analysis::{Automatic, Bitmap, Prompt, SamFiles, Segmenter};
use easel_inference::pipeline::CancelToken;
use easel_inference::{Device, Error};
use easel_picture::Image;
use easel_tests::files::{read_json, repository};
use easel_tests::original::{Tensors, read, write_checkpoint};
use pollster::block_on;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    repository().join("tests/golden/sam")
}

fn open(path: &Path) -> SamFiles {
    block_on(SamFiles::open_path(path)).unwrap()
}

/// Names of transformers and what the original repository calls them, in the order in which they are replaced.
const NAMES: [(&str, &str); 19] = [
    ("vision_encoder.neck.conv1.", "image_encoder.neck.0."),
    ("vision_encoder.neck.layer_norm1.", "image_encoder.neck.1."),
    ("vision_encoder.neck.conv2.", "image_encoder.neck.2."),
    ("vision_encoder.neck.layer_norm2.", "image_encoder.neck.3."),
    ("vision_encoder.layers.", "image_encoder.blocks."),
    ("vision_encoder.patch_embed.projection.", "image_encoder.patch_embed.proj."),
    ("vision_encoder.", "image_encoder."),
    (".layer_norm_final_attn.", ".norm_final_attn."),
    ("mask_embed.conv1.", "mask_downscaling.0."),
    ("mask_embed.layer_norm1.", "mask_downscaling.1."),
    ("mask_embed.conv2.", "mask_downscaling.3."),
    ("mask_embed.layer_norm2.", "mask_downscaling.4."),
    ("mask_embed.conv3.", "mask_downscaling.6."),
    (".point_embed.", ".point_embeddings."),
    ("upscale_conv1.", "output_upscaling.0."),
    ("upscale_layer_norm.", "output_upscaling.1."),
    ("upscale_conv2.", "output_upscaling.3."),
    (".layer_norm", ".norm"),
    ("shared_embedding.positional_embedding", "pe_layer.positional_encoding_gaussian_matrix"),
];

fn original_name(name: &str) -> Option<String> {
    if name.starts_with("shared_image_embedding.") {
        return None;
    }
    let is_head = name.contains("iou_prediction_head") || name.contains("output_hypernetworks_mlps");
    let name = NAMES.iter().fold(name.to_owned(), |name, (new, old)| name.replace(new, old));
    let heads = [(".layers.0.", ".layers.1."), (".proj_in.", ".layers.0."), (".proj_out.", ".layers.2.")];
    Some(if is_head { heads.iter().fold(name, |name, (new, old)| name.replace(new, old)) } else { name })
}

/// The golden model as a `.pth` file.
fn checkpoint(folder: &Path) -> PathBuf {
    let tensors = read(&golden().join("model.safetensors")).unwrap();
    let renamed = tensors.into_iter().filter_map(|(name, tensor)| Some((original_name(&name)?, tensor)));
    let path = folder.join("sam_vit_t.pth");
    write_checkpoint(&renamed.collect::<Tensors>(), &path).unwrap();
    path
}

#[test]
fn original_checkpoints_have_the_names_and_sizes_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let original = open(&checkpoint(folder.path()));
    let shapes = |files: &SamFiles| -> BTreeMap<String, Vec<usize>> {
        let all = files.component().tensors.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec()));
        all.filter(|(name, _)| !name.starts_with("shared_image_embedding.")).collect()
    };
    assert_eq!(shapes(&original), shapes(&open(&golden())));
    let config = read_json(&golden().join("config.json")).unwrap();
    for (part, fields) in original.component().config.as_object().unwrap() {
        for (field, value) in fields.as_object().into_iter().flatten() {
            // Heads don't show in shapes, and the epsilon is another one in the original code.
            if part != "mask_decoder_config" || !["num_attention_heads", "layer_norm_eps"].contains(&field.as_str()) {
                assert_eq!(&config[part][field], value, "{part}.{field}");
            }
        }
    }
}

#[test]
fn everything_is_cut_out_until_it_is_cancelled() {
    let segmenter = block_on(Segmenter::load(&open(&golden()), &Device::Cpu)).unwrap();
    let picture = segmenter.embed(&Image::stub(40, 30).unwrap()).unwrap();
    // The network is random: its scores are far from those of a trained one.
    let all = Automatic {
        points_per_side: 2,
        pred_iou_thresh: f32::NEG_INFINITY,
        stability_score_thresh: 0.0,
        ..Automatic::default()
    };
    let cancel = CancelToken::default();
    let found = block_on(segmenter.segment_all(&picture, &all, &cancel)).unwrap();
    assert!(!found.is_empty() && found.len() <= 12, "{}", found.len());
    assert!(found.is_sorted_by(|a, b| a.iou >= b.iou));
    for found in &found {
        let mask = found.mask.to_bitmap().unwrap();
        assert_eq!((mask.width(), mask.height(), mask.bounds()), (40, 30, Some(found.bounds)));
        // The same prompt alone gives the same mask.
        let [x, y] = found.point;
        let alone = block_on(segmenter.segment(&picture, &Prompt::point(x, y))).unwrap();
        assert!(alone.iter().any(|segment| segment.mask == mask && segment.iou == found.iou));
    }
    let none = Automatic { pred_iou_thresh: f32::INFINITY, ..all.clone() };
    assert!(block_on(segmenter.segment_all(&picture, &none, &cancel)).unwrap().is_empty());
    cancel.cancel();
    assert!(matches!(block_on(segmenter.segment_all(&picture, &all, &cancel)), Err(Error::Cancelled)));
    let wide = Automatic { points_per_side: 129, ..all };
    let refused = block_on(segmenter.segment_all(&picture, &wide, &cancel)).unwrap_err().to_string();
    assert_eq!(refused, "points_per_side: 129 points, expected 1 to 128");
}

#[test]
fn masks_of_another_size_and_other_files_are_refused() {
    let segmenter = block_on(Segmenter::load(&open(&golden()), &Device::Cpu)).unwrap();
    let picture = segmenter.embed(&Image::stub(1, 1).unwrap()).unwrap();
    let refused = |mask: Vec<f32>| {
        let prompt = Prompt { mask: Some(mask), ..Prompt::point(0.5, 0.5) };
        block_on(segmenter.segment(&picture, &prompt)).unwrap_err().to_string()
    };
    assert_eq!(refused(vec![0.0; 9]), "mask: 9 numbers, expected the 256x256 logits of an earlier mask");
    assert_eq!(refused(vec![f32::NAN; 256 * 256]), "mask: holds a value that is not a finite number");
    let wide = Bitmap::new(2, 1, vec![true; 2]).unwrap();
    let refused = segmenter.logits_of(&picture, &wide).unwrap_err().to_string();
    assert_eq!(refused, "mask: 2x1 pixels, expected 1x1");
    let segments = block_on(segmenter.segment(&picture, &Prompt::point(0.5, 0.5))).unwrap();
    assert_eq!((segments.len(), segments[0].mask.pixels().len()), (3, 1));
    let other = repository().join("tests/golden/taesd/diffusion_pytorch_model.safetensors");
    let error = block_on(SamFiles::open_path(&other)).err().unwrap().to_string();
    assert!(error.ends_with("expected a checkpoint of segment-anything or MobileSAM"), "{error}");
    let error = block_on(SamFiles::open_path(&repository().join("wit"))).err().unwrap().to_string();
    assert!(error.ends_with("no config.json and 0 checkpoints, expected one of them"), "{error}");
}

/// The picture is in the upper part of the network's square, and its left half is the mask.
#[test]
fn an_earlier_mask_lies_where_the_picture_does() {
    let segmenter = block_on(Segmenter::load(&open(&golden()), &Device::Cpu)).unwrap();
    let picture = segmenter.embed(&Image::stub(64, 32).unwrap()).unwrap();
    let left = Bitmap::new(64, 32, (0..64 * 32).map(|i| i % 64 < 32).collect()).unwrap();
    let logits = segmenter.logits_of(&picture, &left).unwrap();
    assert_eq!(logits.len(), 256 * 256);
    for (i, logit) in logits.iter().enumerate() {
        let is_inside = i % 256 < 128 && i / 256 < 128;
        assert_eq!(*logit > 0.0, is_inside, "{i}");
    }
    let prompt = Prompt { mask: Some(logits), ..Prompt::point(16.0, 16.0) };
    assert_eq!(block_on(segmenter.segment(&picture, &prompt)).unwrap().len(), 3);
}
