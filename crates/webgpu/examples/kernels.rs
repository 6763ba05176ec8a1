//! Times the kernels that do nearly all of a picture's work, on the best adapter or the named one:
//!
//!     cargo run --release -p easel-webgpu --example kernels -- [NAME]
//!
//! Each row is the best of several runs that are long enough to hide the cost of starting.

use easel_cpu::BlockFormat;
use easel_webgpu::ops::{self, Conv2d, Epilogue};
use easel_webgpu::shader::Format;
use easel_webgpu::{Array, Choice, Context, Options, Result};
use std::time::Instant;

/// The fewest multiply-adds of a timed run, and of one on a software GPU.
const LONG: u64 = 2_000_000_000_000;
const LONG_IN_SOFTWARE: u64 = 1_000_000_000;

fn main() -> Result<()> {
    let adapter = std::env::args().nth(1).map_or(Choice::Best, Choice::Name);
    let context = pollster::block_on(Context::open(&Options { adapter, ..Options::default() }))?;
    let capabilities = context.capabilities();
    println!("{} ({}), f16: {}", capabilities.adapter.name, capabilities.adapter.driver, capabilities.f16);
    let small = capabilities.is_software();
    let formats: &[Format] = if capabilities.f16 { &[Format::F32, Format::F16] } else { &[Format::F32] };
    for &format in formats {
        for [m, n, k] in if small { vec![[512; 3]] } else { vec![[4096; 3], [8192, 320, 320], [154, 1280, 1280]] } {
            linear(&context, [m, n, k], format, format)?;
        }
        for &blocks in BlockFormat::ALL {
            let weight = Format::Blocks(blocks);
            for [m, n, k] in if small { [[4, 512, 512], [512; 3]] } else { [[4, 4096, 4096], [4096; 3]] } {
                linear(&context, [m, n, k], format, weight)?;
            }
        }
        for [side, channels] in if small { vec![[16, 128]] } else { vec![[512, 128], [64, 320], [16, 1280]] } {
            conv2d(&context, side, channels, format)?;
        }
        for [tokens, width] in
            if small { vec![[512, 40]] } else { vec![[4096, 40], [4096, 64], [1024, 80], [4096, 512]] }
        {
            attention(&context, tokens, width, format)?;
        }
    }
    Ok(())
}

/// Random bytes that are small numbers in every format.
fn array(context: &Context, shape: &[usize], format: Format) -> Result<Array> {
    let count: usize = shape.iter().product();
    let float = |i: usize| ((i * 7919 % 1024) as f32 - 512.0) / 1024.0;
    if let Format::Blocks(format) = format {
        let mut raw: Vec<u8> = (0..count / format.length() * format.bytes()).map(|i| (i % 251) as u8).collect();
        for block in raw.chunks_exact_mut(format.bytes()) {
            format.halves().iter().for_each(|at| block[*at..at + 2].fill(0x10));
        }
        return ops::repack(context, &context.upload(&raw)?, shape, format);
    }
    let floats: Vec<f32> = (0..count).map(float).collect();
    ops::cast(context, &Array::from_f32(context, &floats, shape)?, format)
}

fn linear(context: &Context, [m, n, k]: [usize; 3], format: Format, weight: Format) -> Result<()> {
    let x = array(context, &[m, k], format)?;
    let w = [array(context, &[n, k], weight)?];
    let what = format!("linear {m} x {n} x {k}, {format:?}, weight {weight:?}");
    report(context, &what, m * n * k, || ops::linear(context, &x, &w, None, Epilogue::default()))
}

fn conv2d(context: &Context, side: usize, channels: usize, format: Format) -> Result<()> {
    let x = array(context, &[1, side, side, channels], format)?;
    let w = [array(context, &[channels, 3, 3, channels], format)?];
    let what = format!("conv2d 3x3 {side} x {side} x {channels}, {format:?}");
    let work = side * side * channels * channels * 9;
    report(context, &what, work, || ops::conv2d(context, &x, &w, None, Conv2d::padded(1), Epilogue::default()))
}

fn attention(context: &Context, tokens: usize, width: usize, format: Format) -> Result<()> {
    let heads = if width > 160 { 1 } else { 8 };
    let x = array(context, &[1, tokens, heads * width], format)?;
    let what = format!("attention {tokens} tokens, {heads} x {width}, {format:?}");
    let work = 2 * tokens * tokens * heads * width;
    report(context, &what, work, || ops::attention(context, &x, &x, &x, heads, false))
}

fn report(context: &Context, what: &str, work: usize, run: impl Fn() -> Result<Array>) -> Result<()> {
    let long = if context.capabilities().is_software() { LONG_IN_SOFTWARE } else { LONG };
    let repeats = (long / work as u64).clamp(1, 2000);
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let start = Instant::now();
        let mut last = run()?;
        for _ in 1..repeats {
            last = run()?;
        }
        pollster::block_on(context.read(last.buffer(), ..4))?;
        best = best.min(start.elapsed().as_secs_f64() / repeats as f64);
    }
    println!("{what}: {:.3} ms, {:.2} TFLOP/s", best * 1e3, 2.0 * work as f64 / best / 1e12);
    Ok(())
}
