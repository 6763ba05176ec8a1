//! The runtime on the browser's device: dispatches, replays, profiles, streaming, errors, loss.

use easel_webgpu::shader::{Constant, Kernel};
use easel_webgpu::{Buffer, Context, Dispatch, Error, Options, Result};

/// Bytes streamed through arrays that never enter the memory of WebAssembly.
const STREAMED: u32 = 256 << 20;

/// Runs all checks. Returns the description of the device, or the first failure.
pub(crate) async fn run() -> Result<String> {
    let context = Context::open(&Options::default()).await?;
    let mut report = vec![format!("{:?}", context.capabilities())];
    let x = floats(&context, &[1.0; 1000])?;
    let y = floats(&context, &[0.0; 1000])?;
    for _ in 0..300 {
        axpy(&context, &x, &y)?;
    }
    expect("300 dispatches", read(&context, &y).await?, 600.0)?;
    if context.capabilities().subgroups.is_some() {
        run_kernel(&context, &total(), &x, &y)?;
        expect("a sum over subgroups", read(&context, &y).await?, 1000.0)?;
    }
    replay(&context, &x).await?;
    report.push(profile(&context, &x, &y).await?);
    stream(&context).await?;
    errors(&context).await?;
    loss(context, &x, &y).await?;
    Ok(report.join("\n"))
}

async fn replay(context: &Context, x: &Buffer) -> Result<()> {
    let y = floats(context, &[0.0; 1000])?;
    let (plan, ()) = context.capture(|| axpy(context, x, &y))?;
    let before = context.stats();
    context.write(x, 0, &5.0_f32.to_le_bytes())?;
    plan.replay()?;
    context.write(x, 0, &1.0_f32.to_le_bytes())?;
    expect("a replay", read(context, &y).await?, 12.0)?;
    let after = context.stats();
    ensure("a replay allocates nothing", before.memory == after.memory && before.bind_groups == after.bind_groups)
}

async fn profile(context: &Context, x: &Buffer, y: &Buffer) -> Result<String> {
    if !context.capabilities().timestamps {
        return Ok("no timestamps".to_owned());
    }
    let (profile, ()) = context.profile(|| (0..200).try_for_each(|_| axpy(context, x, y))).await?;
    ensure("a profile counts dispatches", profile.rows.iter().map(|row| row.count).sum::<u64>() == 200)?;
    Ok(profile.to_string())
}

async fn stream(context: &Context) -> Result<()> {
    let bytes = u64::from(STREAMED).min(context.capabilities().limits.buffer);
    let weights = context.resident(bytes)?;
    let piece = js_sys::Uint8Array::new_with_length(16 << 20);
    piece.fill(7, 0, 1024);
    let before = core::arch::wasm32::memory_size(0);
    for offset in (0..bytes).step_by(16 << 20) {
        context.stream_array(&weights, offset, &piece).await?;
    }
    ensure("streaming leaves wasm memory alone", core::arch::wasm32::memory_size(0) == before)?;
    let last = context.read(&weights, bytes - (16 << 20)..bytes - (16 << 20) + 1025).await?;
    ensure("streamed bytes arrive", last[..1024] == [7; 1024] && last[1024] == 0)
}

async fn errors(context: &Context) -> Result<()> {
    let broken =
        Kernel { source: "@compute @workgroup_size(1) fn axpy() { let x: u32 = 1.5; }", name: "broken", ..kernel() };
    let found = match context.warm(&[(broken, 1, 1)]) {
        Ok(()) => context.finish().await,
        error => error,
    };
    ensure("a broken kernel is named", matches!(found, Err(Error::Kernel { kernel: "broken", .. })))?;
    context.finish().await
}

async fn loss(context: Context, x: &Buffer, y: &Buffer) -> Result<()> {
    let on_its_way = context.read(y, ..);
    context.destroy();
    ensure("a reading fails with the device", matches!(on_its_way.await, Err(Error::DeviceLost { .. })))?;
    ensure("a dispatch fails without it", matches!(axpy(&context, x, y), Err(Error::DeviceLost { .. })))?;
    let context = context.reopen().await?;
    let x = floats(&context, &[1.0; 10])?;
    let y = floats(&context, &[1.0; 10])?;
    axpy(&context, &x, &y)?;
    expect("a fresh context", read(&context, &y).await?, 3.0)
}

/// `y += 2 * x`.
fn kernel() -> Kernel {
    Kernel {
        name: "axpy",
        source: "
@group(0) @binding(0) var<uniform> count: u32;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn axpy(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < count {
        y[id.x] += f32(SCALE) * x[id.x];
    }
}",
        constants: vec![("SCALE", Constant::U32(2))],
    }
}

/// `y[0]` = the sum of `x`, by one workgroup.
fn total() -> Kernel {
    Kernel {
        name: "total",
        source: "
@group(0) @binding(0) var<uniform> count: u32;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
var<workgroup> parts: array<f32, 64>;
@compute @workgroup_size(64)
fn total(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>,
         @builtin(subgroup_size) size: u32) {
    var sum = 0.0;
    for (var i = lane; i < count; i += 64u) {
        sum += x[i];
    }
    parts[lane] = subgroupAdd(sum);
    workgroupBarrier();
    if lane == 0u && group.x == 0u {
        var all = 0.0;
        for (var i = 0u; i < 64u; i += size) {
            all += parts[i];
        }
        y[0] = all;
    }
}",
        constants: vec![("SUBGROUPS", Constant::Bool(true))],
    }
}

fn axpy(context: &Context, x: &Buffer, y: &Buffer) -> Result<()> {
    run_kernel(context, &kernel(), x, y)
}

fn run_kernel(context: &Context, kernel: &Kernel, x: &Buffer, y: &Buffer) -> Result<()> {
    let count = (y.bytes() / 4) as u32;
    context.dispatch(Dispatch {
        kernel,
        inputs: &[x],
        outputs: &[y],
        uniforms: &count.to_le_bytes(),
        workgroups: [count.div_ceil(64), 1, 1],
        work: u64::from(count),
    })
}

fn floats(context: &Context, values: &[f32]) -> Result<Buffer> {
    context.upload(bytemuck::cast_slice(values))
}

/// The first float.
async fn read(context: &Context, buffer: &Buffer) -> Result<f32> {
    let bytes = context.read(buffer, ..4).await?;
    Ok(bytemuck::pod_read_unaligned(&bytes))
}

fn expect(what: &str, found: f32, expected: f32) -> Result<()> {
    let right = found == expected;
    if right { Ok(()) } else { Err(Error::Device { reason: format!("{what}: {found}, expected {expected}") }) }
}

fn ensure(what: &str, holds: bool) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Device { reason: format!("check failed: {what}") }) }
}
