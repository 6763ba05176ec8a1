//! Compares the embedded model with diffusers: token ids, final latents, pictures.

use crate::files::{read_arrays, read_json, repository};
use crate::target::target;
use crate::{Check, relative_error};
use anyhow::{Context, Result, anyhow};
use easel_inference::families::{ModelFiles, OpenOptions};
use easel_inference::pipeline::{CancelToken, LoadOptions, Pipeline, Probe, Request, Unwatched, Watcher};
use easel_inference::tensor::Products;
use easel_inference::{DType, Tensor};
use pollster::block_on;
use serde_json::Value;
use std::path::Path;

/// The largest error of the final latents. 30 steps of guidance amplify the last bits of an f32 run.
const LATENTS_TOLERANCE: f64 = 2e-4;

/// Runs every case of a folder like `tests/golden/easel-emoji` with the model in `models/easel-emoji`.
pub fn run(dir: &Path) -> Result<Vec<Check>> {
    let files = block_on(ModelFiles::open_path(&repository().join("models/easel-emoji"), &OpenOptions::default()))?;
    let options = LoadOptions { products: Some(Products::F32), ..LoadOptions::new(target().device.clone()) };
    let pipeline = block_on(Pipeline::load(&files, &options, &mut Unwatched, &CancelToken::default()))?;
    let arrays = read_arrays(&dir.join("cases.safetensors"))?;
    let cases = read_json(&dir.join("cases.json"))?;
    let mut checks = Vec::new();
    for case in cases["cases"].as_array().into_iter().flatten() {
        let prefix = case["tensors"].as_str().unwrap_or_default();
        let expected = |name: &str| arrays.get(&format!("{prefix}{name}")).ok_or_else(|| anyhow!("no {prefix}{name}"));
        let mut last = Last::default();
        let request = request(case)?;
        let pictures = block_on(pipeline.generate(&request, &mut last, &CancelToken::default()))?;

        let name = format!("easel-emoji/{}", prefix.trim_end_matches('.'));
        let mut check = |tensor: &str, error, tolerance| {
            checks.push(Check { case: name.clone(), tensor: tensor.into(), error, tolerance });
        };
        let latents = last.latents.ok_or_else(|| anyhow!("no latents"))?.to_channels_first()?;
        let error = relative_error(&block_on(latents.to_vec())?, &expected("final_latents")?.data);
        let [latents_tolerance, image_tolerance] = tolerances(case)?;
        check("final_latents", error, latents_tolerance);
        let image = &pictures.first().context("no picture")?.image;
        check(
            "image (levels)",
            levels_apart(&image.rgb8, expected("image")?, image.width * image.height),
            target().levels(image_tolerance),
        );
    }
    Ok(checks)
}

/// The tolerances of final latents and picture. For f16 the case has its own
/// (`models/train-easel-emoji/measure_half.py`).
fn tolerances(case: &Value) -> Result<[f64; 2]> {
    if target().device.float() != DType::F16 {
        return Ok([target().widened(LATENTS_TOLERANCE), 0.0]);
    }
    let of =
        |name: &str| target().tolerances(case)[name].as_f64().ok_or_else(|| anyhow!("no tolerance for {name} in f16"));
    Ok([of("final_latents")?, of("image")?])
}

/// Keeps the latest latents.
#[derive(Default)]
struct Last {
    latents: Option<Tensor>,
}

impl Watcher for Last {
    fn tensor(&mut self, probe: Probe, tensor: &Tensor) {
        if let Probe::Latents(_) = probe {
            self.latents = Some(tensor.clone());
        }
    }
}

fn request(case: &Value) -> Result<Request> {
    let size = |field: &str| case[field].as_u64().map(|x| x as usize).ok_or_else(|| anyhow!("no {field}"));
    let text = |field: &str| case[field].as_str().ok_or_else(|| anyhow!("no {field}"));
    let mut request = Request::new(text("prompt")?, Some(text("negative_prompt")?), size("seed")? as u64, 1);
    request.width = Some(size("width")?);
    request.height = Some(size("height")?);
    request.steps = Some(size("steps")?);
    request.guidance_scale = case["guidance_scale"].as_f64();
    Ok(request)
}

/// The largest difference between pixels `[h, w, 3]` and a picture `[1, 3, h, w]` in 0..1, in 8-bit levels.
fn levels_apart(rgb8: &[u8], expected: &crate::files::Array, pixels: usize) -> f64 {
    if rgb8.len() != expected.data.len() {
        return f64::INFINITY;
    }
    let level = |i: usize| (expected.data[i % 3 * pixels + i / 3] * 255.0).round();
    rgb8.iter().enumerate().fold(0.0, |max, (i, x)| f64::max(max, f64::from((f32::from(*x) - level(i)).abs())))
}
