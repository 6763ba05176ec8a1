//! One model in several layouts gives the same tensors under the same names, the same configurations, and the same networks.

use easel_inference::families::{ModelFiles, OpenOptions};
use easel_inference::models::clip_text::{ClipText, ClipTextConfig};
use easel_inference::models::unet::{UNet, UNetConfig};
use easel_inference::models::vae::Autoencoder;
use easel_inference::tensor::BlockFormat;
use easel_inference::weights::ComponentFiles;
use easel_inference::{DType, Device, Error};
use easel_tests::files::repository;
use easel_tests::original::{Stored, Tensors, original, read, write_checkpoint, write_gguf, write_safetensors};
use pollster::block_on;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn golden(folder: &str) -> PathBuf {
    repository().join("tests/golden").join(folder)
}

fn open(path: &Path, overrides: &Value) -> ModelFiles {
    let options = OpenOptions { overrides: overrides.clone(), ..OpenOptions::default() };
    block_on(ModelFiles::open_path(path, &options)).unwrap()
}

/// The folder, the safetensors file, the checkpoint and the GGUF file of one model.
fn layouts(folder: &str, overrides: &Value) -> [ModelFiles; 4] {
    let tensors = original(&golden(folder)).unwrap();
    let files = tempfile::tempdir().unwrap();
    let [safetensors, ckpt, gguf] =
        ["model.safetensors", "model.ckpt", "model.gguf"].map(|name| files.path().join(name));
    write_safetensors(&tensors, &safetensors).unwrap();
    write_checkpoint(&tensors, &ckpt).unwrap();
    write_gguf(&safetensors, None, &gguf).unwrap();
    // Open files outlive their names.
    let [safetensors, ckpt, gguf] = [safetensors, ckpt, gguf].map(|path| open(&path, overrides));
    [open(&golden(folder), &Value::Null), safetensors, ckpt, gguf]
}

/// Names, types and bits of all weights.
fn weights(component: &ComponentFiles) -> BTreeMap<String, (String, Vec<usize>, Vec<u32>)> {
    let weights = block_on(component.weights(&Device::Cpu, None)).unwrap();
    let mut all = BTreeMap::new();
    for (name, view) in component.tensors.iter().filter(|(_, view)| view.dtype().weight_type().is_some()) {
        let tensor = match *view.shape() {
            [o, i, kh, kw] => weights.conv(name, [o, i, kh, kw]),
            ref shape => weights.get(name, shape),
        };
        let tensor = tensor.unwrap();
        let bits = block_on(tensor.to_vec()).unwrap().into_iter().map(f32::to_bits).collect();
        all.insert(name.to_owned(), (format!("{:?}", tensor.dtype()), view.shape().to_vec(), bits));
    }
    weights.finish(|_| false).unwrap();
    all
}

/// Checks that detected fields equal the folder's, where it has them.
fn compare_documents(what: &str, folder: &Value, detected: &Value) {
    let folder = folder.as_object().unwrap();
    let detected = detected.as_object().unwrap();
    let common: Vec<_> = detected.iter().filter(|(field, _)| folder.contains_key(*field)).collect();
    assert!(common.len() >= 5, "{what}: only {} fields in common", common.len());
    for (field, value) in common {
        // The size of the training pictures, which differs in the tiny models.
        if field != "sample_size" {
            assert_eq!(*value, folder[field], "{what}: {field}");
        }
    }
}

fn build(model: &ModelFiles) {
    for (component, files) in model.components() {
        let weights = block_on(files.weights(&Device::Cpu, None)).unwrap();
        let file = &files.config_file;
        let json = &files.config;
        match component {
            "unet" => drop(UNet::new(&weights, UNetConfig::from_json(file, json).unwrap()).unwrap()),
            "vae" => drop(Autoencoder::new(&weights, file, json).unwrap()),
            _ => drop(ClipText::new(&weights, ClipTextConfig::from_json(file, json).unwrap()).unwrap()),
        }
    }
}

fn check(folder: &str, overrides: &Value, components: usize) {
    let [reference, safetensors, ckpt, gguf] = layouts(folder, overrides);
    assert_eq!(reference.components().count(), components);
    build(&reference);
    for model in [&safetensors, &ckpt, &gguf] {
        assert_eq!(model.components().count(), components);
        for (component, expected) in reference.components() {
            let got = model.component(component).unwrap();
            assert!(weights(got) == weights(expected), "{}: {component:?} differs", model.name());
            compare_documents(component, &expected.config, &got.config);
        }
        compare_documents("scheduler", reference.scheduler(), model.scheduler());
        assert_eq!(model.model_index()["_class_name"], reference.model_index()["_class_name"]);
        assert!(
            model.tokenizer("tokenizer").is_none()
                && reference.tokenizer("tokenizer").unwrap().get("merges.txt").is_some()
        );
        build(model);
    }
}

/// Fields that cannot be detected for the tiny models, because they are smaller than their families' models.
fn tiny(heads: Value, encoder_heads: usize) -> Value {
    json!({
        "unet": {"attention_head_dim": heads, "norm_num_groups": 8},
        "vae": {"norm_num_groups": 4},
        "text_encoder": {"num_attention_heads": encoder_heads},
    })
}

#[test]
fn stable_diffusion_1() {
    check("sd15", &tiny(json!(2), 4), 3);
}

#[test]
fn stable_diffusion_2() {
    check("sd21", &tiny(json!([2, 2, 4, 5]), 6), 3);
}

#[test]
fn stable_diffusion_xl() {
    let mut overrides = tiny(json!([2, 3, 4]), 4);
    overrides["text_encoder_2"] = json!({"num_attention_heads": 5});
    check("sdxl", &overrides, 4);
}

/// Matrices whose rows fill blocks stay in blocks, close to their original values; everything else is unchanged.
#[test]
fn a_quantised_file() {
    let files = tempfile::tempdir().unwrap();
    let [safetensors, gguf] = ["model.safetensors", "model.gguf"].map(|name| files.path().join(name));
    write_safetensors(&original(&golden("sd15")).unwrap(), &safetensors).unwrap();
    let overrides = tiny(json!(2), 4);
    let reference = open(&safetensors, &overrides);
    for (format, far) in [(BlockFormat::Q8_0, 0.005), (BlockFormat::Q5_0, 0.07)] {
        write_gguf(&safetensors, Some(format), &gguf).unwrap();
        let model = open(files.path().join("model.gguf").as_path(), &overrides);
        let mut in_blocks = 0;
        for (component, expected) in reference.components() {
            let expected = weights(expected);
            for (name, (dtype, shape, bits)) in weights(model.component(component).unwrap()) {
                let (kept, same_shape, same_bits) = &expected[&name];
                assert_eq!(&shape, same_shape, "{name}");
                if &dtype == kept {
                    assert!(bits == *same_bits, "{name}");
                    continue;
                }
                in_blocks += usize::from(dtype == format!("{:?}", DType::Blocks(format)));
                let numbers = |bits: &[u32]| bits.iter().map(|bits| f32::from_bits(*bits)).collect::<Vec<_>>();
                let wanted = numbers(same_bits);
                let largest = wanted.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
                let near = |(got, x): (f32, &f32)| (got - x).abs() <= far * largest;
                assert!(numbers(&bits).into_iter().zip(&wanted).all(near), "{name} in {dtype}");
            }
        }
        assert!(in_blocks > 20, "{in_blocks} matrices in {format:?}");
        build(&model);
    }
}

#[test]
fn the_embedded_model_opens_from_memory() {
    let model = open(&repository().join("models/easel-emoji"), &Value::Null);
    assert_eq!(model.components().count(), 3);
    build(&model);
}

/// Writes tensors to a file and opens it.
fn open_tensors(tensors: &Tensors, overrides: Value) -> Result<ModelFiles, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_safetensors(tensors, &path).unwrap();
    block_on(ModelFiles::open_path(&path, &OpenOptions { overrides, ..OpenOptions::default() }))
}

#[test]
fn the_prediction_type_can_be_overridden() {
    let tensors = original(&golden("sd21")).unwrap();
    let model = open_tensors(&tensors, json!({"scheduler": {"prediction_type": "epsilon"}})).unwrap();
    assert_eq!(model.scheduler()["prediction_type"], "epsilon");
    assert_eq!(model.scheduler()["_class_name"], "DDIMScheduler");
    let mut inpainting = original(&golden("sd15")).unwrap();
    let input = inpainting.get_mut("model.diffusion_model.input_blocks.0.0.weight").unwrap();
    *input = Stored { dtype: input.dtype, shape: vec![16, 9, 3, 3], bytes: vec![0; 16 * 9 * 9 * 2] };
    let model = open_tensors(&inpainting, Value::Null).unwrap();
    assert_eq!(model.get("unet").unwrap().config["in_channels"], 9);
    assert_eq!(model.model_index()["_class_name"], "StableDiffusionInpaintPipeline");
}

#[test]
fn mismatches_are_named() {
    let tensors = original(&golden("sd15")).unwrap();
    let problem = |tensors: &Tensors, overrides| open_tensors(tensors, overrides).err().unwrap();
    let mut extra = tensors.clone();
    extra.insert("control_model.x".into(), tensors["betas"].clone());
    match problem(&extra, Value::Null) {
        Error::ExtraTensors { names, .. } => assert_eq!(names, ["control_model.x"]),
        other => panic!("{other}"),
    }
    for (overrides, expected) in [
        (json!(1), "overrides: expected an object of components"),
        (json!({"unet": 1}), "overrides: unet: expected an object of fields"),
        (json!({"text_encoder_2": {}}), "overrides: the model has no text_encoder_2"),
    ] {
        assert_eq!(problem(&tensors, overrides).to_string(), expected);
    }
    let only = |prefix: &str| {
        tensors
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(n, t)| (n.clone(), t.clone()))
            .collect::<Tensors>()
    };
    let text = problem(&only("betas"), Value::Null).to_string();
    assert!(text.ends_with("expected the checkpoint of a whole model or of its denoiser"), "{text}");
    let part = only("model.diffusion_model.time_embed");
    let text = problem(&part, Value::Null).to_string();
    assert!(text.contains("cannot tell the shape of the unet: "), "{text}");
    let model = open_tensors(&only("first_stage_model."), Value::Null).unwrap();
    let text = model.component("unet").unwrap_err().to_string();
    assert!(text.contains("this model has no unet (nor text_encoder); add --component unet=PATH"), "{text}");
}

/// Splits a component into two shards with an index of this name.
fn shard(source: &Path, folder: &Path, index: &str, variant: &str) {
    let tensors = read(source).unwrap();
    let mut map = serde_json::Map::new();
    for part in 0..2 {
        let name = format!("diffusion_pytorch_model{variant}-0000{}-of-00002.safetensors", part + 1);
        let half: Tensors = tensors.iter().skip(part).step_by(2).map(|(n, t)| (n.clone(), t.clone())).collect();
        map.extend(half.keys().map(|tensor| (tensor.clone(), json!(name))));
        write_safetensors(&half, &folder.join(name)).unwrap();
    }
    std::fs::write(folder.join(index), json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
}

#[test]
fn shards_and_variants_of_a_folder() {
    let model = tempfile::tempdir().unwrap();
    let unet = model.path().join("unet");
    let source = golden("sd15").join("unet");
    std::fs::create_dir(&unet).unwrap();
    std::fs::copy(source.join("config.json"), unet.join("config.json")).unwrap();
    let weights_file = source.join("diffusion_pytorch_model.safetensors");
    std::fs::write(
        model.path().join("model_index.json"),
        json!({"unet": ["diffusers", "UNet2DConditionModel"]}).to_string(),
    )
    .unwrap();
    let expected = weights(open(&golden("sd15"), &Value::Null).component("unet").unwrap());
    let index = "diffusion_pytorch_model.safetensors.index.fp16.json";
    shard(&weights_file, &unet, index, ".fp16");
    let whole = open(model.path(), &Value::Null);
    assert!(weights(whole.component("unet").unwrap()) == expected);
    assert_eq!(whole.component("unet").unwrap().variant.as_deref(), Some("fp16"));

    let with_variant = |variant: &str| {
        let options = OpenOptions { variant: Some(variant.into()), ..OpenOptions::default() };
        block_on(ModelFiles::open_path(model.path(), &options))
    };
    assert!(with_variant("fp16").is_ok());
    let text = with_variant("bf16").err().unwrap().to_string();
    assert!(text.starts_with("variant: ") && text.ends_with("has no weights of variant \"bf16\""), "{text}");

    let problem = |json: Value| {
        std::fs::write(unet.join(index), json.to_string()).unwrap();
        block_on(ModelFiles::open_path(model.path(), &OpenOptions::default())).err().unwrap().to_string()
    };
    assert!(problem(json!({})).ends_with("no weight_map, expected one with the shard of every tensor"));
    let text = problem(json!({"weight_map": {"a": "../a.safetensors"}}));
    assert!(
        text.ends_with("tensor a is in \"../a.safetensors\", expected the name of a file beside the index"),
        "{text}"
    );
    let text = problem(json!({"weight_map": {"a": "diffusion_pytorch_model.fp16-00001-of-00002.safetensors"}}));
    assert!(
        text.ends_with("tensor a is missing from diffusion_pytorch_model.fp16-00001-of-00002.safetensors"),
        "{text}"
    );
    std::fs::write(unet.join("config.json"), "{").unwrap();
    assert!(problem(json!({})).contains("unet/config.json: not valid JSON: "));
}

#[test]
fn folders_without_a_model_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let problem = || block_on(ModelFiles::open_path(folder.path(), &OpenOptions::default())).err().unwrap().to_string();
    assert!(problem().ends_with("neither model_index.json nor a checkpoint in this folder"));
    write_safetensors(&original(&golden("sd15")).unwrap(), &folder.path().join("a.safetensors")).unwrap();
    assert_eq!(open(folder.path(), &Value::Null).components().count(), 3);
    std::fs::write(folder.path().join("b.ckpt"), "").unwrap();
    assert!(problem().contains("b.ckpt: "));
    std::fs::remove_file(folder.path().join("b.ckpt")).unwrap();
    std::fs::copy(folder.path().join("a.safetensors"), folder.path().join("b.safetensors")).unwrap();
    assert!(problem().ends_with("no model_index.json, but 2 checkpoints, 2 of them models: open one of them"));
    let index = json!({"vae": ["diffusers", "AutoencoderKL"], "safety_checker": [null, null]});
    std::fs::write(folder.path().join("model_index.json"), index.to_string()).unwrap();
    assert!(problem().contains("vae"));
    std::fs::create_dir(folder.path().join("vae")).unwrap();
    std::fs::write(folder.path().join("vae/config.json"), "{}").unwrap();
    assert!(problem().ends_with("vae: no weights (safetensors or PyTorch) in this folder"));
}
