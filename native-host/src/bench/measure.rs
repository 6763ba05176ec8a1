//! One measurement, in this process: build the architecture, run it once to warm up, then time it.

use super::planned::planned;
use super::{Architecture, KernelTime, Kind, Measurement, median, peak_bytes};
use crate::args::{BenchArgs, DtypeArg};
use anyhow::{Result, ensure};
use easel_host::model::{LoadOptions, LoadedModel, gpu_options};
use easel_host::names::{self, Place};
use easel_inference::models::clip::{Clip, ClipConfig};
use easel_inference::models::clip_text::{ClipText, ClipTextConfig};
use easel_inference::models::mmdit::{Mmdit, MmditConditioning, MmditConfig};
use easel_inference::models::sam::{Sam, SamConfig};
use easel_inference::models::unet::{AddedConditioning, UNet, UNetConditioning, UNetConfig};
use easel_inference::models::vae::Autoencoder;
use easel_inference::pipeline::{CancelToken, Keeping, Request, Unwatched};
use easel_inference::tensor::{Epilogue, GpuOptions, Products, Replay, multiply_adds};
use easel_inference::weights::Weights;
use easel_inference::{Device, Tensor};
use pollster::block_on;
use std::cell::RefCell;
use std::time::Instant;

/// Tokens of a prompt: the window of every text encoder here.
const TOKENS: usize = 77;
/// Tokens of T5, where there is one.
const T5_TOKENS: usize = 256;

/// The measured work.
pub(super) enum Subject {
    /// A network, recorded once and replayed as in the pipeline.
    Network { inputs: Vec<Tensor>, forward: Forward, replay: Option<Box<RefCell<Replay>>> },
    /// From the prompt to the picture.
    Pipeline { model: Box<LoadedModel>, request: Box<Request> },
}

pub(super) type Forward = Box<dyn Fn(&[Tensor]) -> easel_inference::Result<Tensor> + Send + Sync>;

impl Subject {
    /// One run. It returns numbers that depend on the whole result, so that a device must complete all work.
    fn run(&self) -> Result<Vec<f32>> {
        match self {
            Self::Network { inputs, forward, replay: None } => Ok(block_on(forward(inputs)?.to_vec())?),
            Self::Network { inputs, forward, replay: Some(replay) } => {
                let inputs: Vec<&Tensor> = inputs.iter().collect();
                Ok(block_on(replay.borrow_mut().run(&inputs, forward)?.to_vec())?)
            }
            Self::Pipeline { model, request } => {
                let pictures = model.generate(request, &mut Unwatched, &CancelToken::default())?;
                Ok(pictures.iter().flat_map(|picture| &picture.image.rgb8).map(|byte| f32::from(*byte)).collect())
            }
        }
    }

    /// The GPU's time by kernel; empty without a GPU or timestamps.
    fn kernels(&self, device: &Device) -> Result<Vec<KernelTime>> {
        let (Self::Network { inputs, forward, .. }, Device::Gpu(gpu)) = (self, device) else { return Ok(Vec::new()) };
        let context = gpu.context();
        if !context.capabilities().timestamps {
            return Ok(Vec::new());
        }
        let (profile, _) = block_on(context.profile(|| forward(inputs)))?;
        let times = profile.rows.iter().map(|row| KernelTime {
            kernel: row.kernel.to_owned(),
            count: row.count,
            seconds: row.time.as_secs_f64(),
            gflop: 2.0 * row.work as f64 / 1e9,
        });
        Ok(times.collect())
    }
}

/// Times one architecture.
pub(crate) fn measure(architecture: &Architecture, args: &BenchArgs) -> Result<Measurement> {
    let options = GpuOptions { cooperative: args.cooperative, ..gpu_options(args.dtype().map(Into::into)) };
    let device = block_on(Device::open(args.device.into(), &options))?;
    let batch = args.batch.unwrap_or(architecture.batch);
    ensure!(batch > 0, "batch: must be at least 1, got 0");
    let size = match architecture.kind {
        Kind::Text => 0,
        _ => args.size.unwrap_or(architecture.size),
    };
    let fits = size > 0 || architecture.kind == Kind::Text;
    ensure!(fits && size.is_multiple_of(8), "size: must be a multiple of 8, at least 8, got {size}");
    let planned_bytes = planned(architecture, args, &device, size, batch)?;
    let began = Instant::now();
    let subject = prepare(architecture, args, &device, size, batch)?;
    let load_seconds = began.elapsed().as_secs_f64();

    let work_before = multiply_adds();
    let result = subject.run()?;
    let gflop = 2.0 * (multiply_adds() - work_before) as f64 / 1e9;
    ensure!(result.iter().all(|x| x.is_finite()), "{}: the result is not finite", architecture.name);
    let mut seconds = Vec::new();
    for _ in 0..args.runs {
        let began = Instant::now();
        subject.run()?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    let middle = median(&seconds);
    let gpu_peak_bytes = match (&device, &subject) {
        (Device::Gpu(gpu), Subject::Network { .. }) => Some(gpu.context().stats().memory.peak),
        _ => None,
    };
    Ok(Measurement {
        name: architecture.name.clone(),
        runtime: "easel".into(),
        device: device.to_string(),
        dtype: args.dtype().map_or("stored", DtypeArg::name).into(),
        threads: easel_cpu::parallel::threads(),
        size,
        batch,
        runs: args.runs,
        load_seconds,
        seconds: middle,
        min_seconds: seconds.iter().copied().fold(f64::INFINITY, f64::min),
        gflop,
        gflop_per_second: gflop / middle,
        peak_bytes: peak_bytes(),
        planned_bytes,
        gpu_peak_bytes,
        kernels: subject.kernels(&device)?,
    })
}

pub(super) fn prepare(
    architecture: &Architecture,
    args: &BenchArgs,
    device: &Device,
    size: usize,
    batch: usize,
) -> Result<Subject> {
    let dtype = args.dtype().unwrap_or(DtypeArg::F32).into();
    let weights = Weights::random(dtype, device);
    // As in the pipeline: encoders use lower precision only for quantised weights.
    let products = Products::automatic(device, Some(dtype));
    let is_encoder = matches!(architecture.kind, Kind::Text | Kind::Sam | Kind::Clip);
    let products = if is_encoder { products.without_bf16() } else { products };
    let weights = weights.with_products(products);
    let latents = [batch, size / 8, size / 8];
    match architecture.kind {
        Kind::Unet => unet(architecture, &weights, device, latents),
        Kind::Mmdit => mmdit(architecture, &weights, device, latents),
        Kind::Decoder => decoder(architecture, &weights, device, latents),
        Kind::Text => text(architecture, &weights, batch),
        Kind::Sam => sam(architecture, &weights, device, batch),
        Kind::Clip => clip(architecture, &weights, device, batch),
        Kind::Product => product(&weights, device, size),
        Kind::Pipeline => pipeline(args, device, size, batch),
    }
}

fn unet(architecture: &Architecture, weights: &Weights, device: &Device, [n, h, w]: [usize; 3]) -> Result<Subject> {
    let json = &architecture.config;
    let config = UNetConfig::from_json(&architecture.name, json)?;
    let width = |field: &str| json[field].as_u64().unwrap_or_default() as usize;
    let sample = wave(&[n, h, w, width("in_channels")], device)?;
    let states = wave(&[n, TOKENS, width("cross_attention_dim")], device)?;
    let mut conditioning = UNetConditioning::default();
    if json["addition_embed_type"] == "text_time" {
        let ids = 6;
        let id_width = width("addition_time_embed_dim");
        let text_width = width("projection_class_embeddings_input_dim") - ids * id_width;
        let time_ids = vec![vec![h as f64 * 8.0, w as f64 * 8.0, 0.0, 0.0, h as f64 * 8.0, w as f64 * 8.0]; n];
        conditioning.added = Some(AddedConditioning { text_embeds: wave(&[n, text_width], device)?, time_ids });
    }
    let unet = UNet::new(weights, config)?;
    Ok(Subject::Network {
        inputs: vec![sample, unet.timestep_features(500.0, device)?],
        forward: Box::new(move |inputs| unet.forward_features(&inputs[0], &inputs[1], &states, &conditioning)),
        replay: Some(Box::default()),
    })
}

fn mmdit(architecture: &Architecture, weights: &Weights, device: &Device, [n, h, w]: [usize; 3]) -> Result<Subject> {
    let config = MmditConfig::from_json(&architecture.name, &architecture.config)?;
    let sample = wave(&[n, h, w, config.in_channels], device)?;
    let text = wave(&[n, TOKENS + T5_TOKENS, config.joint_attention_dim], device)?;
    let pooled = wave(&[n, config.pooled_projection_dim], device)?;
    let model = Mmdit::new(weights, config)?;
    let forward = move |inputs: &[Tensor]| {
        let conditioning = MmditConditioning { text: &text, pooled: &pooled, skipped_layers: &[] };
        model.forward(&inputs[0], &inputs[1], conditioning)
    };
    Ok(Subject::Network {
        inputs: vec![sample, Mmdit::timestep_features(500.0, device)?],
        forward: Box::new(forward),
        replay: Some(Box::default()),
    })
}

fn decoder(architecture: &Architecture, weights: &Weights, device: &Device, [n, h, w]: [usize; 3]) -> Result<Subject> {
    let autoencoder = Autoencoder::new(weights, &architecture.name, &architecture.config)?;
    let latents = wave(&[n, h, w, autoencoder.config().latent_channels()], device)?;
    let forward = move |inputs: &[Tensor]| autoencoder.decode(&inputs[0], None);
    Ok(Subject::Network { inputs: vec![latents], forward: Box::new(forward), replay: None })
}

fn text(architecture: &Architecture, weights: &Weights, batch: usize) -> Result<Subject> {
    let encoder = ClipText::new(weights, ClipTextConfig::from_json(&architecture.name, &architecture.config)?)?;
    let ids = ids(batch);
    let forward = move |_: &[Tensor]| Ok(encoder.forward(&ids)?.last_hidden_state);
    Ok(Subject::Network { inputs: Vec::new(), forward: Box::new(forward), replay: None })
}

fn ids(batch: usize) -> Vec<Vec<u32>> {
    (0..batch).map(|b| (0..TOKENS).map(|t| (b * 1000 + t * 37) as u32).collect()).collect()
}

fn sam(architecture: &Architecture, weights: &Weights, device: &Device, batch: usize) -> Result<Subject> {
    ensure!(batch == 1, "batch: must be 1 for {}, got {batch}", architecture.name);
    let config = SamConfig::from_json(&architecture.name, &architecture.config)?;
    let side = config.vision.image_size;
    let sam = block_on(Sam::new(weights, config))?;
    let forward = move |inputs: &[Tensor]| sam.embed(&inputs[0]);
    Ok(Subject::Network { inputs: vec![wave(&[1, side, side, 3], device)?], forward: Box::new(forward), replay: None })
}

fn clip(architecture: &Architecture, weights: &Weights, device: &Device, batch: usize) -> Result<Subject> {
    let config = ClipConfig::from_json(&architecture.name, &architecture.config)?;
    let side = config.vision.image_size;
    let clip = Clip::new(weights, config)?;
    let ids = ids(batch.div_ceil(2));
    let forward = move |inputs: &[Tensor]| {
        clip.text.forward(&ids)?;
        Ok(clip.vision.forward(&inputs[0])?.image_embeds)
    };
    Ok(Subject::Network {
        inputs: vec![wave(&[batch, side, side, 3], device)?],
        forward: Box::new(forward),
        replay: None,
    })
}

/// A product of two square matrices. Reading its first row waits for all of it, since commands run in order.
fn product(weights: &Weights, device: &Device, size: usize) -> Result<Subject> {
    let weight = weights.prepared("weight", &[size, size])?;
    let forward = move |inputs: &[Tensor]| inputs[0].linear(&weight, None, Epilogue::default())?.narrow(0, 0, 1);
    Ok(Subject::Network { inputs: vec![wave(&[size, size], device)?], forward: Box::new(forward), replay: None })
}

fn pipeline(args: &BenchArgs, device: &Device, size: usize, batch: usize) -> Result<Subject> {
    let request = request(args, size, batch);
    let options = load_options(args, device, &request);
    let place = place(args)?;
    let model = LoadedModel::load("bench", &place, &options, &mut Unwatched, &CancelToken::default())?;
    Ok(Subject::Pipeline { model: Box::new(model), request: Box::new(request) })
}

/// The model of a pipeline.
pub(super) fn place(args: &BenchArgs) -> Result<Place> {
    Ok(args.model.as_deref().map(names::resolve).transpose()?.unwrap_or(Place::Embedded))
}

pub(super) fn load_options(args: &BenchArgs, device: &Device, request: &Request) -> LoadOptions {
    let keeping = Some(Keeping::asked(args.low_memory, args.offload).unwrap_or(Keeping::All));
    let dtype = args.dtype().map(Into::into);
    LoadOptions { dtype, keeping, request: Some(request.clone()), ..LoadOptions::new(device.clone()) }
}

pub(super) fn request(args: &BenchArgs, size: usize, batch: usize) -> Request {
    Request {
        width: Some(size),
        height: Some(size),
        steps: Some(args.steps),
        batch_size: batch,
        ..Request::new("a red apple", None, 1, batch)
    }
}

/// Smooth artificial input between -1 and 1.
fn wave(shape: &[usize], device: &Device) -> Result<Tensor> {
    let data = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin()).collect();
    Ok(Tensor::from_vec(data, shape, device)?.cast(device.float())?)
}
