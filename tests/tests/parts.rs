//! A model with components in separate files and folders draws the same picture as from one folder, and errors name
//! what is missing or misplaced.

use easel_inference::families::{ComponentSource, ModelFiles, OpenOptions};
use easel_inference::pipeline::{CancelToken, Description, LoadOptions, Pipeline, Request, Unwatched};
use easel_inference::sampling::SchedulerConfig;
use easel_inference::tensor::Products;
use easel_inference::{Device, Result};
use easel_tests::files::repository;
use easel_tests::original::{Stored, Tensors, original, write_gguf, write_safetensors};
use easel_tests::{original_flux, original_sd3};
use flate2::read::ZlibDecoder;
use pollster::block_on;
use safetensors::Dtype;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn golden(folder: &str) -> PathBuf {
    repository().join("tests/golden").join(folder)
}

/// Opens a model with components from separate files or folders.
fn open(base: &Path, components: &[(&str, PathBuf)], overrides: Value) -> Result<ModelFiles> {
    let mut options = OpenOptions { overrides, ..OpenOptions::default() };
    for (name, path) in components {
        options.components.insert((*name).to_owned(), ComponentSource::open_path(path)?);
    }
    block_on(ModelFiles::open_path(base, &options))
}

fn message(result: Result<ModelFiles>) -> String {
    result.err().unwrap().to_string()
}

/// Draws with the schedule of the golden folder, since single files have none.
fn picture(files: &ModelFiles, folder: &ModelFiles) -> Vec<u8> {
    let options = LoadOptions { products: Some(Products::F32), ..LoadOptions::new(Device::Cpu) };
    let mut watcher = Unwatched;
    let cancel = CancelToken::default();
    let mut pipeline = block_on(Pipeline::load(files, &options, &mut watcher, &cancel)).unwrap();
    pipeline.set_scheduler(SchedulerConfig::from_json(folder.scheduler()).unwrap());
    let mut request = Request::new("a red apple", Some("blue"), 3, 1);
    request.width = Some(32);
    request.height = Some(32);
    request.steps = Some(2);
    request.guidance_scale = Some(3.0);
    let pictures = block_on(pipeline.generate(&request, &mut watcher, &cancel)).unwrap();
    pictures[0].image.rgb8.clone()
}

/// Parts of a golden model under the original names, each in a separate file.
struct Parts {
    folder: tempfile::TempDir,
    tensors: Tensors,
}

impl Parts {
    fn of(model: &str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), tensors: original(&golden(model)).unwrap() }
    }

    /// A file with the tensors under a prefix, which is removed.
    fn bare(&self, prefix: &str) -> PathBuf {
        let own = self.tensors.iter().filter_map(|(name, stored)| Some((name.strip_prefix(prefix)?, stored)));
        self.write(prefix, &own.map(|(name, stored)| (name.to_owned(), stored.clone())).collect())
    }

    /// A file with all tensors.
    fn whole(&self) -> PathBuf {
        self.write("whole", &self.tensors)
    }

    fn write(&self, name: &str, tensors: &Tensors) -> PathBuf {
        let path = self.folder.path().join(format!("{name}.safetensors"));
        write_safetensors(tensors, &path).unwrap();
        path
    }
}

const DENOISER: &str = "model.diffusion_model.";
const AUTOENCODER: &str = "first_stage_model.";

#[test]
fn stable_diffusion_from_its_parts() {
    let parts = Parts::of("sd15");
    let base = golden("sd15");
    let folder = open(&base, &[], Value::Null).unwrap();
    let expected = picture(&folder, &folder);
    let denoiser = parts.bare(DENOISER);
    let autoencoder = parts.bare(AUTOENCODER);
    let encoder = parts.bare("cond_stage_model.transformer.");
    let own_encoder = ("text_encoder", base.join("text_encoder"));
    let own_tokenizer = ("tokenizer", base.join("tokenizer"));
    let own_autoencoder = ("vae", base.join("vae/diffusion_pytorch_model.safetensors"));

    // Based on a file with only the denoiser, with overrides for fields that shapes do not show.
    let tiny = json!({"unet": {"attention_head_dim": 2, "norm_num_groups": 8}, "vae": {"norm_num_groups": 4}});
    let files = open(&denoiser, &[own_encoder.clone(), own_tokenizer, own_autoencoder], tiny).unwrap();
    assert_eq!(picture(&files, &folder), expected, "a denoiser, an autoencoder and folders");

    // Based on the folder, with its configurations.
    let components = [("unet", denoiser), ("vae", autoencoder), ("text_encoder", encoder)];
    let files = open(&base, &components, Value::Null).unwrap();
    assert_eq!(picture(&files, &folder), expected, "a folder with three files");
    let files = open(&base, &[("unet", parts.whole()), own_encoder], Value::Null).unwrap();
    assert_eq!(picture(&files, &folder), expected, "a denoiser out of a whole checkpoint");
}

#[test]
fn sdxl_from_its_parts() {
    let parts = Parts::of("sdxl");
    let base = golden("sdxl");
    let folder = open(&base, &[], Value::Null).unwrap();
    let second = parts.bare("conditioner.embedders.1.model.");
    let components = [("unet", parts.bare(DENOISER)), ("text_encoder_2", second)];
    let files = open(&base, &components, Value::Null).unwrap();
    assert_eq!(picture(&files, &folder), picture(&folder, &folder));
    let alone = open(&parts.bare(DENOISER), &[], Value::Null).unwrap();
    assert_eq!(alone.family().name(), "Stable Diffusion XL");
    assert_eq!(alone.model_index()["_class_name"], "StableDiffusionXLPipeline");
}

/// Fields that cannot be detected for the tiny models, because they are smaller than their families' models.
fn tiny_sd3() -> Value {
    json!({
        "transformer": {"attention_head_dim": 16, "num_attention_heads": 3},
        "vae": {"norm_num_groups": 4},
        "text_encoder": {"num_attention_heads": 4},
        "text_encoder_2": {"num_attention_heads": 5},
    })
}

#[test]
fn stable_diffusion_3_from_one_file_and_from_its_parts() {
    for name in ["sd3", "sd35-medium", "sd35-large"] {
        let base = golden(name);
        let folder = open(&base, &[], Value::Null).unwrap();
        let expected = picture(&folder, &folder);
        let parts = Parts { folder: tempfile::tempdir().unwrap(), tensors: original_sd3::original(&base).unwrap() };
        let tokenizers = ["tokenizer", "tokenizer_2", "tokenizer_3"].map(|name| (name, base.join(name)));

        let whole = open(&parts.whole(), &tokenizers, tiny_sd3()).unwrap();
        assert_eq!(whole.family().name(), "Stable Diffusion 3");
        assert_eq!(picture(&whole, &folder), expected, "{name} from one file");

        let encoders = [("text_encoder", "clip_l"), ("text_encoder_2", "clip_g"), ("text_encoder_3", "t5xxl")];
        let file = |(component, part)| (component, parts.bare(&format!("text_encoders.{part}.transformer.")));
        let mut components: Vec<_> = encoders.map(file).into_iter().chain(tokenizers).collect();
        components.push(("vae", parts.bare(AUTOENCODER)));
        let files = open(&parts.bare(DENOISER), &components, tiny_sd3()).unwrap();
        assert_eq!(picture(&files, &folder), expected, "{name} from five files");

        let own = base.join("transformer/diffusion_pytorch_model.safetensors");
        let files = open(&own, &components, tiny_sd3()).unwrap();
        assert_eq!(picture(&files, &folder), expected, "{name} from a denoiser in the layout of diffusers");
    }
}

#[test]
fn large_turbo_is_told_by_its_name() {
    let parts =
        Parts { folder: tempfile::tempdir().unwrap(), tensors: original_sd3::original(&golden("sd35-large")).unwrap() };
    for (name, steps, guidance_scale) in [("sd3.5_large", 28, 4.5), ("sd3.5_large_turbo", 4, 0.0)] {
        let files = open(&parts.write(name, &parts.tensors), &[], tiny_sd3()).unwrap();
        let description = Description::read(&files, None).unwrap();
        assert_eq!(
            (description.defaults().steps, description.defaults().guidance_scale),
            (steps, guidance_scale),
            "{name}"
        );
    }
}

#[test]
fn stable_diffusion_3_works_without_t5_but_not_without_its_vocabulary() {
    let base = golden("sd3");
    let folder = open(&base, &[], Value::Null).unwrap();
    let mut tensors = original_sd3::original(&base).unwrap();
    let parts = Parts { folder: tempfile::tempdir().unwrap(), tensors: tensors.clone() };
    let tokenizers = ["tokenizer", "tokenizer_2"].map(|name| (name, base.join(name)));
    let files = open(&parts.whole(), &tokenizers, tiny_sd3()).unwrap();
    let options = LoadOptions::new(Device::Cpu);
    let mut watcher = Unwatched;
    let cancel = CancelToken::default();
    let loaded = block_on(Pipeline::load(&files, &options, &mut watcher, &cancel));
    let text = loaded.err().unwrap().to_string();
    let expected = "the vocabulary of text_encoder_3 is missing (it has 576 tokens, and T5's, which is built in, 32100); add \
                    --component tokenizer_3=PATH, a folder with tokenizer.json";
    assert!(text.ends_with(expected), "{text}");

    tensors.retain(|name, _| !name.starts_with("text_encoders.t5xxl."));
    let parts = Parts { tensors, ..parts };
    let files = open(&parts.whole(), &tokenizers, tiny_sd3()).unwrap();
    let mut without = folder.clone();
    without.leave_out("text_encoder_3");
    assert_eq!(picture(&files, &folder), picture(&without, &folder));
    assert_ne!(picture(&files, &folder), picture(&folder, &folder));
}

/// What the shapes of the tiny models do not show, because they are tinier than their families.
fn tiny_flux() -> Value {
    json!({
        "transformer": {"axes_dims_rope": [4, 6, 6]},
        "vae": {"norm_num_groups": 4},
        "text_encoder": {"num_attention_heads": 4},
    })
}

/// The tokenizers of a FLUX folder as components.
fn flux_tokenizers(base: &Path) -> [(&'static str, PathBuf); 2] {
    ["tokenizer", "tokenizer_2"].map(|name| (name, base.join(name)))
}

#[test]
fn flux_from_one_file_and_from_its_parts() {
    for name in ["flux-schnell", "flux-dev"] {
        let base = golden(name);
        let folder = open(&base, &[], Value::Null).unwrap();
        let expected = picture(&folder, &folder);
        let parts = Parts { folder: tempfile::tempdir().unwrap(), tensors: original_flux::original(&base).unwrap() };
        let tokenizers = flux_tokenizers(&base);

        let whole = open(&parts.whole(), &tokenizers, tiny_flux()).unwrap();
        assert_eq!(whole.family().name(), "FLUX.1");
        for field in ["_class_name", "shift", "use_dynamic_shifting", "base_shift", "max_image_seq_len"] {
            assert_eq!(whole.scheduler()[field], folder.scheduler()[field], "{name}: {field}");
        }
        assert_eq!(picture(&whole, &folder), expected, "{name} from one file");

        let denoiser = parts.bare(DENOISER);
        let encoders = [("text_encoder", "clip_l"), ("text_encoder_2", "t5xxl")];
        let file = |(component, part)| (component, parts.bare(&format!("text_encoders.{part}.transformer.")));
        let mut components: Vec<_> = encoders.map(file).into_iter().chain(tokenizers).collect();
        components.push(("vae", parts.bare("vae.")));
        let files = open(&denoiser, &components, tiny_flux()).unwrap();
        assert_eq!(picture(&files, &folder), expected, "{name} from four files");

        let own = parts.write("own", &original_flux::read_all(&base.join("transformer")).unwrap());
        let files = open(&own, &components, tiny_flux()).unwrap();
        assert_eq!(picture(&files, &folder), expected, "{name} from a denoiser in the layout of diffusers");

        let t5 = original_flux::llama_cpp(&original_flux::read_all(&base.join("text_encoder_2")).unwrap()).unwrap();
        let [gguf, t5_gguf] = ["flux1.gguf", "t5.gguf"].map(|name| parts.folder.path().join(name));
        write_gguf(&denoiser, None, &gguf).unwrap();
        write_gguf(&parts.write("t5", &t5), None, &t5_gguf).unwrap();
        components[1].1 = t5_gguf;
        let files = open(&gguf, &components, tiny_flux()).unwrap();
        assert_eq!(picture(&files, &folder), expected, "{name} from GGUF files");

        // A folder with components in its place.
        let files =
            open(&base, &[components[0].clone(), ("transformer", denoiser), components[4].clone()], Value::Null);
        assert_eq!(picture(&files.unwrap(), &folder), expected, "{name} from a folder with three files");
    }
}

/// The rows of the published encoders' table, more than T5 has tokens.
const T5_ROWS: usize = 32128;

/// A folder with T5's tokenizer, from the copy that is packed into the program.
fn t5_tokenizer(folder: &Path) -> PathBuf {
    let packed = std::fs::File::open(repository().join("crates/inference/assets/t5-tokenizer.json.zlib")).unwrap();
    let tokenizer = folder.join("t5");
    std::fs::create_dir(&tokenizer).unwrap();
    let mut json = std::fs::File::create(tokenizer.join("tokenizer.json")).unwrap();
    std::io::copy(&mut ZlibDecoder::new(packed), &mut json).unwrap();
    let special = "special_tokens_map.json";
    std::fs::copy(golden("flux-schnell/tokenizer_2").join(special), tokenizer.join(special)).unwrap();
    tokenizer
}

#[test]
fn an_encoder_of_t5_without_a_tokenizer_has_the_built_in_one() {
    let base = golden("flux-schnell");
    let folder = open(&base, &[], Value::Null).unwrap();
    let parts = Parts { folder: tempfile::tempdir().unwrap(), tensors: original_flux::original(&base).unwrap() };
    let mut t5 = original_flux::read_all(&base.join("text_encoder_2")).unwrap();
    let table = t5.get_mut("shared.weight").unwrap();
    let row = table.bytes.len() / table.shape[0];
    table.bytes = table.bytes.iter().copied().cycle().take(row * T5_ROWS).collect();
    table.shape[0] = T5_ROWS;
    let [denoiser, gguf] = ["flux1.gguf", "t5.gguf"].map(|name| parts.folder.path().join(name));
    write_gguf(&parts.bare(DENOISER), None, &denoiser).unwrap();
    write_gguf(&parts.write("named", &original_flux::llama_cpp(&t5).unwrap()), None, &gguf).unwrap();
    let [clip_tokenizer, tiny_tokenizer] = flux_tokenizers(&base);
    let clip = ("text_encoder", parts.bare("text_encoders.clip_l.transformer."));
    let vae = ("vae", parts.bare("vae."));
    let given = ("tokenizer_2", t5_tokenizer(parts.folder.path()));
    for encoder in [parts.write("t5", &t5), gguf] {
        let components = [clip.clone(), ("text_encoder_2", encoder), clip_tokenizer.clone(), vae.clone()];
        let with = |tokenizer: &[(&'static str, PathBuf)]| {
            let files = open(&denoiser, &[&components[..], tokenizer].concat(), tiny_flux()).unwrap();
            picture(&files, &folder)
        };
        let built_in = with(&[]);
        assert_eq!(built_in, with(std::slice::from_ref(&given)), "{components:?}");
        assert_ne!(built_in, with(std::slice::from_ref(&tiny_tokenizer)), "{components:?}");
    }
}

#[test]
fn parts_of_other_models_are_named() {
    let base = golden("flux-dev");
    let problem = |components: &[(&str, PathBuf)], overrides: Value| -> String {
        let files = match open(&base, components, overrides) {
            Ok(files) => files,
            Err(error) => return error.to_string(),
        };
        let options = LoadOptions::new(Device::Cpu);
        let loaded = block_on(Pipeline::load(&files, &options, &mut Unwatched, &CancelToken::default()));
        loaded.err().unwrap().to_string()
    };
    let t5 = problem(&[], json!({"text_encoder_2": {"d_model": 2048}}));
    assert_eq!(t5, "text_encoder_2/config.json: field d_model: 2048, but the denoiser takes text states of 64");
    let clip = problem(&[("text_encoder", golden("sd21").join("text_encoder"))], Value::Null);
    let expected = "text_encoder/config.json: field hidden_size: 48, but the denoiser takes a pooled state of 32";
    assert!(clip.ends_with(expected), "{clip}");
    let vae = problem(&[("vae", golden("sd15").join("vae"))], Value::Null);
    let expected = "transformer/config.json: field in_channels: 64 channels (and 64 out), but the autoencoder has 16";
    assert!(vae.ends_with(expected), "{vae}");
    let sd3 = golden("sd3").join("transformer/diffusion_pytorch_model.safetensors");
    let denoiser = problem(&[("transformer", sd3)], Value::Null);
    assert!(denoiser.ends_with("diffusion_pytorch_model.safetensors: contains no transformer of FLUX.1"), "{denoiser}");
    let clip_file = golden("flux-dev").join("text_encoder/model.safetensors");
    let wrong = problem(&[("text_encoder_2", clip_file)], Value::Null);
    assert!(wrong.ends_with("model.safetensors: contains no text_encoder_2 of FLUX.1"), "{wrong}");
    // The weights of the other model of the family, with the configuration of this one.
    let schnell = golden("flux-schnell").join("transformer");
    let files = problem(&[("transformer", schnell)], json!({"transformer": {"guidance_embeds": true}}));
    assert!(files.contains("time_text_embed.guidance_embedder.linear_1."), "{files}");
    for text in [t5, clip, vae, denoiser, wrong, files] {
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn a_tiny_autoencoder_in_the_place_of_the_large_one() {
    for name in ["flux-schnell", "sd3"] {
        let base = golden(name);
        let folder = open(&base, &[], Value::Null).unwrap();
        let files = open(&base, &[("vae", golden("taef1"))], Value::Null).unwrap();
        let drawn = picture(&files, &folder);
        assert_ne!(drawn, picture(&folder, &folder), "{name}");
        let alone = golden("taef1").join("diffusion_pytorch_model.safetensors");
        let files = open(&base, &[("vae", alone)], Value::Null).unwrap();
        assert_eq!(picture(&files, &folder), drawn, "{name}: from a file without a configuration");
    }
}

#[test]
fn missing_and_misplaced_parts_are_named() {
    let parts = Parts::of("sd15");
    let base = golden("sd15");
    let denoiser = parts.bare(DENOISER);
    let with = |name: &'static str, path: PathBuf| message(open(&base, &[(name, path)], Value::Null));

    let text = with("unte", denoiser.clone());
    let expected = "components: unknown component \"unte\"; Stable Diffusion has text_encoder, unet, vae, tokenizer";
    assert_eq!(text, expected);
    let text = with("vae", denoiser.clone());
    assert!(text.ends_with(".safetensors: contains no vae of Stable Diffusion"), "{text}");
    let text = with("tokenizer", denoiser.clone());
    assert!(text.ends_with(".safetensors: is a file, but tokenizer must be a folder"), "{text}");
    let text = with("tokenizer", base.join("unet"));
    assert!(text.ends_with("unet: contains no files of a tokenizer"), "{text}");
    let text = with("vae", base.join("gone"));
    assert!(text.contains("gone: "), "{text}");

    let files = open(&denoiser, &[], Value::Null).unwrap();
    let text = files.component("vae").unwrap_err().to_string();
    let expected = "this model has no vae (nor text_encoder); add --component vae=PATH";
    assert!(text.ends_with(expected), "{text}");
    let alone = message(open(&parts.bare(AUTOENCODER), &[], Value::Null));
    assert!(alone.ends_with("only contains a vae: open the rest of the model and add --component vae=PATH"), "{alone}");
}

#[test]
fn families_that_are_not_supported_yet_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let stored = Stored { dtype: Dtype::F32, shape: vec![2], bytes: vec![0; 8] };
    let file = folder.path().join("flux2-dev.safetensors");
    write_safetensors(&Tensors::from([("double_stream_modulation_img.lin.weight".into(), stored)]), &file).unwrap();
    let text = message(open(&file, &[], Value::Null));
    assert!(text.ends_with("flux2-dev.safetensors: FLUX.2 models are not supported yet"), "{text}");
    let cases = [
        ("Flux2Pipeline", "FLUX.2 models are not supported yet"),
        ("FluxFillPipeline", "FLUX.1 Fill models are not supported yet"),
        ("FluxControlNetPipeline", "FLUX.1 Control models are not supported yet"),
        ("ZImagePipeline", "Z-Image models are not supported yet"),
        ("OddPipeline", "expected a model of FLUX.1 or Stable Diffusion 3 or Stable Diffusion XL or Stable Diffusion"),
    ];
    for (class, expected) in cases {
        let index =
            json!({"_class_name": class, "transformer": ["diffusers", "X"], "vae": ["diffusers", "AutoencoderKL"]});
        std::fs::write(folder.path().join("model_index.json"), index.to_string()).unwrap();
        let text = message(open(folder.path(), &[], Value::Null));
        assert!(text.ends_with(expected), "{text}");
    }
}
