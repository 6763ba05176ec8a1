//! Times the kernels on the shapes of Stable Diffusion 1.5, and products with quantised weights on those of Stable Diffusion
//! 3.5, FLUX and T5; one JSON line per row.
//!
//!     cargo run --release -p easel-cpu --example bench -- --threads 2 [--runs 7] [--only conv] [--level plain]
//!     cargo run --release -p easel-cpu --example bench -- --threads 1 --runs 3 --only quantised
//!
//! The times must not depend on link-time optimisation, which an embedding application may have disabled. Without it:
//!
//!     CARGO_PROFILE_RELEASE_LTO=off cargo run --release -p easel-cpu --example bench -- --threads 1
//!
//! `benches/torch.py` prints the same rows for PyTorch. `cpu_ms` is the smallest processor time of a run, summed over
//! the threads. On a busy machine it is more reliable than wall time (with `--threads 1`, where no thread waits for
//! another).

use easel_cpu::attention::{AttentionShape, attention};
use easel_cpu::conv2d::{Conv2dShape, conv2d};
use easel_cpu::{Activation, BlockFormat, Floats, Level, PackedWeight, Weight, activation, linear::linear, norm};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

struct Options {
    threads: usize,
    runs: usize,
    only: String,
    level: Level,
}

fn main() -> ExitCode {
    let done = options().and_then(|options| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build();
        let pool = pool.map_err(|error| format!("cannot start {} threads: {error}", options.threads))?;
        pool.install(|| options.level.with(|| all(&options)));
        Ok(())
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options { threads: 2, runs: 7, only: String::new(), level: Level::current() };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().unwrap_or_default();
        let number = || match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{flag}: expected a whole number above 0, got {value:?}")),
        };
        match flag.as_str() {
            "--threads" => options.threads = number()?,
            "--runs" => options.runs = number()?,
            "--only" => options.only = value,
            "--level" => {
                let named = |level: &Level| format!("{level:?}").eq_ignore_ascii_case(&value);
                let levels = Level::available();
                let level = levels.iter().copied().find(named);
                options.level = level.ok_or_else(|| format!("--level: expected one of {levels:?}, got {value:?}"))?;
            }
            _ => return Err(format!("unknown option {flag}, expected --threads, --runs, --only or --level")),
        }
    }
    Ok(options)
}

fn all(options: &Options) {
    for (side, c) in [(64, 320), (32, 640), (16, 1280), (8, 1280)] {
        for batch in [1, 2] {
            convolution(options, batch, side, [c, c], 3, 1);
        }
    }
    convolution(options, 1, 64, [320, 320], 3, 2);
    convolution(options, 1, 64, [4, 320], 3, 1);
    convolution(options, 1, 64, [320, 4], 3, 1);
    convolution(options, 1, 64, [320, 320], 1, 1);
    for (side, c) in [(64, 512), (256, 256), (512, 128)] {
        convolution(options, 1, side, [c, c], 3, 1);
    }
    let shapes = [[4096, 320, 320], [4096, 2560, 320], [1024, 640, 640], [256, 1280, 1280], [1024, 1536, 1536]];
    let text = [[77, 768, 768], [154, 768, 768], [154, 3072, 768], [154, 768, 3072]];
    for shape in shapes.into_iter().chain(text).chain([[1, 1280, 1280], [2, 1280, 320]]) {
        fully_connected(options, shape);
    }
    for side in [1536, 3072, 4096] {
        for rows in [1, 77, 256, 1024, 4096] {
            quantised(options, [rows, side, side]);
        }
    }
    for (queries, keys, heads, width) in [
        (4096, 4096, 8, 40),
        (1024, 1024, 8, 80),
        (256, 256, 8, 160),
        (4096, 77, 8, 40),
        (1024, 77, 8, 80),
        (4096, 4096, 1, 512),
    ] {
        attend(options, [queries, keys, heads, width]);
    }
    elementwise(options);
}

/// Times `run` after one warm-up and prints the row.
fn row(options: &Options, name: &str, flops: usize, mut run: impl FnMut()) {
    if !name.contains(&options.only) {
        return;
    }
    run();
    let mut cpu_ms = f64::INFINITY;
    let mut seconds: Vec<f64> = (0..options.runs)
        .map(|_| {
            let cpu = processor_ms();
            let start = Instant::now();
            run();
            let seconds = start.elapsed().as_secs_f64();
            cpu_ms = cpu_ms.min(processor_ms() - cpu);
            seconds
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let least = seconds[0];
    let median = seconds[seconds.len() / 2];
    let ms = median * 1e3;
    let min_ms = least * 1e3;
    let gflops = flops as f64 / median / 1e9;
    println!(
        r#"{{"name": "{name}", "ms": {ms:.4}, "min_ms": {min_ms:.4}, "cpu_ms": {cpu_ms:.4}, "gflops": {gflops:.2}}}"#
    );
}

/// Processor time of all threads of this process in milliseconds.
#[cfg(target_os = "linux")]
fn processor_ms() -> f64 {
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    }
    const PROCESS_CPUTIME: i32 = 2;
    let mut time = [0; 2];
    // SAFETY: the C library writes two 64-bit numbers, seconds and nanoseconds.
    unsafe { clock_gettime(PROCESS_CPUTIME, &mut time) };
    time[0] as f64 * 1e3 + time[1] as f64 / 1e6
}

/// Not available on other platforms.
#[cfg(not(target_os = "linux"))]
fn processor_ms() -> f64 {
    0.0
}

/// Reproducible values between -1 and 1.
fn values(len: usize) -> Floats {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut values = Floats::take(len);
    values.fill_with(next);
    values
}

fn convolution(options: &Options, batch: usize, side: usize, [c, o]: [usize; 2], kernel: usize, stride: usize) {
    let name = format!("conv{kernel}x{kernel}/{stride} {c}->{o}@{side}x{side}x{batch}");
    if !name.contains(&options.only) && !format!("packed {name}").contains(&options.only) {
        return;
    }
    let shape = Conv2dShape {
        batch,
        input: [side; 2],
        stretched: [side; 2],
        in_channels: c,
        out_channels: o,
        kernel: [kernel; 2],
        stride,
        padding_before: [kernel / 2; 2],
        output: [side / stride; 2],
    };
    let x = values(batch * side * side * c);
    let w = values(o * kernel * kernel * c);
    let b = values(o);
    let mut out = Floats::zeros(batch * (side / stride).pow(2) * o);
    let flops = 2 * out.len() * c * kernel * kernel;
    let weight = Weight::F32(&w);
    row(options, &name, flops, || {
        conv2d(&x, &shape, weight, Some(&b), None, Activation::None, black_box(&mut out));
    });
    let packed = PackedWeight::new(weight, [o, kernel * kernel * c]);
    row(options, &format!("packed {name}"), flops, || {
        conv2d(&x, &shape, &packed, Some(&b), None, Activation::None, black_box(&mut out));
    });
}

fn fully_connected(options: &Options, [m, n, k]: [usize; 3]) {
    let x = values(m * k);
    let w = values(n * k);
    let b = values(n);
    let half: Vec<half::f16> = w.iter().map(|w| half::f16::from_f32(*w)).collect();
    let mut out = Floats::zeros(m * n);
    for (kind, weight) in [("f32", Weight::F32(&w)), ("f16", Weight::F16(&half))] {
        let name = format!("linear {kind} {m}x{n}x{k}");
        row(options, &name, 2 * m * n * k, || {
            linear(&x, [m, n, k], weight, Some(&b), None, Activation::None, black_box(&mut out));
        });
        let packed = PackedWeight::new(weight, [n, k]);
        row(options, &format!("packed {name}"), 2 * m * n * k, || {
            linear(&x, [m, n, k], &packed, Some(&b), None, Activation::None, black_box(&mut out));
        });
    }
    let packed = PackedWeight::bf16(Weight::F32(&w), [n, k]);
    row(options, &format!("packed linear bf16 {m}x{n}x{k}"), 2 * m * n * k, || {
        linear(&x, [m, n, k], &packed, Some(&b), None, Activation::None, black_box(&mut out));
    });
}

/// Packed weights as floats, as blocks that are widened, and as blocks that are multiplied in integers.
fn quantised(options: &Options, [m, n, k]: [usize; 3]) {
    let name = |kind: &str| format!("quantised {kind} {m}x{n}x{k}");
    let row_of_weights = values(k);
    let mut weights: Vec<(String, Box<dyn Fn() -> PackedWeight + '_>)> = vec![
        (name("f32"), Box::new(|| PackedWeight::new(Weight::F32(&row_of_weights.repeat(n)), [n, k]))),
        (
            name("f16"),
            Box::new(|| {
                let row: Vec<half::f16> = row_of_weights.iter().map(|w| half::f16::from_f32(*w)).collect();
                PackedWeight::new(Weight::F16(&row.repeat(n)), [n, k])
            }),
        ),
        (name("bf16"), Box::new(|| PackedWeight::bf16(Weight::F32(&row_of_weights.repeat(n)), [n, k]))),
    ];
    for format in BlockFormat::ALL.iter().copied() {
        // For formats without an encoder zeros are used; the bits do not matter.
        let row = format.quantise(&row_of_weights).unwrap_or_else(|| vec![0; k / format.length() * format.bytes()]);
        let kind = format.name().to_lowercase();
        for integers in [false, true] {
            let row = row.clone();
            let pack = move || {
                let bytes = &row.repeat(n);
                let weight = Weight::Blocks { format, bytes };
                if integers { PackedWeight::integers(weight, [n, k]) } else { PackedWeight::new(weight, [n, k]) }
            };
            let way = if integers { "integers" } else { "widened" };
            weights.push((name(&format!("{kind} {way}")), Box::new(pack)));
        }
    }
    let x = values(m * k);
    let mut out = Floats::zeros(m * n);
    for (name, pack) in weights.into_iter().filter(|(name, _)| name.contains(&options.only)) {
        let packed = pack();
        row(options, &name, 2 * m * n * k, || {
            linear(&x, [m, n, k], &packed, None, None, Activation::None, black_box(&mut out));
        });
    }
}

fn attend(options: &Options, [queries, keys, heads, width]: [usize; 4]) {
    let hidden = heads * width;
    let q = values(queries * hidden);
    let k = values(keys * hidden);
    let v = values(keys * hidden);
    let scale = 1.0 / (width as f32).sqrt();
    let shape = AttentionShape { batch: 1, queries, keys, heads, width, scale, causal: false };
    let mut out = Floats::zeros(q.len());
    row(options, &format!("attention {heads}x{queries}x{keys}x{width}x1"), 4 * queries * keys * hidden, || {
        attention(&q, &k, &v, &shape, black_box(&mut out));
    });
}

fn elementwise(options: &Options) {
    let x = values(2 * 64 * 64 * 320);
    let w = values(320);
    let b = values(320);
    let mut out = Floats::zeros(x.len());
    row(options, "group_norm+silu 320@64x64x2", 0, || {
        norm::group_norm(&x, [2, 4096, 320], 32, 1e-5, &w, &b, Activation::Silu, black_box(&mut out));
    });
    row(options, "layer_norm 8192x320", 0, || {
        norm::layer_norm(&x, 320, 1e-5, Some(&w), Some(&b), black_box(&mut out));
    });
    row(options, "copy 8192x320", 0, || black_box(&mut out).copy_from_slice(&x));
    for (name, activation) in [("silu", Activation::Silu), ("gelu", Activation::Gelu)] {
        row(options, &format!("{name} 8192x320"), 0, || {
            activation.apply_to(&x, black_box(&mut out));
        });
    }
    let wide = values(4096 * 2560);
    let mut out = Floats::zeros(4096 * 1280);
    row(options, "geglu 4096x1280", 0, || activation::geglu(&wide, 1280, black_box(&mut out)));
}
