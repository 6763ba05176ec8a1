//! How much memory loading takes: writes a safetensors file of random half-precision weights, loads it, and prints the peak
//! of the resident set. `cargo run --release --package easel-tests --example load_memory -- 500 [DEVICE]`
//!
//! The memory of a GPU that the processor pretends to be is in the resident set, too, and is taken off; with
//! `MALLOC_MMAP_THRESHOLD_=1000000` glibc keeps it out of its heap, whose holes would be counted as the host's.

use anyhow::{Context, Result};
use easel_inference::Device;
use easel_inference::tensor::GpuOptions;
use easel_inference::weights::{FileSource, TensorIndex};
use pollster::block_on;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// One tensor in four is a convolution, and each has about 16 MB, as those of SDXL.
const SHAPES: [&str; 4] = ["[1280,640,3,3]", "[2048,4096]", "[4096,2048]", "[8388608]"];
const ELEMENTS: [usize; 4] = [1280 * 640 * 9, 2048 * 4096, 4096 * 2048, 8_388_608];

fn main() -> Result<()> {
    let megabytes: usize = std::env::args().nth(1).as_deref().unwrap_or("500").parse()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    write(&path, megabytes << 20)?;
    let device = std::env::args().nth(2).as_deref().unwrap_or("cpu").parse()?;
    let device = block_on(Device::open(device, &GpuOptions::default()))?;
    let before = peak()?;
    let start = Instant::now();
    let index = block_on(TensorIndex::open(Arc::new(FileSource::open(&path)?)))?;
    let weights = block_on(index.load(&device, None))?;
    let seconds = start.elapsed().as_secs_f64();
    let after = peak()?;
    let size = index.bytes() >> 10;
    println!("model {size} kB, peak before {before} kB, peak after {after} kB, {seconds:.2} s");
    let Device::Gpu(gpu) = &device else {
        println!(
            "peak of loading: {:.1} % over the model's size",
            100.0 * (after - before) as f64 / size as f64 - 100.0
        );
        return Ok(());
    };
    let held = gpu.context().stats().memory.allocated >> 10;
    drop(weights);
    let pretended = if gpu.is_software() { held } else { 0 };
    println!("GPU {held} kB, the host's own {} kB", (after - before).saturating_sub(pretended));
    Ok(())
}

/// Random numbers between 1 and 2, written a little at a time.
fn write(path: &Path, bytes: usize) -> Result<()> {
    let mut entries = Vec::new();
    let mut end = 0;
    while end < bytes {
        let kind = entries.len() % SHAPES.len();
        let next = end + ELEMENTS[kind] * 2;
        let name = entries.len();
        entries.push(format!(r#""t{name}":{{"dtype":"F16","shape":{},"data_offsets":[{end},{next}]}}"#, SHAPES[kind]));
        end = next;
    }
    let header = format!("{{{}}}", entries.join(","));
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    let mut state = 1_u32;
    for _ in 0..end / 2 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        file.write_all(&(0x3c00 | (state >> 22) as u16).to_le_bytes())?;
    }
    Ok(file.flush()?)
}

/// The largest resident set so far, in kB.
fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("only Linux says")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
