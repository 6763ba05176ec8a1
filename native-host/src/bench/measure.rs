//! One measurement, in this process: build the architecture, run it once to warm up, then time it.

use super::{Architecture, Kind, Measurement, median, peak_bytes};
use crate::args::{BenchArgs, DtypeArg};
use anyhow::{Result, ensure};
use easel_host::embedded;
use easel_host::model::{Engine, LoadOptions, open_device};
use easel_host::names::Place;
use easel_inference::models::clip_text::{ClipText, ClipTextConfig};
use easel_inference::models::unet::{AddedConditioning, UNet, UNetConditioning, UNetConfig};
use easel_inference::models::vae::Autoencoder;
use easel_inference::pipeline::{CancelToken, Request, Unwatched};
use easel_inference::tensor::{Replay, multiply_adds};
use easel_inference::weights::Weights;
use easel_inference::{Device, Tensor};
use pollster::block_on;
use std::cell::RefCell;
use std::time::Instant;

/// Tokens of a prompt: the window of every text encoder here.
const TOKENS: usize = 77;

/// One run; returns numbers that depend on all of the result, so that nothing is left undone on a device.
type Run = Box<dyn Fn() -> Result<Vec<f32>>>;

/// Times one architecture as the options say.
pub(crate) fn measure(architecture: &Architecture, args: &BenchArgs) -> Result<Measurement> {
    let device = open_device(args.device.into(), Some(args.dtype.into()))?;
    let batch = args.batch.unwrap_or(architecture.batch);
    ensure!(batch > 0, "batch: 0 is not at least 1");
    let size = match architecture.kind {
        Kind::Text => 0,
        _ => args.size.unwrap_or(architecture.size),
    };
    let fits = size > 0 || architecture.kind == Kind::Text;
    ensure!(fits && size.is_multiple_of(8), "size: {size} is not a multiple of 8 from 8 on");
    let began = Instant::now();
    let run = prepare(architecture, args, &device, size, batch)?;
    let load_seconds = began.elapsed().as_secs_f64();

    let work_before = multiply_adds();
    let result = run()?;
    let gflop = 2.0 * (multiply_adds() - work_before) as f64 / 1e9;
    ensure!(result.iter().all(|x| x.is_finite()), "{}: the result is not finite", architecture.name);
    let mut seconds = Vec::new();
    for _ in 0..args.runs {
        let began = Instant::now();
        run()?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    let middle = median(&seconds);
    Ok(Measurement {
        name: architecture.name.clone(),
        runtime: "easel".into(),
        device: device.to_string(),
        dtype: args.dtype.name().into(),
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
    })
}

fn prepare(architecture: &Architecture, args: &BenchArgs, device: &Device, size: usize, batch: usize) -> Result<Run> {
    let weights = Weights::random(args.dtype.into(), device);
    let latents = [batch, size / 8, size / 8];
    match architecture.kind {
        Kind::Unet => unet(architecture, &weights, device, latents),
        Kind::Decoder => decoder(architecture, &weights, device, latents),
        Kind::Text => text(architecture, &weights, batch),
        Kind::Pipeline => pipeline(args.dtype, args, size, batch),
    }
}

fn unet(architecture: &Architecture, weights: &Weights, device: &Device, [n, h, w]: [usize; 3]) -> Result<Run> {
    let json = &architecture.config;
    let config = UNetConfig::from_json(&architecture.name, json)?;
    let width = |field: &str| json[field].as_u64().unwrap_or_default() as usize;
    let sample = wave(&[n, h, w, width("in_channels")], device)?;
    let states = wave(&[n, TOKENS, width("cross_attention_dim")], device)?;
    let mut conditioning = UNetConditioning::default();
    if json["addition_embed_type"] == "text_time" {
        let (ids, id_width) = (6, width("addition_time_embed_dim"));
        let text_width = width("projection_class_embeddings_input_dim") - ids * id_width;
        let time_ids = vec![vec![h as f64 * 8.0, w as f64 * 8.0, 0.0, 0.0, h as f64 * 8.0, w as f64 * 8.0]; n];
        conditioning.added = Some(AddedConditioning { text_embeds: wave(&[n, text_width], device)?, time_ids });
    }
    let unet = UNet::new(weights, config)?;
    let (device, replay) = (device.clone(), RefCell::new(Replay::default()));
    Ok(Box::new(move || {
        let time = unet.timestep_features(500.0, &device)?;
        let step = |inputs: &[Tensor]| unet.forward_features(&inputs[0], &inputs[1], &states, &conditioning);
        Ok(block_on(replay.borrow_mut().run(&[&sample, &time], step)?.to_vec())?)
    }))
}

fn decoder(architecture: &Architecture, weights: &Weights, device: &Device, [n, h, w]: [usize; 3]) -> Result<Run> {
    let autoencoder = Autoencoder::new(weights, &architecture.name, &architecture.config)?;
    let latents = wave(&[n, h, w, autoencoder.latent_channels()], device)?;
    Ok(Box::new(move || Ok(block_on(autoencoder.decode(&latents, None)?.to_vec())?)))
}

fn text(architecture: &Architecture, weights: &Weights, batch: usize) -> Result<Run> {
    let encoder = ClipText::new(weights, ClipTextConfig::from_json(&architecture.name, &architecture.config)?)?;
    let ids: Vec<Vec<u32>> = (0..batch).map(|b| (0..TOKENS).map(|t| (b * 1000 + t * 37) as u32).collect()).collect();
    Ok(Box::new(move || Ok(block_on(encoder.forward(&ids)?.last_hidden_state.to_vec())?)))
}

fn pipeline(dtype: DtypeArg, args: &BenchArgs, size: usize, batch: usize) -> Result<Run> {
    let options = LoadOptions { device: args.device.into(), dtype: Some(dtype.into()), ..LoadOptions::default() };
    let engine = Engine::load((embedded::NAME, &Place::Embedded), &options, &mut Unwatched, &CancelToken::default())?;
    let mut request = Request::new("a red apple", None, 1, batch);
    (request.width, request.height, request.steps, request.batch_size) = (Some(size), Some(size), Some(20), batch);
    Ok(Box::new(move || {
        let pictures = engine.generate(&request, &mut Unwatched, &CancelToken::default())?;
        Ok(pictures.iter().flat_map(|picture| &picture.image.rgb8).map(|byte| f32::from(*byte)).collect())
    }))
}

/// Smooth made-up input between -1 and 1.
fn wave(shape: &[usize], device: &Device) -> Result<Tensor> {
    let data = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin()).collect();
    Ok(Tensor::from_vec(data, shape, device)?.cast(device.float())?)
}
