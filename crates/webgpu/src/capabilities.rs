//! The capabilities of an adapter or an open device, in this crate's own types.

/// The capabilities of a device. For an open device these are the granted features and limits, in a list of adapters
/// those on offer.
#[derive(Debug, Clone, PartialEq)]
pub struct Capabilities {
    /// The adapter.
    pub adapter: Adapter,
    /// The compiler of the WGSL.
    pub dialect: Dialect,
    /// `shader-f16`: 16-bit floats in storage and arithmetic.
    pub f16: bool,
    /// Subgroup operations, with the smallest and largest subgroup size.
    pub subgroups: Option<(u32, u32)>,
    /// Timestamp queries around passes, for [`crate::Context::profile`].
    pub timestamps: bool,
    /// Shapes of cooperative matrices (tensor cores), if any.
    pub cooperative: Vec<Cooperative>,
    /// Limits.
    pub limits: Limits,
}

/// The identity of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Position in [`crate::adapters`].
    pub index: usize,
    /// The driver's name for it. In browsers it is short or empty.
    pub name: String,
    /// Discrete, integrated, …
    pub kind: Kind,
    /// `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: String,
    /// Name and version of the driver.
    pub driver: String,
    /// PCI vendor, 0 if unknown.
    pub vendor: u32,
    /// PCI device, 0 if unknown.
    pub device: u32,
}

/// The kinds of adapters, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A card with its own memory.
    Discrete,
    /// Part of the processor, sharing its memory.
    Integrated,
    /// A GPU provided by a hypervisor.
    Virtual,
    /// Unknown, as usual in a browser.
    Other,
    /// A software rasteriser on the CPU, or the browser's fallback adapter. Slow.
    Software,
}

/// The dialect of WGSL: naga rejects `enable subgroups;`, browsers require it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// wgpu's own compiler, natively.
    Naga,
    /// A browser's compiler (tint, naga in Firefox, WebKit's).
    Browser,
}

/// One supported shape of `C += A * B` on cooperative matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cooperative {
    /// Rows of A and C.
    pub m: u32,
    /// Columns of B and C.
    pub n: u32,
    /// Columns of A, rows of B.
    pub k: u32,
    /// Element type of A and B.
    pub inputs: Scalar,
    /// Element type of C.
    pub output: Scalar,
}

/// Element types of cooperative matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 32-bit signed integer.
    I32,
    /// 32-bit unsigned integer.
    U32,
}

/// The limits for kernels and the allocator, in bytes unless noted otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest buffer.
    pub buffer: u64,
    /// Largest range of a storage binding.
    pub storage_binding: u64,
    /// Storage buffers that one kernel may bind.
    pub storage_buffers: u32,
    /// Alignment of a storage binding's offset.
    pub storage_alignment: u64,
    /// Workgroup memory.
    pub workgroup_storage: u32,
    /// Invocations in a workgroup.
    pub invocations: u32,
    /// Largest workgroup along x, y and z.
    pub workgroup_size: [u32; 3],
    /// Workgroups of a dispatch along one axis.
    pub workgroups: u32,
}

impl Capabilities {
    /// Whether the adapter is a software rasteriser, which is correct but slow.
    pub fn is_software(&self) -> bool {
        self.adapter.kind == Kind::Software
    }

    pub(crate) fn of_adapter(adapter: &wgpu::Adapter, index: usize) -> Self {
        let features = adapter.features();
        let cooperative = features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
        let shapes = if cooperative { adapter.cooperative_matrix_properties() } else { Vec::new() };
        Self::new(&adapter.get_info(), index, features, &adapter.limits(), shapes)
    }

    pub(crate) fn new(
        info: &wgpu::AdapterInfo,
        index: usize,
        features: wgpu::Features,
        limits: &wgpu::Limits,
        shapes: Vec<wgpu::CooperativeMatrixProperties>,
    ) -> Self {
        let subgroups = features.contains(wgpu::Features::SUBGROUP);
        let web = info.backend == wgpu::Backend::BrowserWebGpu;
        Self {
            adapter: describe(info, index),
            dialect: if web { Dialect::Browser } else { Dialect::Naga },
            f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            cooperative: shapes.iter().map(cooperative).collect(),
            limits: Limits {
                // Some drivers report 2^31 - 1, but here buffers and bindings are multiples of 16 bytes.
                buffer: limits.max_buffer_size & !15,
                storage_binding: limits.max_storage_buffer_binding_size & !15,
                storage_buffers: limits.max_storage_buffers_per_shader_stage,
                storage_alignment: u64::from(limits.min_storage_buffer_offset_alignment),
                workgroup_storage: limits.max_compute_workgroup_storage_size,
                invocations: limits.max_compute_invocations_per_workgroup,
                workgroup_size: [
                    limits.max_compute_workgroup_size_x,
                    limits.max_compute_workgroup_size_y,
                    limits.max_compute_workgroup_size_z,
                ],
                workgroups: limits.max_compute_workgroups_per_dimension,
            },
        }
    }
}

fn describe(info: &wgpu::AdapterInfo, index: usize) -> Adapter {
    Adapter {
        index,
        name: info.name.clone(),
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => Kind::Discrete,
            wgpu::DeviceType::IntegratedGpu => Kind::Integrated,
            wgpu::DeviceType::VirtualGpu => Kind::Virtual,
            wgpu::DeviceType::Cpu => Kind::Software,
            wgpu::DeviceType::Other => Kind::Other,
        },
        backend: info.backend.to_string(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        vendor: info.vendor,
        device: info.device,
    }
}

fn cooperative(shape: &wgpu::CooperativeMatrixProperties) -> Cooperative {
    let scalar = |kind| match kind {
        wgpu::CooperativeScalarType::F32 => Scalar::F32,
        wgpu::CooperativeScalarType::F16 => Scalar::F16,
        wgpu::CooperativeScalarType::I32 => Scalar::I32,
        wgpu::CooperativeScalarType::U32 => Scalar::U32,
    };
    Cooperative {
        m: shape.m_size,
        n: shape.n_size,
        k: shape.k_size,
        inputs: scalar(shape.ab_type),
        output: scalar(shape.cr_type),
    }
}
