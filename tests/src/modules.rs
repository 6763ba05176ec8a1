//! Single networks against the golden cases of kind `text`, `denoiser`, `vae_decode` and `vae_encode`.

use crate::files::{Array, load_weights, read_arrays, read_cases, read_json};
use crate::target::target;
use crate::{Check, relative_error};
use anyhow::{Context, Result, anyhow};
use easel_inference::models::clip_text::{ClipText, ClipTextConfig};
use easel_inference::models::flux::{Flux, FluxConditioning, FluxConfig};
use easel_inference::models::mmdit::{Mmdit, MmditConditioning, MmditConfig};
use easel_inference::models::t5::{T5Config, T5Encoder};
use easel_inference::models::unet::{AddedConditioning, ClassLabel, UNet, UNetConditioning, UNetConfig};
use easel_inference::models::vae::{Autoencoder, Tiling};
use easel_inference::weights::Weights;
use easel_inference::{Device, Tensor};
use pollster::block_on;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Runs every case of `dir` (with the layout of `tests/golden/sd15` or `tests/golden/taesd`) that tests a single
/// supported network, or the one of that name. If a case fails, further checks compare its intermediate results, if it has
/// any.
pub fn run(dir: &Path, only: Option<&str>) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for case in &read_cases(dir, only)? {
        let case = Case::read(dir, case)?;
        let found = match case.kind.as_str() {
            "text" => case.text(),
            "denoiser" if dir.join("unet").is_dir() => case.denoiser(),
            "denoiser" if class_of(&dir.join("transformer")) == "SD3Transformer2DModel" => case.mmdit(),
            "denoiser" if class_of(&dir.join("transformer")) == "FluxTransformer2DModel" => case.flux(),
            "vae_decode" | "vae_decode_tiled" => case.vae_decode(),
            "vae_encode" | "vae_encode_tiled" => case.vae_encode(),
            _ => continue,
        };
        checks.extend(found.with_context(|| case.label())?);
    }
    Ok(checks)
}

struct Case<'a> {
    dir: &'a Path,
    name: String,
    kind: String,
    tiled: bool,
    tolerances: Value,
    arrays: BTreeMap<String, Array>,
    device: Device,
    tiling: Option<Tiling>,
}

impl<'a> Case<'a> {
    fn read(dir: &'a Path, json: &Value) -> Result<Self> {
        let text = |field: &str| json[field].as_str().unwrap_or_default().to_owned();
        let kind = text("kind");
        let is_module = matches!(kind.as_str(), "text" | "denoiser") || kind.starts_with("vae_");
        let arrays = if is_module { read_arrays(&dir.join("cases").join(text("file")))? } else { BTreeMap::new() };
        let tolerances = target().tolerances(json).clone();
        let tiling = json["tile_latent_min_size"]
            .as_u64()
            .map(|side| Tiling::with_overlap(side as usize, json["tile_overlap_factor"].as_f64().unwrap_or(0.25)));
        let tiled = json["tiled"] == true;
        Ok(Self { dir, name: text("name"), kind, tiled, tolerances, arrays, device: target().device.clone(), tiling })
    }

    fn label(&self) -> String {
        let folder = self.dir.file_name().unwrap_or_default().to_string_lossy();
        format!("{folder}/{}", self.name)
    }

    fn array(&self, name: &str) -> Result<&Array> {
        self.arrays.get(name).ok_or_else(|| anyhow!("no tensor {name}"))
    }

    /// Compares `got`, in the layout of the file, with the case's tensor `name`.
    fn check(&self, name: &str, got: &Tensor, tolerance: f64) -> Result<Check> {
        let expected = self.array(name)?;
        let same_shape = got.shape() == expected.shape;
        let error = if same_shape { relative_error(&block_on(got.to_vec())?, &expected.data) } else { f64::INFINITY };
        Ok(Check { case: self.label(), tensor: name.to_owned(), error, tolerance: target().widened(tolerance) })
    }

    fn tolerance(&self, name: &str) -> Result<f64> {
        self.tolerances[name].as_f64().ok_or_else(|| anyhow!("no tolerance for {name}"))
    }

    /// A state of skipped layers without its own tolerance uses that of the penultimate state, or of the last one.
    fn text_tolerance(&self, name: &str) -> Result<f64> {
        let like = [name, "penultimate", "last_hidden_state"];
        like.iter().find_map(|name| self.tolerances[*name].as_f64()).ok_or_else(|| anyhow!("no tolerance for {name}"))
    }

    fn text(&self) -> Result<Vec<Check>> {
        let folder = self.dir.join(self.name.replacen("text", "text_encoder", 1));
        let ids: Vec<Vec<u32>> =
            self.array("input_ids")?.rows().map(|row| row.iter().map(|id| *id as u32).collect()).collect();
        match read_json(&folder.join("config.json"))?["model_type"].as_str() {
            Some("clip_text_model") => {}
            Some("t5") => {
                let name = "last_hidden_state";
                let got = t5(&folder, &self.device)?.forward(&ids)?;
                return Ok(vec![self.check(name, &got, self.text_tolerance(name)?)?]);
            }
            _ => return Ok(Vec::new()),
        }
        let encoder = clip_text(&folder, &self.device)?;
        let out = encoder.forward(&ids)?;
        let mut tensors = vec![
            ("penultimate", out.hidden_state(1)?.clone()),
            ("last_hidden_state", out.last_hidden_state.clone()),
            ("pooled", out.pooled.clone()),
        ];
        tensors.extend(out.text_embeds.iter().map(|embeds| ("text_embeds", embeds.clone())));
        for (skipped, name) in [(1, "clip_skip_1"), (2, "clip_skip_2")] {
            if self.arrays.contains_key(name) {
                tensors.push((name, encoder.final_layer_norm(out.hidden_state(skipped)?)?));
            }
        }
        let present = tensors.iter().filter(|(name, _)| self.arrays.contains_key(*name));
        present.map(|(name, tensor)| self.check(name, tensor, self.text_tolerance(name)?)).collect()
    }

    fn denoiser(&self) -> Result<Vec<Check>> {
        let unet = unet(&self.dir.join("unet"), &self.device)?;
        if self.arrays.contains_key("timestep_cond") {
            // diffusers' pipeline embeds the guidance scale; here the model does.
            return Ok(Vec::new());
        }
        let conditioning = self.conditioning()?;
        let sample = self.array("sample")?.channels_last(&self.device)?;
        let timestep = f64::from(self.array("timestep")?.data[0]);
        let states = self.array("encoder_hidden_states")?.tensor(&self.device)?;
        let mut probes = Vec::new();
        let out = unet.forward_probed(&sample, timestep, &states, &conditioning, &mut |name, tensor| {
            probes.push((name.to_owned(), tensor.clone()));
            Ok(())
        })?;
        let mut checks = vec![self.check("out", &out.to_channels_first()?, self.tolerance("out")?)?];
        if !checks[0].passed() {
            checks.extend(self.probes(&probes)?);
        }
        Ok(checks)
    }

    /// A joint transformer, with the conditioning of the folder's case `conditioning`.
    fn mmdit(&self) -> Result<Vec<Check>> {
        let model = mmdit(&self.dir.join("transformer"), &self.device)?;
        let arrays = read_arrays(&self.dir.join("cases/conditioning.safetensors"))?;
        let tensor = |name: &str| arrays.get(name).ok_or_else(|| anyhow!("no tensor {name}"))?.tensor(&self.device);
        let text = tensor("prompt_embeds")?;
        let pooled = tensor("pooled")?;
        let sample = self.array("sample")?.channels_last(&self.device)?;
        let time = Mmdit::timestep_features(f64::from(self.array("timestep")?.data[0]), &self.device)?;
        let conditioning = MmditConditioning { text: &text, pooled: &pooled, skipped_layers: &[] };
        let mut probes = Vec::new();
        let out = model.forward_probed(&sample, &time, conditioning, &mut |name, tensor| {
            probes.push((name.to_owned(), tensor.clone()));
            Ok(())
        })?;
        let mut checks = vec![self.check("out", &out.to_channels_first()?, self.tolerance("out")?)?];
        if !checks[0].passed() {
            checks.extend(self.probes(&probes)?);
        }
        Ok(checks)
    }

    /// A transformer of tokens, with all that it is conditioned on.
    fn flux(&self) -> Result<Vec<Check>> {
        let model = flux(&self.dir.join("transformer"), &self.device)?;
        let input = |name: &str| -> Result<Tensor> { self.array(name)?.tensor(&self.device) };
        let last = &self.array("img_ids")?.data;
        let [height, width] = [1, 2].map(|axis| last[last.len() - 3 + axis] as usize + 1);
        let tokens = input("hidden_states")?;
        let text = input("encoder_hidden_states")?;
        let pooled = input("pooled")?;
        let time = Flux::timestep_features(f64::from(self.array("timestep")?.data[0]), &self.device)?;
        let guidance = self.arrays.get("guidance").map_or(0.0, |guidance| f64::from(guidance.data[0]));
        let conditioning = FluxConditioning { text: &text, pooled: &pooled, guidance };
        let [_, words, _] = text.dims("flux")?;
        let mut probes = Vec::new();
        let out = model.forward_probed(&tokens, [height, width], &time, conditioning, &mut |name, tensor| {
            if name.starts_with("single_transformer_blocks.") {
                // Text and picture are one stream in Easel and two results in diffusers.
                probes.push((format!("{name}.0"), tensor.narrow(1, 0, words)?));
                probes.push((format!("{name}.1"), tensor.narrow(1, words, height * width)?));
            } else {
                probes.push((name.to_owned(), tensor.clone()));
            }
            Ok(())
        })?;
        let mut checks = vec![self.check("out", &out, self.tolerance("out")?)?];
        if !checks[0].passed() {
            checks.extend(self.probes(&probes)?);
        }
        Ok(checks)
    }

    /// The case's inputs besides sample, timestep and text.
    fn conditioning(&self) -> Result<UNetConditioning> {
        let wide = |row: &[f32]| -> Vec<f64> { row.iter().map(|x| f64::from(*x)).collect() };
        let mut conditioning = UNetConditioning::default();
        if let Some(text_embeds) = self.arrays.get("text_embeds") {
            let time_ids = self.array("time_ids")?.rows().map(wide).collect();
            conditioning.added = Some(AddedConditioning { text_embeds: text_embeds.tensor(&self.device)?, time_ids });
        }
        if let Some(numbers) = self.arrays.get("class_numbers") {
            conditioning.class = Some(ClassLabel::Numbers(wide(&numbers.data)));
        }
        if let Some(features) = self.arrays.get("class_features") {
            conditioning.class = Some(ClassLabel::Features(features.tensor(&self.device)?));
        }
        conditioning.guidance = self.arrays.get("guidance").map(|guidance| f64::from(guidance.data[0]));
        Ok(conditioning)
    }

    /// The case's intermediate results, in the order of computation.
    fn probes(&self, probes: &[(String, Tensor)]) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for (name, tensor) in probes {
            // The first of several results of a block is under `.0`.
            let names = [format!("probe.{name}"), format!("probe.{name}.0")];
            let Some(name) = names.iter().find(|name| self.arrays.contains_key(*name)) else { continue };
            let broadcast = self.array(name)?.shape.first() != tensor.shape().first();
            let tensor = if broadcast { tensor.repeat(self.array(name)?.shape[0])? } else { tensor.clone() };
            let tensor = if tensor.shape().len() == 4 { tensor.to_channels_first()? } else { tensor };
            checks.push(self.check(name, &tensor, self.tolerance("out")?)?);
        }
        Ok(checks)
    }

    /// The tiles of the case: its own size, or the autoencoder's.
    fn tiles(&self, vae: &Autoencoder) -> Option<Tiling> {
        self.tiling.or_else(|| self.tiled.then(|| vae.config().tiling()))
    }

    fn vae_decode(&self) -> Result<Vec<Check>> {
        let latents = self.array("latents")?.channels_last(&self.device)?;
        let vae = self.autoencoder()?;
        let decoded = vae.decode(&latents, self.tiles(&vae))?.to_channels_first()?;
        Ok(vec![self.check("decoded", &decoded, self.tolerance("decoded")?)?])
    }

    fn vae_encode(&self) -> Result<Vec<Check>> {
        let image = self.array("image")?.channels_last(&self.device)?;
        let vae = self.autoencoder()?;
        let encoded = vae.encode(&image, self.tiles(&vae))?;
        let mean = encoded.mean.to_channels_first()?;
        let Some(log_variance) = encoded.log_variance else {
            return Ok(vec![self.check("latents", &mean, self.tolerance("latents")?)?]);
        };
        let log_variance = log_variance.to_channels_first()?;
        Ok(vec![
            self.check("mean", &mean, self.tolerance("mean")?)?,
            self.check("logvar", &log_variance, self.tolerance("logvar")?)?,
        ])
    }

    fn autoencoder(&self) -> Result<Autoencoder> {
        let inside = self.dir.join("vae");
        autoencoder(if inside.is_dir() { &inside } else { self.dir }, &self.device)
    }
}

/// The class of the network in a folder.
fn class_of(folder: &Path) -> String {
    let config = read_json(&folder.join("config.json")).unwrap_or_default();
    config["_class_name"].as_str().unwrap_or_default().to_owned()
}

/// The network of a folder, from its configuration and its weights.
fn network<C, N>(
    folder: &Path,
    device: &Device,
    configure: fn(&str, &Value) -> easel_inference::Result<C>,
    build: fn(&Weights, C) -> easel_inference::Result<N>,
) -> Result<N> {
    let file = folder.join("config.json");
    let config = configure(&file.display().to_string(), &read_json(&file)?)?;
    Ok(build(&load_weights(folder, device)?, config)?)
}

/// The T5 encoder of a folder.
pub fn t5(folder: &Path, device: &Device) -> Result<T5Encoder> {
    network(folder, device, T5Config::from_json, T5Encoder::new)
}

/// The joint transformer of a folder.
pub fn mmdit(folder: &Path, device: &Device) -> Result<Mmdit> {
    network(folder, device, MmditConfig::from_json, Mmdit::new)
}

/// The FLUX transformer of a folder.
pub fn flux(folder: &Path, device: &Device) -> Result<Flux> {
    network(folder, device, FluxConfig::from_json, Flux::new)
}

/// The CLIP text encoder of a folder.
pub fn clip_text(folder: &Path, device: &Device) -> Result<ClipText> {
    network(folder, device, ClipTextConfig::from_json, ClipText::new)
}

/// The UNet of a folder.
pub fn unet(folder: &Path, device: &Device) -> Result<UNet> {
    network(folder, device, UNetConfig::from_json, UNet::new)
}

/// The autoencoder of a folder.
pub fn autoencoder(folder: &Path, device: &Device) -> Result<Autoencoder> {
    let file = folder.join("config.json");
    Ok(Autoencoder::new(&load_weights(folder, device)?, &file.display().to_string(), &read_json(&file)?)?)
}
