//! The `schedulers` folder: every sampler of diffusers, fed fixed model outputs.

use crate::archive::{Archive, Entry};
use crate::{Check, relative_error};
use anyhow::{Context, Result};
use easel_inference::sampling::{Noise, Sampler, SchedulerConfig, StepOptions, TimestepOptions};
use easel_inference::{Device, Tensor};
use pollster::block_on;
use serde_json::{Map, Value};
use std::path::Path;

/// Tolerances are this times `observed`, the error of `f64` arithmetic, and at least [`FLOOR`].
const OBSERVED_FACTOR: f64 = 20.0;
const FLOOR: f64 = 2e-5;

/// The tensors that all cases share, channels-last.
struct Bank {
    sample: Tensor,
    outputs: Vec<Tensor>,
    original: Tensor,
    noise: Tensor,
}

/// One case with its reference.
struct Case<'a> {
    name: String,
    id: &'a str,
    fields: &'a Value,
    archive: &'a Archive,
    checks: Vec<Check>,
}

/// Runs every case of every scheduler in the folder.
pub fn run(dir: &Path) -> Result<Vec<Check>> {
    let bank = Bank::open(&dir.join("bank.safetensors"))?;
    let summary = read_json(&dir.join("cases.json"))?;
    let mut checks = check_tables(&dir.join("tables.safetensors"))?;
    for scheduler in summary["schedulers"].as_object().context("field schedulers")?.keys() {
        let file = read_json(&dir.join(format!("{scheduler}.json")))?;
        let archive = Archive::open(&dir.join(format!("{scheduler}.safetensors")))?;
        for fields in file["cases"].as_array().context("field cases")? {
            let id = fields["id"].as_str().context("field id")?;
            let name = format!("schedulers/{scheduler}/{id}");
            let mut case = Case { name, id, fields, archive: &archive, checks: Vec::new() };
            case.run(&file, &bank).with_context(|| case.name.clone())?;
            checks.append(&mut case.checks);
        }
    }
    Ok(checks)
}

impl Case<'_> {
    fn run(&mut self, file: &Value, bank: &Bank) -> Result<()> {
        let mut config: Map<String, Value> = file["base_config"].as_object().context("field base_config")?.clone();
        config.extend(self.fields["config"].as_object().context("field config")?.clone());
        config.insert("_class_name".into(), file["class"].clone());
        let respaced = ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"];
        let respaced = respaced.iter().any(|field| config.get(*field) == Some(&Value::Bool(true)));
        let sampler = SchedulerConfig::from_json(&Value::Object(config)).and_then(|config| self.sampler(&config));
        if self.fields.get("error").is_some() {
            let error = if sampler.is_err() { 0.0 } else { f64::INFINITY };
            self.push("refused", error, 0.0);
            return Ok(());
        }
        if self.fields.get("nonfinite").is_some() && sampler.is_err() {
            // diffusers gets NaN from this configuration, so refusing it is right too.
            return Ok(());
        }
        let sampler = sampler?;
        self.check_schedule(&sampler, respaced);
        self.check_add_noise(&sampler, bank)?;
        self.check_steps(sampler, bank)
    }

    fn sampler(&self, config: &SchedulerConfig) -> easel_inference::Result<Sampler> {
        let options = &self.fields["set_timesteps"];
        let list = |value: &Value| value.as_array().map(|list| list.iter().filter_map(Value::as_f64).collect());
        let timesteps = TimestepOptions {
            timesteps: list(&options["timesteps"]),
            sigmas: list(&options["sigmas"]),
            mu: options["mu"].as_f64(),
            strength: options["strength"].as_f64(),
            original_inference_steps: options["original_inference_steps"].as_u64().map(|n| n as usize),
            ..TimestepOptions::default()
        };
        let listed = timesteps.timesteps.is_some() || timesteps.sigmas.is_some();
        let steps = self.fields["steps"].as_u64().map(|n| n as usize).filter(|_| !listed);
        let step = &self.fields["step"];
        let default = StepOptions::default();
        let number = |field: &str, default: f64| step[field].as_f64().unwrap_or(default);
        let step = StepOptions {
            eta: step["eta"].as_f64(),
            use_clipped_model_output: step["use_clipped_model_output"].as_bool().unwrap_or(false),
            lms_order: step["order"].as_u64().map_or(default.lms_order, |order| order as usize),
            s_churn: number("s_churn", default.s_churn),
            s_tmin: number("s_tmin", default.s_tmin),
            s_tmax: number("s_tmax", default.s_tmax),
            s_noise: number("s_noise", default.s_noise),
        };
        Sampler::new(config, &TimestepOptions { steps, ..timesteps }, &step)
    }

    fn check_schedule(&mut self, sampler: &Sampler, respaced: bool) {
        if let Some(reference) = self.tensor("timesteps") {
            let tolerance = if reference.whole {
                0.0
            } else if respaced {
                2e-2
            } else {
                1e-3
            };
            let got: Vec<f32> = sampler.timesteps().iter().map(|t| *t as f32).collect();
            self.push("timesteps", absolute_error(&got, &reference.data), tolerance);
        }
        if let Some(reference) = self.tensor("sigmas") {
            let tolerance = self.tolerance("observed_sigmas");
            self.push("sigmas", elementwise_error(sampler.sigmas(), &reference.data), tolerance);
        }
        let init = self.fields["init_noise_sigma"].as_f64().unwrap_or(1.0);
        self.push("init_noise_sigma", (sampler.init_noise_sigma() / init - 1.0).abs(), FLOOR);
    }

    fn check_add_noise(&mut self, sampler: &Sampler, bank: &Bank) -> Result<()> {
        let Some(reference) = self.tensor("add_noise") else { return Ok(()) };
        let mut got = Vec::new();
        for index in self.fields["add_noise_index"].as_array().context("field add_noise_index")? {
            let index = index.as_u64().context("an index")? as usize;
            // For a repeated timestep, diffusers uses the second one.
            let timestep = sampler.timesteps().get(index).copied().context("index within the schedule")?;
            let same = |(_, t): &(usize, &f64)| **t == timestep;
            let found: Vec<_> = sampler.timesteps().iter().enumerate().filter(same).map(|(i, _)| i).collect();
            let index = found.get(1).copied().unwrap_or(index);
            got.extend(channels_first(&sampler.add_noise(&bank.original, &bank.noise, index)?)?);
        }
        let tolerance = self.tolerance("observed");
        self.push("add_noise", relative_error(&got, &reference.data), tolerance);
        Ok(())
    }

    fn check_steps(&mut self, mut sampler: Sampler, bank: &Bank) -> Result<()> {
        let mut noise = self.noise(bank)?;
        let mut samples = Vec::new();
        let mut inputs = Vec::new();
        let mut sample = bank.sample.scale(sampler.init_noise_sigma())?;
        for index in 0..sampler.timesteps().len() {
            inputs.extend(channels_first(&sampler.scale_model_input(index, &sample)?)?);
            let output = bank.outputs.get(index).context("a model output for every call")?;
            sample = sampler.step(index, output, &sample, &mut noise)?;
            samples.extend(channels_first(&sample)?);
        }
        let tolerance = self.tolerance("observed");
        match self.tensor("samples") {
            Some(reference) => self.push("samples", relative_error(&samples, &reference.data), tolerance),
            // diffusers gets NaN here, and we need not.
            None => {
                let finite = samples.iter().all(|value| value.is_finite());
                self.push("samples", if finite { 0.0 } else { f64::INFINITY }, 0.0);
            }
        }
        if let Some(reference) = self.tensor("scaled_inputs") {
            self.push("scaled_inputs", relative_error(&inputs, &reference.data), tolerance);
        }
        Ok(())
    }

    /// The recorded draws, after checking that our generator reproduces them from the seed; without a record, the
    /// generator.
    fn noise(&mut self, bank: &Bank) -> Result<Noise> {
        let seed = self.fields["noise_seed"].as_u64().unwrap_or(0);
        let mut generator = Noise::batch(seed);
        let Some(reference) = self.tensor("noise") else { return Ok(generator) };
        let mut draws = Vec::new();
        let mut drawn = Vec::new();
        for draw in reference.data.chunks_exact(bank.noise.elements()) {
            drawn.extend(channels_first(&generator.draw_like(&bank.noise)?)?);
            draws.push(from_channels_first(draw, bank.noise.shape())?);
        }
        self.push("noise", absolute_error(&drawn, &reference.data), 1e-5);
        Ok(Noise::from_draws(draws))
    }

    fn tensor(&self, name: &str) -> Option<&'_ Entry> {
        self.archive.get(&format!("{}/{name}", self.id))
    }

    fn tolerance(&self, observed: &str) -> f64 {
        self.fields[observed].as_f64().map_or(FLOOR, |observed| FLOOR.max(OBSERVED_FACTOR * observed))
    }

    fn push(&mut self, tensor: &str, error: f64, tolerance: f64) {
        self.checks.push(Check { case: self.name.clone(), tensor: tensor.into(), error, tolerance });
    }
}

impl Bank {
    fn open(path: &Path) -> Result<Self> {
        let archive = Archive::open(path)?;
        let one = |name: &str| -> Result<Tensor> {
            let entry = archive.require(name)?;
            let [n, c, h, w] = entry.shape[..] else { anyhow::bail!("{name}: expected four axes") };
            from_channels_first(&entry.data, &[n, h, w, c])
        };
        let sample = one("sample")?;
        let outputs = archive.require("model_outputs")?.data.chunks_exact(sample.elements());
        let outputs = outputs.map(|output| from_channels_first(output, sample.shape())).collect::<Result<_>>()?;
        Ok(Self { outputs, original: one("original")?, noise: one("noise")?, sample })
    }
}

/// Compares the training schedules entry by entry.
fn check_tables(path: &Path) -> Result<Vec<Check>> {
    let archive = Archive::open(path)?;
    let mut checks = Vec::new();
    for (name, entry) in archive.iter() {
        let Some(table) = name.strip_suffix(".alphas_cumprod") else { continue };
        let (start, end) = if table.ends_with("_ddpm") { (0.0001, 0.02) } else { (0.00085, 0.012) };
        let schedules = ["scaled_linear", "linear", "squaredcos_cap_v2"];
        let schedule = schedules.into_iter().find(|schedule| table.starts_with(schedule)).context("a beta schedule")?;
        let config = serde_json::json!({
            "_class_name": "DDIMScheduler", "beta_start": start, "beta_end": end, "beta_schedule": schedule,
            "rescale_betas_zero_snr": table.ends_with("_zero_snr"),
        });
        let got = SchedulerConfig::from_json(&config)?.alphas_cumprod();
        let error = absolute_error(&got, &entry.data);
        // Rescaling uses torch's vectorised square root, which is not always correctly rounded.
        let tolerance = if table.ends_with("_zero_snr") { 1e-6 } else { 0.0 };
        checks.push(Check { case: "schedulers/tables".into(), tensor: name.into(), error, tolerance });
    }
    Ok(checks)
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Converts numbers in torch's order to a channels-last tensor `[n, h, w, c]`.
fn from_channels_first(data: &[f32], shape: &[usize]) -> Result<Tensor> {
    let [n, h, w, c] = shape[..] else { anyhow::bail!("expected four axes, got {shape:?}") };
    Ok(Tensor::from_vec(data.to_vec(), &[n, c, h, w], &Device::Cpu)?.to_channels_last()?)
}

fn channels_first(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(block_on(tensor.to_channels_first()?.to_vec())?)
}

fn absolute_error(got: &[f32], reference: &[f32]) -> f64 {
    largest(got, reference, |a, b| (a - b).abs())
}

/// The error relative to each entry, as for sigmas.
fn elementwise_error(got: &[f32], reference: &[f32]) -> f64 {
    largest(got, reference, |a, b| (a - b).abs() / b.abs().max(1e-6))
}

fn largest(got: &[f32], reference: &[f32], error: impl Fn(f64, f64) -> f64) -> f64 {
    if got.len() != reference.len() || got.iter().any(|value| !value.is_finite()) {
        return f64::INFINITY;
    }
    got.iter().zip(reference).map(|(a, b)| error((*a).into(), (*b).into())).fold(0.0, f64::max)
}
