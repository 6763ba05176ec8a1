//! The `rng` folder: compares torch's `rand` and `randn` on the CPU with [`Generator`].

use crate::Check;
use crate::archive::Archive;
use anyhow::{Context, Result};
use easel_inference::sampling::Generator;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// torch's vectorised code differs from its plain code by up to 2e-6.
const TOLERANCE: f64 = 1e-5;

/// Compares every stored `f32` draw; other types use other random numbers.
pub fn run(dir: &Path) -> Result<Vec<Check>> {
    let cases: Value = serde_json::from_slice(&std::fs::read(dir.join("cases.json")).context("cases.json")?)?;
    let file = cases["file"].as_str().context("field file")?;
    let archive = Archive::open(&dir.join(file))?;
    let mut checks = Vec::new();
    // Consecutive draws of one generator, by `seed/label`.
    let mut sequences: BTreeMap<(&str, &str), BTreeMap<usize, &[f32]>> = BTreeMap::new();
    for (name, entry) in archive.iter() {
        let (seed, draw) = name.split_once('/').context("a draw's name needs a slash")?;
        let mut generator = Generator::new(seed.parse::<i64>()? as u64);
        let parts: Vec<_> = draw.split('.').collect();
        let (got, tolerance) = match parts[..] {
            ["rand", count] => (generator.rand(count.parse()?), 0.0),
            ["randn", shape] => (generator.randn(elements(shape)?), TOLERANCE),
            ["randn", shape, "first64"] => (generator.randn(elements(shape)?)[..64].to_vec(), TOLERANCE),
            ["randn", shape, "last64"] => {
                let all = generator.randn(elements(shape)?);
                (all[all.len() - 64..].to_vec(), TOLERANCE)
            }
            ["randn", _, "float16" | "bfloat16" | "float64"] => continue,
            [.., number] => {
                let label = draw.trim_end_matches(number);
                sequences.entry((seed, label)).or_default().insert(number.parse()?, &entry.data);
                continue;
            }
            [] => continue,
        };
        checks.push(check(name, &got, &entry.data, tolerance));
    }
    for ((seed, label), draws) in sequences {
        let mut generator = Generator::new(seed.parse::<i64>()? as u64);
        for (number, reference) in draws {
            let got = generator.randn(reference.len());
            checks.push(check(&format!("{seed}/{label}{number}"), &got, reference, TOLERANCE));
        }
    }
    Ok(checks)
}

fn elements(shape: &str) -> Result<usize> {
    shape.split('x').map(|size| size.parse::<usize>().context("a size")).product()
}

/// The largest absolute difference.
fn check(name: &str, got: &[f32], reference: &[f32], tolerance: f64) -> Check {
    let error = match got.len() == reference.len() {
        true => got.iter().zip(reference).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max),
        false => f64::INFINITY,
    };
    let (case, tensor) = name.split_once('/').unwrap_or((name, ""));
    Check { case: format!("rng/{case}"), tensor: tensor.into(), error, tolerance }
}
