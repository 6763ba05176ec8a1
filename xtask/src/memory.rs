//! `bench memory`: the peak resident size of networks and pipelines, each in a process of its own, beside what is planned.

use crate::command::cargo;
use anyhow::{Context, Result};
use serde_json::Value;

/// How far a plan may be from the measurement.
const TOLERANCE: f64 = 0.1;

/// Networks with random weights, the embedded model in every way to hold its components, and a tiny FLUX.1.
const ROWS: [&[&str]; 14] = [
    &["easel-emoji", "--size", "128"],
    &["easel-emoji", "--size", "256"],
    &["easel-emoji", "--size", "512"],
    &["easel-emoji", "--size", "256", "--low-memory"],
    &["easel-emoji", "--size", "256", "--offload"],
    &["sd15-unet", "--dtype", "f16"],
    &["sd15-unet", "--dtype", "q8_0"],
    &["sd15-unet", "--dtype", "f16", "--size", "256", "--batch", "1"],
    &["vae-decode"],
    &["taesd-decode"],
    &["clip-l"],
    &["sd35-medium", "--dtype", "f16", "--size", "256"],
    &["easel-emoji", "--size", "512", "--steps", "2", "--model", "tests/golden/flux-schnell"],
    &["easel-emoji", "--size", "512", "--steps", "2", "--model", "tests/golden/flux-schnell", "--offload"],
];

/// Measures all rows, and the models in these folders in every way.
pub(crate) fn bench(models: &[String]) -> Result<()> {
    let mut rows: Vec<Vec<String>> =
        ROWS.iter().map(|row| row.iter().map(|word| (*word).to_owned()).collect()).collect();
    for model in models {
        for keeping in [None, Some("--low-memory"), Some("--offload")] {
            let row = ["easel-emoji", "--size", "512", "--steps", "1", "--model", model].into_iter().chain(keeping);
            rows.push(row.map(str::to_owned).collect());
        }
    }
    println!("{:<85} {:>10} {:>10} {:>7}", "easel bench", "planned", "peak", "off by");
    let mut far = 0;
    for row in &rows {
        let measured = measure(row)?;
        let mebibytes = |field: &str| measured[field].as_f64().map(|bytes| bytes / f64::from(1 << 20));
        let planned = mebibytes("planned_bytes").context("no plan on this system")?;
        let peak = mebibytes("peak_bytes").context("no peak on this system")?;
        let off = planned / peak - 1.0;
        far += usize::from(off.abs() > TOLERANCE);
        println!("{:<85} {planned:>6.0} MiB {peak:>6.0} MiB {:>6.1}%", row.join(" "), off * 100.0);
    }
    anyhow::ensure!(far == 0, "{far} of {} plans are off by more than {} %", rows.len(), TOLERANCE * 100.0);
    Ok(())
}

fn measure(row: &[String]) -> Result<Value> {
    let run = ["run", "--quiet", "--release", "--package", "easel-host", "--", "bench", "--json", "--runs", "1"];
    let text = cargo(run).args(row).output()?;
    serde_json::from_str(text.trim()).with_context(|| format!("what easel bench {} printed", row.join(" ")))
}
