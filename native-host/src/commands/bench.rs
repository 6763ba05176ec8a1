//! `easel bench`: one child process per architecture, a table or JSON lines.

use crate::args::BenchArgs;
use crate::bench::{Architecture, KernelTime, Measurement, architectures, measure};
use crate::terminal::{bytes, note, say, say_json, table};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// Times the named architectures, or lists them all.
pub(crate) fn bench(args: &BenchArgs) -> Result<()> {
    let all = architectures()?;
    if args.names.is_empty() {
        let rows: Vec<_> = all.into_iter().map(|a| [a.name, a.about]).collect();
        return say(table(&rows, &[]));
    }
    let chosen = choose(all, &args.names)?;
    if args.in_process {
        return chosen.iter().try_for_each(|architecture| say_json(&measure(architecture, args)?));
    }
    let mut rows = vec![HEADING.map(str::to_owned)];
    let mut measured = Vec::new();
    for architecture in &chosen {
        if !args.json {
            note(format_args!("timing {}: {}", architecture.name, architecture.about));
        }
        let measurement = in_child(&architecture.name, args)?;
        if args.json {
            say_json(&measurement)?;
        }
        rows.push(row(&measurement));
        measured.push(measurement);
    }
    if args.json {
        return Ok(());
    }
    say(table(&rows, &[1, 2, 4, 5, 6, 7, 8, 9]))?;
    measured.iter().filter(|measurement| !measurement.kernels.is_empty()).try_for_each(|measurement| {
        say(format_args!("\n{} by kernel:\n{}", measurement.name, kernels(&measurement.kernels)))
    })
}

/// A table of kernels.
fn kernels(kernels: &[KernelTime]) -> String {
    let total: f64 = kernels.iter().map(|kernel| kernel.seconds).sum();
    let row = |k: &KernelTime| {
        let rate = k.gflop / 1e3 / k.seconds.max(1e-12);
        let share = k.seconds / total.max(1e-12) * 100.0;
        [
            &*k.kernel,
            &k.count.to_string(),
            &format!("{:.3}", k.seconds * 1e3),
            &format!("{share:.1}"),
            &format!("{rate:.3}"),
        ]
        .map(str::to_owned)
    };
    let heading = ["KERNEL", "COUNT", "MS", "%", "TFLOP/S"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(heading).chain(kernels.iter().map(row)).collect();
    table(&rows, &[1, 2, 3, 4])
}

const HEADING: [&str; 10] =
    ["NAME", "SIZE", "BATCH", "TYPE", "THREADS", "LOAD", "MEDIAN", "GFLOP/S", "PLANNED", "PEAK MEMORY"];

fn row(m: &Measurement) -> [String; 10] {
    [
        m.name.clone(),
        if m.size == 0 { "-".into() } else { m.size.to_string() },
        m.batch.to_string(),
        m.dtype.clone(),
        m.threads.to_string(),
        format!("{:.2} s", m.load_seconds),
        format!("{:.3} s", m.seconds),
        format!("{:.1}", m.gflop_per_second),
        m.planned_bytes.map_or("-".into(), bytes),
        m.gpu_peak_bytes.or(m.peak_bytes).map_or("-".into(), bytes),
    ]
}

/// The architectures of these names, in this order.
fn choose(all: Vec<Architecture>, names: &[String]) -> Result<Vec<Architecture>> {
    if names.iter().any(|name| name == "all") {
        return Ok(all);
    }
    let known: Vec<&str> = all.iter().map(|architecture| architecture.name.as_str()).collect();
    names
        .iter()
        .map(|name| match all.iter().find(|architecture| architecture.name == *name) {
            Some(architecture) => Ok(architecture.clone()),
            None => bail!("unknown name {name:?}, expected {} or all", known.join(", ")),
        })
        .collect()
}

/// Runs this program again for one architecture, and reads its measurement.
fn in_child(name: &str, args: &BenchArgs) -> Result<Measurement> {
    let mut child = Command::new(std::env::current_exe().context("cannot find this program's file")?);
    child.args(["bench", name, "--in-process", "--device", args.device.name()]);
    child.args(["--runs", &args.runs.to_string(), "--steps", &args.steps.to_string()]);
    if let Some(dtype) = args.dtype {
        child.args(["--dtype", dtype.name()]);
    }
    for (option, is_given) in
        [("--cooperative", args.cooperative), ("--low-memory", args.low_memory), ("--offload", args.offload)]
    {
        if is_given {
            child.arg(option);
        }
    }
    if let Some(model) = &args.model {
        child.args(["--model", model]);
    }
    for (option, value) in [("--size", args.size), ("--batch", args.batch)] {
        if let Some(value) = value {
            child.args([option, &value.to_string()]);
        }
    }
    if let Some(threads) = args.threads {
        child.env("RAYON_NUM_THREADS", threads.to_string());
    }
    let output = child.output().with_context(|| format!("cannot start the process for {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.trim().trim_start_matches("easel: ").to_owned() + &died(&output.status, &said));
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("cannot read the output of the process for {name}"))
}

/// The status of a process that failed without a message.
fn died(status: &std::process::ExitStatus, said: &str) -> String {
    if said.trim().is_empty() { format!("the process ended with {status}") } else { String::new() }
}
