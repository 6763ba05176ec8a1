//! `golden [--device NAME] [--float f32|f16] DIR|DIR/CASE...`: runs cases of reference folders through the real loaders and
//! pipelines, one line per case. Devices other than the CPU may have ten times the error in `f32`.

use anyhow::{Context, Result, bail};
use easel_tests::{Check, folders, target};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("golden: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all folders and returns whether every case passed.
fn run() -> Result<bool> {
    let mut dirs = Vec::new();
    let mut device = "cpu".to_owned();
    let mut float = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--device" => device = args.next().context("--device needs a name")?,
            "--float" => float = Some(args.next().context("--float needs f32 or f16")?),
            _ => dirs.push(PathBuf::from(arg)),
        }
    }
    if dirs.is_empty() {
        bail!("usage: golden [--device NAME] [--float f32|f16] DIR|DIR/CASE...");
    }
    target::choose(&device, float.as_deref())?;
    let mut passed = 0;
    let mut failed = 0;
    for dir in &dirs {
        for folder in folders::find(dir)? {
            let name = folder.path.display().to_string();
            if let Some(reason) = &folder.skip {
                println!("skip  {name}: {reason}");
                continue;
            }
            let checks = folder.run().with_context(|| name.clone())?;
            for (case, worst) in worst_per_case(&checks) {
                let verdict = if worst.passed() { "ok  " } else { "FAIL" };
                println!("{verdict}  {case:<52} {:<22} {:9.2e} of {:.1e}", worst.tensor, worst.error, worst.tolerance);
                if worst.passed() { passed += 1 } else { failed += 1 }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if passed + failed == 0 {
        bail!("no reference cases found");
    }
    Ok(failed == 0)
}

/// For every case, the tensor that is closest to its tolerance or farthest beyond it.
fn worst_per_case(checks: &[Check]) -> BTreeMap<&str, &Check> {
    let share = |check: &Check| match check.error / check.tolerance {
        _ if check.error == 0.0 => 0.0,
        // NaN is the worst.
        share if share.is_nan() => f64::INFINITY,
        share => share,
    };
    let mut worst: BTreeMap<&str, &Check> = BTreeMap::new();
    for check in checks {
        let entry = worst.entry(&check.case).or_insert(check);
        if share(check) > share(entry) {
            *entry = check;
        }
    }
    worst
}
