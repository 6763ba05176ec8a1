//! Every variant of every kernel passes naga's parser and validator, without a GPU.

use easel_webgpu::{Adapter, Capabilities, Cooperative, Dialect, Kind, Limits, Scalar, ops};
use naga::valid::{Capabilities as Checked, ValidationFlags, Validator};

/// The capabilities of an imaginary device.
fn device(f16: bool, subgroups: bool, dialect: Dialect) -> Capabilities {
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
    let subgroups = subgroups.then_some((8, 64));
    Capabilities { adapter, dialect, f16, subgroups, timestamps: false, cooperative: Vec::new(), limits }
}

#[test]
fn naga_accepts_every_variant() {
    let mut checked = 0;
    for (f16, subgroups) in [(true, true), (true, false), (false, true), (false, false)] {
        let device = device(f16, subgroups, Dialect::Naga);
        let mut allowed = Checked::empty();
        allowed.set(Checked::SHADER_FLOAT16, f16);
        allowed.set(Checked::SUBGROUP, subgroups);
        for kernel in ops::variants(&device) {
            let text = kernel.wgsl(&device);
            let label = format!("{} {:?}", kernel.name, kernel.constants);
            let module = naga::front::wgsl::parse_str(&text);
            let module = module.unwrap_or_else(|error| panic!("{label}\n{}", error.emit_to_string(&text)));
            let valid = Validator::new(ValidationFlags::all(), allowed).validate(&module);
            valid.unwrap_or_else(|error| panic!("{label}\n{}", error.emit_to_string(&text)));
            checked += 1;
        }
    }
    assert!(checked > 500, "only {checked} variants");
}

#[test]
fn naga_accepts_cooperative_matrices() {
    for size in [8, 16] {
        let mut device = device(true, true, Dialect::Naga);
        device.subgroups = Some((32, 32));
        device.limits.workgroup_storage = 32768;
        device.cooperative = vec![Cooperative { m: size, n: size, k: size, inputs: Scalar::F16, output: Scalar::F32 }];
        let allowed = Checked::SHADER_FLOAT16 | Checked::SUBGROUP | Checked::COOPERATIVE_MATRIX;
        let kernels: Vec<_> = ops::variants(&device).into_iter().map(|kernel| kernel.wgsl(&device)).collect();
        let cooperative: Vec<_> = kernels.iter().filter(|text| text.contains("coop_mat")).collect();
        assert_eq!(cooperative.len(), 12, "two tiles of linear and conv2d in three formats");
        for text in cooperative {
            let module = naga::front::wgsl::parse_str(text);
            let module = module.unwrap_or_else(|error| panic!("{}", error.emit_to_string(text)));
            let valid = Validator::new(ValidationFlags::all(), allowed).validate(&module);
            valid.unwrap_or_else(|error| panic!("{}", error.emit_to_string(text)));
        }
    }
}

#[test]
fn no_variant_exceeds_the_guaranteed_limits() {
    let device = device(true, true, Dialect::Naga);
    for kernel in ops::variants(&device) {
        let text = kernel.wgsl(&device);
        let module = naga::front::wgsl::parse_str(&text).unwrap();
        let label = format!("{} {:?}", kernel.name, kernel.constants);
        let storage = |space| matches!(space, naga::AddressSpace::Storage { .. });
        let bindings = module.global_variables.iter().filter(|(_, variable)| storage(variable.space)).count();
        assert!(bindings <= 8, "{label}: {bindings} storage buffers");
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let workgroup = |(_, variable): (_, &naga::GlobalVariable)| {
            (variable.space == naga::AddressSpace::WorkGroup).then(|| layouter[variable.ty].size)
        };
        let memory: u32 = module.global_variables.iter().filter_map(workgroup).sum();
        assert!(memory <= 16384, "{label}: {memory} bytes of workgroup memory");
        let [x, y, z] = module.entry_points[0].workgroup_size;
        assert!(x * y * z <= 256, "{label}: {x} x {y} x {z} invocations");
    }
}

/// Browsers require `enable` for the extensions that a text uses, but naga rejects it for this one.
#[test]
fn each_dialect_gets_its_header() {
    let enables = |dialect, subgroups| {
        let device = device(true, subgroups, dialect);
        ops::variants(&device).iter().any(|kernel| kernel.wgsl(&device).contains("enable subgroups;"))
    };
    assert!(enables(Dialect::Browser, true));
    assert!(!enables(Dialect::Browser, false) && !enables(Dialect::Naga, true));
}
