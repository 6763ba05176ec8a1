//! Timing of whole architectures at full size with random weights: the list, a measurement, and its result.

mod measure;
mod planned;

pub(crate) use measure::measure;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The architectures: their `config.json` documents as published in the repositories that `_name_or_path` names.
/// `benches/diffusers/bench.py` reads the same file, so both time the same shapes.
const ARCHITECTURES: &str = include_str!("architectures.json");

/// Something that can be timed.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Architecture {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) kind: Kind,
    /// Width and height of the picture in pixels, where there is one.
    #[serde(default)]
    pub(crate) size: usize,
    /// Samples in a batch.
    pub(crate) batch: usize,
    #[serde(default)]
    config: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Unet,
    Mmdit,
    Decoder,
    Text,
    /// SAM's image encoder.
    Sam,
    /// Both encoders of a CLIP.
    Clip,
    /// One product of square matrices.
    Product,
    Pipeline,
}

/// All of them.
pub(crate) fn architectures() -> Result<Vec<Architecture>> {
    serde_json::from_str(ARCHITECTURES).context("the list of architectures")
}

/// A measurement; `bench.py` prints the same fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) name: String,
    /// `easel` or `diffusers`.
    pub(crate) runtime: String,
    pub(crate) device: String,
    pub(crate) dtype: String,
    pub(crate) threads: usize,
    pub(crate) size: usize,
    pub(crate) batch: usize,
    pub(crate) runs: u32,
    /// The time for generating or loading the weights.
    pub(crate) load_seconds: f64,
    /// The median of all runs.
    pub(crate) seconds: f64,
    pub(crate) min_seconds: f64,
    /// Floating-point operations of one run in units of 1e9: two per multiply-add of linear layers, convolutions and
    /// attention, which are counted during the run.
    pub(crate) gflop: f64,
    pub(crate) gflop_per_second: f64,
    /// The process's largest resident size, where the system reports it.
    pub(crate) peak_bytes: Option<u64>,
    /// The planned peak of the resident size, or of the GPU's memory, from before anything was loaded.
    #[serde(default)]
    pub(crate) planned_bytes: Option<u64>,
    /// The peak of the GPU's memory.
    #[serde(default)]
    pub(crate) gpu_peak_bytes: Option<u64>,
    /// One run by kernel, the longest first, if the GPU has timestamps.
    #[serde(default)]
    pub(crate) kernels: Vec<KernelTime>,
}

/// All dispatches of one kernel in one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KernelTime {
    pub(crate) kernel: String,
    pub(crate) count: u64,
    /// By the GPU's timestamps.
    pub(crate) seconds: f64,
    /// The work as declared by the op: a rough number for kernels other than products.
    pub(crate) gflop: f64,
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        None => f64::NAN,
        Some(upper) if sorted.len() % 2 == 1 => *upper,
        Some(upper) => (sorted[middle - 1] + upper) / 2.0,
    }
}

/// The peak resident size of this process in bytes (Linux).
fn peak_bytes() -> Option<u64> {
    status("VmHWM:")
}

/// The current resident size of this process in bytes (Linux).
fn resident_bytes() -> Option<u64> {
    status("VmRSS:")
}

fn status(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_reads() {
        let all = architectures().unwrap();
        assert!(all.iter().all(|a| a.config.is_object() || a.kind == Kind::Pipeline));
        assert!(all.iter().all(|a| a.size > 0 || a.kind == Kind::Text));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0]), median(&[7.0])), (2.0, 2.5, 7.0));
        assert!(median(&[]).is_nan());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_has_a_peak() {
        assert!(peak_bytes().unwrap() > 1 << 20);
    }
}
