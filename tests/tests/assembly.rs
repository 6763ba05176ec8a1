//! Models whose components lie beside one another without a `model_index.json`, and parts that do not belong together: what is
//! wrong is said in one line with the file, the tensor or the field, and what was expected.

use easel_inference::families::{ComponentSource, ModelFiles, OpenOptions};
use easel_inference::pipeline::{CancelToken, LoadOptions, Pipeline, Request, Unwatched};
use easel_inference::tensor::Products;
use easel_inference::{Device, Result};
use easel_tests::files::repository;
use easel_tests::original::{Tensors, write_gguf, write_safetensors};
use easel_tests::{original_flux, original_sd3};
use pollster::block_on;
use safetensors::Dtype;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn golden(folder: &str) -> PathBuf {
    repository().join("tests/golden").join(folder)
}

fn open(base: &Path, overrides: Value) -> Result<ModelFiles> {
    block_on(ModelFiles::open_path(base, &OpenOptions { overrides, ..OpenOptions::default() }))
}

fn load(files: &ModelFiles) -> Result<Pipeline> {
    let options = LoadOptions { products: Some(Products::F32), ..LoadOptions::new(Device::Cpu) };
    block_on(Pipeline::load(files, &options, &mut Unwatched, &CancelToken::default()))
}

fn picture(files: &ModelFiles) -> Vec<u8> {
    let pipeline = load(files).unwrap();
    let mut request = Request::new("a red apple", Some("blue"), 3, 1);
    request.width = Some(32);
    request.height = Some(32);
    request.steps = Some(2);
    let pictures = block_on(pipeline.generate(&request, &mut Unwatched, &CancelToken::default())).unwrap();
    pictures[0].image.rgb8.clone()
}

/// The one line that says why a model is refused.
fn refusal(files: Result<ModelFiles>) -> String {
    let text = match files.and_then(|files| load(&files)) {
        Ok(_) => panic!("the model loads"),
        Err(error) => error.to_string(),
    };
    assert!(!text.contains('\n'), "{text}");
    text
}

/// Copies files of a folder that have none of these names.
fn copy(from: &Path, to: &Path, without: &[&str]) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if without.iter().any(|without| name == *without) {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(&name), without);
        } else {
            std::fs::copy(entry.path(), to.join(&name)).unwrap();
        }
    }
}

/// The tensors that begin with a prefix, without it.
fn below(tensors: &Tensors, prefix: &str) -> Tensors {
    let own = tensors.iter().filter_map(|(name, stored)| Some((name.strip_prefix(prefix)?, stored)));
    own.map(|(name, stored)| (name.to_owned(), stored.clone())).collect()
}

/// What the shapes of the tiny models do not show, because they are tinier than their families.
fn tiny(name: &str) -> Value {
    let transformer = match name {
        "flux-schnell" => json!({"axes_dims_rope": [4, 6, 6]}),
        _ => json!({"attention_head_dim": 16, "num_attention_heads": 3}),
    };
    let mut tiny = json!({
        "transformer": transformer,
        "vae": {"norm_num_groups": 4},
        "text_encoder": {"num_attention_heads": 4},
    });
    if name != "flux-schnell" {
        tiny["text_encoder_2"] = json!({"num_attention_heads": 5});
    }
    tiny
}

/// A model of ComfyUI's files side by side, with the vocabularies in folders.
fn side_by_side(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let base = golden(name);
    let is_flux = name == "flux-schnell";
    let tensors = if is_flux { original_flux::original(&base) } else { original_sd3::original(&base) }.unwrap();
    let mut parts = vec![
        ("denoiser", "model.diffusion_model."),
        ("clip_l", "text_encoders.clip_l.transformer."),
        ("t5xxl", "text_encoders.t5xxl.transformer."),
        ("ae", if is_flux { "vae." } else { "first_stage_model." }),
    ];
    if !is_flux {
        parts.push(("clip_g", "text_encoders.clip_g.transformer."));
    }
    for (file, prefix) in parts {
        let path = folder.path().join(format!("{file}.safetensors"));
        write_safetensors(&below(&tensors, prefix), &path).unwrap();
    }
    for tokenizer in ["tokenizer", "tokenizer_2", "tokenizer_3"].map(|name| (base.join(name), name)) {
        if tokenizer.0.is_dir() {
            copy(&tokenizer.0, &folder.path().join(tokenizer.1), &[]);
        }
    }
    copy(&base.join("scheduler"), &folder.path().join("scheduler"), &[]);
    folder
}

#[test]
fn files_side_by_side_are_a_model() {
    for name in ["flux-schnell", "sd3"] {
        let expected = picture(&open(&golden(name), Value::Null).unwrap());
        let folder = side_by_side(name);
        assert_eq!(picture(&open(folder.path(), tiny(name)).unwrap()), expected, "{name}");
        // The denoiser in GGUF.
        let denoiser = folder.path().join("denoiser.safetensors");
        write_gguf(&denoiser, None, &folder.path().join("denoiser.gguf")).unwrap();
        std::fs::remove_file(&denoiser).unwrap();
        assert_eq!(picture(&open(folder.path(), tiny(name)).unwrap()), expected, "{name} in GGUF");
    }
}

#[test]
fn folders_that_are_named_for_components_are_a_model() {
    for name in ["flux-schnell", "sd35-medium"] {
        let folder = tempfile::tempdir().unwrap();
        copy(&golden(name), folder.path(), &["model_index.json", "cases"]);
        let expected = picture(&open(&golden(name), Value::Null).unwrap());
        assert_eq!(picture(&open(folder.path(), Value::Null).unwrap()), expected, "{name}");
        std::fs::copy(
            golden("taef1/diffusion_pytorch_model.safetensors"),
            folder.path().join("transformer/b.safetensors"),
        )
        .unwrap();
        let text = refusal(open(folder.path(), Value::Null));
        assert!(text.ends_with("transformer: 2 checkpoints, expected one"), "{text}");
    }
}

#[test]
fn files_that_are_no_model_together_are_named() {
    let folder = side_by_side("flux-schnell");
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(at("ae.safetensors"), at("vae-2.safetensors")).unwrap();
    let text = refusal(open(folder.path(), tiny("flux-schnell")));
    assert!(
        text.ends_with("vae-2.safetensors: another vae beside one, expected one file for each component"),
        "{text}"
    );
    std::fs::remove_file(at("vae-2.safetensors")).unwrap();

    std::fs::copy(at("denoiser.safetensors"), at("fine-tuned.safetensors")).unwrap();
    let text = refusal(open(folder.path(), tiny("flux-schnell")));
    assert!(text.ends_with("no model_index.json, but 5 checkpoints, 2 of them models: open one of them"), "{text}");
    std::fs::remove_file(at("fine-tuned.safetensors")).unwrap();

    std::fs::copy(golden("rng/rng.safetensors"), at("odd.safetensors")).unwrap();
    let text = refusal(open(folder.path(), tiny("flux-schnell")));
    assert!(text.ends_with("odd.safetensors: no component of FLUX.1, the model beside it"), "{text}");
    std::fs::remove_file(at("odd.safetensors")).unwrap();

    std::fs::remove_file(at("denoiser.safetensors")).unwrap();
    let text = refusal(open(folder.path(), tiny("flux-schnell")));
    assert!(text.ends_with("no model_index.json, and none of 3 checkpoints holds a denoiser"), "{text}");
}

#[test]
fn components_that_are_missing_are_named() {
    let folder = side_by_side("flux-schnell");
    for name in ["ae.safetensors", "t5xxl.safetensors"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    let axes = json!({"transformer": {"axes_dims_rope": [4, 6, 6]}});
    let text = refusal(open(folder.path(), axes));
    let expected = "this model has no vae (nor text_encoder_2); add --component vae=PATH";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn encoders_of_other_models_are_refused_before_anything_is_loaded() {
    let with = |name: &str, folder: PathBuf| {
        let mut options = OpenOptions::default();
        options.components.insert(name.into(), ComponentSource::open_path(&folder).unwrap());
        let files = block_on(ModelFiles::open_path(&golden("sd3"), &options)).unwrap();
        let refused = Pipeline::new(&files, &LoadOptions::new(Device::Cpu));
        refused.err().unwrap().to_string()
    };
    let text = with("text_encoder_2", golden("sdxl").join("text_encoder"));
    let expected = "transformer/config.json: field pooled_projection_dim: 72, but the pooled states of text_encoder and \
                    text_encoder_2 have 64";
    assert!(text.ends_with(expected), "{text}");
    let text = with("text_encoder_3", golden("flux-dev").join("text_encoder_2"));
    assert!(text.ends_with("config.json: field d_model: 64, but the denoiser takes text states of 80"), "{text}");
    let text = with("vae", golden("sd15").join("vae"));
    assert!(text.ends_with("field in_channels: 16 channels, but the autoencoder has 4"), "{text}");
}

#[test]
fn numbers_of_eight_bits_that_are_none_are_named_with_their_file() {
    for (dtype, bad) in [(Dtype::F8_E4M3, 0x7f), (Dtype::F8_E5M2, 0x7c)] {
        let folder = side_by_side("flux-schnell");
        let path = folder.path().join("denoiser.safetensors");
        let tensors = original_flux::original(&golden("flux-schnell")).unwrap();
        let mut tensors = below(&tensors, "model.diffusion_model.");
        let one = tensors.get_mut("double_blocks.0.img_mlp.0.weight").unwrap();
        one.bytes = vec![0x38; one.bytes.len() / 2];
        one.dtype = dtype;
        one.bytes[5] = bad;
        write_safetensors(&tensors, &path).unwrap();
        let text = refusal(open(folder.path(), tiny("flux-schnell")));
        assert!(text.contains("denoiser.safetensors: tensor "), "{text}");
        assert!(text.ends_with("holds a value that is not a finite number"), "{text}");
    }
}
