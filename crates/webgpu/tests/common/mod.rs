//! A device for the tests, or the printed reason why there is none, and a small kernel.
#![allow(dead_code, reason = "each test file uses its part")]

use easel_webgpu::shader::{Constant, Kernel};
use easel_webgpu::{Buffer, Context, Dispatch, Error, Options, Result};

/// Opens a device. Without an adapter it prints the reason and returns `None`, unless `EASEL_REQUIRE_GPU` is set.
pub(crate) fn open(options: &Options) -> Option<Context> {
    match pollster::block_on(Context::open(options)) {
        Ok(context) => Some(context),
        Err(error @ Error::NoAdapter { .. }) if std::env::var_os("EASEL_REQUIRE_GPU").is_none() => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// `y += scale * x`, element by element.
pub(crate) fn axpy(scale: f32) -> Kernel {
    Kernel {
        name: "axpy",
        source: "
struct Params { count: u32, offset: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn axpy(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.count {
        y[id.x] += bitcast<f32>(SCALE) * x[id.x] + params.offset;
    }
}
",
        constants: vec![("SCALE", Constant::U32(scale.to_bits()))],
    }
}

/// Runs [`axpy`] with an `offset` added.
pub(crate) fn run_axpy(context: &Context, scale: f32, offset: f32, x: &Buffer, y: &Buffer) -> Result<()> {
    run_axpy_as(context, scale, offset, x, y, y.bytes() / 4)
}

/// Runs [`axpy`] and declares `work` multiply-adds.
pub(crate) fn run_axpy_as(context: &Context, scale: f32, offset: f32, x: &Buffer, y: &Buffer, work: u64) -> Result<()> {
    let count = (y.bytes() / 4) as u32;
    let uniforms = [count.to_le_bytes(), offset.to_le_bytes()].concat();
    context.dispatch(Dispatch {
        kernel: &axpy(scale),
        inputs: &[x],
        outputs: &[y],
        uniforms: &uniforms,
        workgroups: [count.div_ceil(64), 1, 1],
        work,
    })
}

/// Uploads floats.
pub(crate) fn upload(context: &Context, values: &[f32]) -> Buffer {
    context.upload(bytemuck::cast_slice(values)).unwrap()
}

/// Reads all floats of a buffer back.
pub(crate) fn floats(context: &Context, buffer: &Buffer) -> Result<Vec<f32>> {
    pollster::block_on(context.read(buffer, ..)).map(|bytes| bytemuck::pod_collect_to_vec(&bytes))
}
