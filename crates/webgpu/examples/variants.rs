//! Prints every variant of every kernel as JSON, `[{"name": .., "wgsl": ..}]`, for compilers outside this repository:
//!
//!     cargo run -p easel-webgpu --example variants -- [f16] [subgroups] [naga]
//!
//! The texts are in the browsers' dialect unless `naga` is named, for a device with the features that are.

use easel_webgpu::{Adapter, Capabilities, Dialect, Kind, Limits, ops};

fn main() -> serde_json::Result<()> {
    let has = |word: &str| std::env::args().any(|argument| argument == word);
    let adapter = Adapter {
        index: 0,
        name: String::new(),
        kind: Kind::Other,
        backend: String::new(),
        driver: String::new(),
        vendor: 0,
        device: 0,
    };
    let limits = Limits {
        buffer: 1 << 28,
        storage_binding: 1 << 27,
        storage_buffers: 8,
        storage_alignment: 256,
        workgroup_storage: 16384,
        invocations: 256,
        workgroup_size: [256, 256, 64],
        workgroups: 65535,
    };
    let device = Capabilities {
        adapter,
        dialect: if has("naga") { Dialect::Naga } else { Dialect::Browser },
        f16: has("f16"),
        subgroups: has("subgroups").then_some((4, 64)),
        timestamps: false,
        cooperative: Vec::new(),
        limits,
    };
    let kernel = |kernel: easel_webgpu::shader::Kernel| {
        let name = format!("{} {:?}", kernel.name, kernel.constants);
        serde_json::json!({ "name": name, "wgsl": kernel.wgsl(&device) })
    };
    let kernels: Vec<_> = ops::variants(&device).into_iter().map(kernel).collect();
    println!("{}", serde_json::to_string(&kernels)?);
    Ok(())
}
