//! Whole pipelines against the golden cases of kind `*Pipeline`: initial latents, every step, and the picture.

use crate::files::{Array, read_arrays, read_cases};
use crate::target::target;
use crate::{Check, relative_error};
use anyhow::{Context, Result, anyhow, bail};
use easel_inference::Tensor;
use easel_inference::families::{ComponentSource, ModelFiles, OpenOptions};
use easel_inference::pipeline::{
    CancelToken, InitImage, LoadOptions, Pipeline, Probe, Prompt, PromptOptions, Request, SizeConditioning, SkipLayers,
    Watcher,
};
use easel_inference::sampling::SchedulerConfig;
use easel_inference::tensor::Products;
use easel_picture::Image;
use pollster::block_on;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Runs every pipeline case of `dir` (with the layout of `tests/golden/sd15` or `tests/golden/flow-pictures`), or the one of
/// that name.
pub fn run(dir: &Path, only: Option<&str>) -> Result<Vec<Check>> {
    let options = LoadOptions { products: Some(Products::F32), ..LoadOptions::new(target().device.clone()) };
    let mut loaded: Option<Loaded> = None;
    let mut checks = Vec::new();
    for case in read_cases(dir, only)?.iter().filter(|case| is_pipeline(case)) {
        let name = case["name"].as_str().unwrap_or_default();
        let place = Place::of(case, dir);
        let mut model = match loaded.take().filter(|loaded| loaded.place == place) {
            Some(model) => model,
            None => Loaded::open(place, &options)?,
        };
        let mut smaller = without(&model.files, case).map(|files| load(&files, &options)).transpose()?;
        let pipeline = smaller.as_mut().unwrap_or(&mut model.pipeline);
        checks.extend(run_case(dir, pipeline, case).with_context(|| format!("{}/{name}", dir.display()))?);
        loaded = Some(model);
    }
    Ok(checks)
}

/// Where the model of a case is: in the case's own folder, or in those beside it that the case names.
#[derive(PartialEq)]
struct Place {
    weights: PathBuf,
    /// A small autoencoder instead of the model's own.
    vae: Option<PathBuf>,
}

impl Place {
    fn of(case: &Value, dir: &Path) -> Self {
        let beside = |name: &str| Some(dir.join("..").join(case[name].as_str()?));
        Self { weights: beside("weights").unwrap_or_else(|| dir.to_owned()), vae: beside("vae") }
    }

    fn open(&self) -> Result<ModelFiles> {
        let mut options = OpenOptions::default();
        if let Some(vae) = &self.vae {
            options.components.insert("vae".into(), ComponentSource::open_path(vae)?);
        }
        Ok(block_on(ModelFiles::open_path(&self.weights, &options))?)
    }
}

/// A model in memory. The next case mostly needs the same.
struct Loaded {
    place: Place,
    files: ModelFiles,
    pipeline: Pipeline,
}

impl Loaded {
    fn open(place: Place, options: &LoadOptions) -> Result<Self> {
        let files = place.open()?;
        let pipeline = load(&files, options)?;
        Ok(Self { place, files, pipeline })
    }
}

fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Pipeline> {
    Ok(block_on(Pipeline::load(files, options, &mut Recorder::default(), &CancelToken::default()))?)
}

/// The model without the components that a case omits, if it omits any.
fn without(files: &ModelFiles, case: &Value) -> Option<ModelFiles> {
    let mut files = files.clone();
    for component in case["without"].as_array()? {
        files.leave_out(component.as_str()?);
    }
    Some(files)
}

fn is_pipeline(case: &Value) -> bool {
    case["kind"].as_str().is_some_and(|kind| kind.ends_with("Pipeline"))
}

/// Records every probed tensor.
#[derive(Default)]
struct Recorder {
    seen: Vec<(Probe, Tensor)>,
    calls: usize,
}

impl Watcher for Recorder {
    fn tensor(&mut self, probe: Probe, tensor: &Tensor) {
        if let Probe::Latents(call) = probe {
            self.calls = self.calls.max(call + 1);
        }
        self.seen.push((probe, tensor.clone()));
    }
}

fn run_case(dir: &Path, pipeline: &mut Pipeline, case: &Value) -> Result<Vec<Check>> {
    let file = case["file"].as_str().unwrap_or_default();
    let arrays = read_arrays(&dir.join("cases").join(file))?;
    pipeline.set_scheduler(scheduler(&case["scheduler"])?);
    let request = request(case, &arrays)?;
    let mut recorder = Recorder::default();
    block_on(pipeline.generate(&request, &mut recorder, &CancelToken::default()))?;

    let folder = dir.file_name().unwrap_or_default().to_string_lossy();
    let judge = Judge {
        case: format!("{folder}/{}", case["name"].as_str().unwrap_or_default()),
        tolerances: target().tolerances(case),
        arrays: &arrays,
        calls: recorder.calls,
    };
    judge.all(&recorder.seen)
}

fn scheduler(json: &Value) -> Result<SchedulerConfig> {
    let mut config = json["config"].clone();
    config["_class_name"] = json["class"].clone();
    Ok(SchedulerConfig::from_json(&config)?)
}

/// Compares the recorded tensors with the expected ones.
struct Judge<'a> {
    case: String,
    tolerances: &'a Value,
    arrays: &'a BTreeMap<String, Array>,
    calls: usize,
}

impl Judge<'_> {
    fn all(&self, seen: &[(Probe, Tensor)]) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        let last = format!("latents.{}", self.calls.saturating_sub(1));
        for (probe, tensor) in seen {
            match probe {
                Probe::InitialLatents => checks.extend(self.check("latents.init", tensor, "latents.0")?),
                Probe::Timesteps => checks.extend(self.timesteps(tensor)?),
                Probe::Latents(0) => checks.extend(self.check("latents.0", tensor, "latents.0")?),
                Probe::Latents(call) => checks.extend(self.check(&format!("latents.{call}"), tensor, &last)?),
                Probe::NoisePrediction(_) | Probe::Picture => {}
            }
        }
        if !self.arrays.contains_key(&last) {
            bail!("{} steps were made, but the case has no {last}", self.calls);
        }
        let pictures: Vec<&Tensor> = seen.iter().filter(|(p, _)| *p == Probe::Picture).map(|(_, t)| t).collect();
        checks.extend(self.pictures(&Tensor::concat(&pictures, 0)?)?);
        Ok(checks)
    }

    /// One tensor `[n, h, w, c]` against `[n, c, h, w]`, or against FLUX's tokens `[n, h / 2 * w / 2, c * 4]`.
    fn check(&self, name: &str, tensor: &Tensor, tolerance: &str) -> Result<Option<Check>> {
        let Some(expected) = self.arrays.get(name) else { return Ok(None) };
        let tolerance = self.tolerances[tolerance].as_f64().ok_or_else(|| anyhow!("no tolerance for {tolerance}"))?;
        let turned = if expected.shape.len() == 3 { tokens(tensor)? } else { tensor.to_channels_first()? };
        let error = relative_error(&block_on(turned.to_vec())?, &expected.data);
        Ok(Some(Check { case: self.case.clone(), tensor: name.into(), error, tolerance: target().widened(tolerance) }))
    }

    fn timesteps(&self, tensor: &Tensor) -> Result<Option<Check>> {
        let Some(expected) = self.arrays.get("timesteps") else { return Ok(None) };
        let got = block_on(tensor.to_vec())?;
        let error = if got.len() == expected.data.len() {
            got.iter().zip(&expected.data).fold(0.0_f64, |max, (a, b)| max.max(f64::from((a - b).abs())))
        } else {
            f64::INFINITY
        };
        // Fractional timesteps come from an interpolation in log sigma; see schedulers/cases.json.
        Ok(Some(Check { case: self.case.clone(), tensor: "timesteps".into(), error, tolerance: 1e-3 }))
    }

    /// The picture, in the case's metric and in levels of 8-bit pixels, at most 2 of difference anywhere.
    fn pictures(&self, pictures: &Tensor) -> Result<Vec<Check>> {
        let tolerance = target().levels(self.tolerances["image"].as_f64().unwrap_or(0.0));
        let float = self.check("image", pictures, "image")?;
        let expected = self.arrays.get("image").ok_or_else(|| anyhow!("no tensor image"))?;
        let got = block_on(pictures.to_channels_first()?.to_vec())?;
        let level = |x: &f32| (f64::from(*x) * 255.0).round();
        let error = got.iter().zip(&expected.data).fold(0.0_f64, |max, (a, b)| max.max((level(a) - level(b)).abs()));
        let levels = Check { case: self.case.clone(), tensor: "image (levels)".into(), error, tolerance };
        Ok(float.into_iter().chain([levels]).collect())
    }
}

/// Squares of 2x2 latents, one token each, whose numbers go by channel, row and column.
fn tokens(latents: &Tensor) -> Result<Tensor> {
    let [n, h, w, c] = latents.dims("tokens")?;
    let squares = latents.reshape(&[n, h / 2, 2, w / 2, 2, c])?.permute(&[0, 1, 3, 5, 2, 4])?;
    Ok(squares.reshape(&[n, h / 2 * w / 2, 4 * c])?)
}

/// The request for a case's arguments. An unknown argument is an error, since it would change the picture.
fn request(case: &Value, arrays: &BTreeMap<String, Array>) -> Result<Request> {
    let mut request = Request { batch_size: 1, ..Request::default() };
    let mut strength = 1.0;
    let is_flux = case["kind"].as_str().is_some_and(|kind| kind.starts_with("Flux"));
    let args = case["args"].as_object().ok_or_else(|| anyhow!("no args"))?;
    for (name, value) in args {
        let size = || value.as_u64().map(|x| x as usize).ok_or_else(|| anyhow!("{name}: {value} is not a size"));
        // FLUX's pipelines of diffusers round sizes down to whole tokens; Easel refuses those that are not.
        let side = || size().map(|size| if is_flux { size / 16 * 16 } else { size });
        let number = || value.as_f64().ok_or_else(|| anyhow!("{name}: {value} is not a number"));
        match name.as_str() {
            "prompt" | "negative_prompt" | "prompt_2" | "negative_prompt_2" | "num_images_per_prompt" => {}
            "height" => request.height = Some(side()?),
            "width" => request.width = Some(side()?),
            "num_inference_steps" => request.steps = Some(size()?),
            "guidance_scale" => request.guidance_scale = Some(number()?),
            "true_cfg_scale" => request.true_cfg_scale = Some(number()?),
            "guidance_rescale" => request.guidance_rescale = number()?,
            "eta" => request.eta = number()?,
            "strength" => strength = number()?,
            "max_sequence_length" => request.prompt_options.max_sequence_length = Some(size()?),
            "skip_guidance_layers" => skip(&mut request).layers = layers(value),
            "skip_layer_guidance_scale" => skip(&mut request).scale = number()?,
            "skip_layer_guidance_start" => skip(&mut request).start = number()?,
            "skip_layer_guidance_stop" => skip(&mut request).stop = number()?,
            "clip_skip" => request.prompt_options = PromptOptions { clip_skip: size()?, ..request.prompt_options },
            _ => size_conditioning(&mut request.sizes, name, value)?,
        }
    }
    request.prompts = prompts(case)?;
    request.batch_size = request.prompts.len();
    request.one_generator = case["seed"].is_u64();
    if let Some(picture) = arrays.get("image_u8") {
        let all_steps = case["kind"] == "LatentConsistencyModelImg2ImgPipeline";
        let mask = arrays.get("mask_u8").map(|mask| image(mask, 1)).transpose()?;
        request.init = Some(InitImage { image: image(picture, 3)?, strength, all_steps, mask });
    }
    Ok(request)
}

/// The skip-layer guidance of a request.
fn skip(request: &mut Request) -> &mut SkipLayers {
    request.skip_layers.get_or_insert_with(|| SkipLayers::new(Vec::new()))
}

fn layers(value: &Value) -> Vec<usize> {
    value.as_array().into_iter().flatten().filter_map(|layer| Some(layer.as_u64()? as usize)).collect()
}

fn size_conditioning(sizes: &mut SizeConditioning, name: &str, value: &Value) -> Result<()> {
    let pair: Vec<usize> = value.as_array().into_iter().flatten().filter_map(|x| Some(x.as_u64()? as usize)).collect();
    let pair: [usize; 2] = pair.try_into().map_err(|_| anyhow!("unknown argument {name} ({value})"))?;
    match name {
        "original_size" => sizes.original_size = Some(pair),
        "target_size" => sizes.target_size = Some(pair),
        "crops_coords_top_left" => sizes.crop_top_left = pair,
        "negative_original_size" => sizes.negative_original_size = Some(pair),
        "negative_target_size" => sizes.negative_target_size = Some(pair),
        "negative_crops_coords_top_left" => sizes.negative_crop_top_left = pair,
        _ => bail!("unknown argument {name}"),
    }
    Ok(())
}

/// One prompt per picture; each is repeated `num_images_per_prompt` times in a row.
fn prompts(case: &Value) -> Result<Vec<Prompt>> {
    let args = &case["args"];
    let texts = texts(&args["prompt"]);
    let per_prompt = args["num_images_per_prompt"].as_u64().unwrap_or(1) as usize;
    let nth = |name: &str, k: usize| -> Option<String> {
        let list = self::texts(&args[name]);
        if list.len() == 1 { list.into_iter().next() } else { list.into_iter().nth(k) }
    };
    let seeds: Vec<u64> = match &case["seed"] {
        Value::Array(seeds) => seeds.iter().filter_map(Value::as_u64).collect(),
        seed => vec![seed.as_u64().ok_or_else(|| anyhow!("no seed"))?; texts.len() * per_prompt],
    };
    if seeds.len() != texts.len() * per_prompt {
        bail!("{} seeds for {} pictures", seeds.len(), texts.len() * per_prompt);
    }
    let prompt = |(i, seed): (usize, u64)| {
        let k = i / per_prompt;
        Prompt {
            text: texts[k].clone(),
            text_2: nth("prompt_2", k),
            negative: nth("negative_prompt", k),
            negative_2: nth("negative_prompt_2", k),
            seed,
        }
    };
    Ok(seeds.into_iter().enumerate().map(prompt).collect())
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().filter_map(|x| Some(x.as_str()?.to_owned())).collect(),
        value => value.as_str().map(str::to_owned).into_iter().collect(),
    }
}

/// A picture `[h, w, 3]` or a mask `[h, w]`.
fn image(array: &Array, channels: usize) -> Result<Image> {
    let [height, width] = [array.shape[0], array.shape[1]];
    let rgb8 =
        array.data.iter().flat_map(|x| std::iter::repeat_n(*x as u8, if channels == 1 { 3 } else { 1 })).collect();
    Ok(Image { width, height, rgb8 })
}
