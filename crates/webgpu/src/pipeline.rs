//! Compiled kernels, cached by name and constants.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

use crate::error::one_line;
use crate::recorder::SLOT;
use crate::shader::Kernel;
use crate::{Capabilities, Error, Result};

/// A compiled kernel with the layout of its one bind group: uniforms, inputs, outputs.
pub(crate) struct Pipeline {
    pub(crate) name: &'static str,
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: Arc<Layout>,
}

pub(crate) struct Layout {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) bindings: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

#[derive(Default)]
pub(crate) struct Pipelines {
    compiled: Mutex<HashMap<Kernel, Arc<Pipeline>>>,
    layouts: Mutex<HashMap<(usize, usize), Arc<Layout>>>,
}

impl Pipelines {
    pub(crate) fn len(&self) -> usize {
        self.compiled.lock().len()
    }

    /// The kernel, which is compiled at its first use.
    ///
    /// # Errors
    /// If the compiler rejects it (in a browser this is reported later, see `report`).
    pub(crate) fn get(
        &self,
        device: &wgpu::Device,
        capabilities: &Capabilities,
        kernel: &Kernel,
        inputs: usize,
        outputs: usize,
        report: impl FnOnce(wgpu::ErrorScopeGuard, &'static str) -> Result<()>,
    ) -> Result<Arc<Pipeline>> {
        if let Some(found) = self.compiled.lock().get(kernel) {
            let layout = &found.layout;
            if (layout.inputs, layout.outputs) != (inputs, outputs) {
                let reason = format!(
                    "bound to {inputs} inputs and {outputs} outputs, but previously to {} and {}",
                    layout.inputs, layout.outputs
                );
                return Err(Error::Dispatch { kernel: kernel.name, reason });
            }
            return Ok(Arc::clone(found));
        }
        // Compiled outside the lock, so that several threads can warm the cache at the same time.
        let layout = self.layout(device, inputs, outputs);
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let pipeline = compile(device, kernel, &kernel.wgsl(capabilities), &layout);
        report(scope, kernel.name)?;
        let pipeline = Arc::new(Pipeline { name: kernel.name, pipeline, layout });
        let mut compiled = self.compiled.lock();
        Ok(Arc::clone(compiled.entry(kernel.clone()).or_insert(pipeline)))
    }

    fn layout(&self, device: &wgpu::Device, inputs: usize, outputs: usize) -> Arc<Layout> {
        let mut layouts = self.layouts.lock();
        let layout = layouts.entry((inputs, outputs)).or_insert_with(|| Arc::new(Layout::new(device, inputs, outputs)));
        Arc::clone(layout)
    }
}

impl Layout {
    fn new(device: &wgpu::Device, inputs: usize, outputs: usize) -> Self {
        let uniforms = wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: true,
            min_binding_size: wgpu::BufferSize::new(SLOT),
        };
        let storage = |read_only| wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only },
            has_dynamic_offset: false,
            min_binding_size: None,
        };
        let types = std::iter::once(uniforms)
            .chain(std::iter::repeat_n(storage(true), inputs))
            .chain(std::iter::repeat_n(storage(false), outputs));
        let entries: Vec<_> = (0..)
            .zip(types)
            .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty,
                count: None,
            })
            .collect();
        let bindings =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        Self { inputs, outputs, bindings, pipeline }
    }
}

fn compile(device: &wgpu::Device, kernel: &Kernel, text: &str, layout: &Layout) -> wgpu::ComputePipeline {
    let descriptor =
        wgpu::ShaderModuleDescriptor { label: Some(kernel.name), source: wgpu::ShaderSource::Wgsl(text.into()) };
    // SAFETY: the text comes from this crate. Its loops terminate, its divisors are not zero, and its ops pass sizes
    // that keep every index inside the bound ranges.
    let module = unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.name),
        layout: Some(&layout.pipeline),
        module: &module,
        entry_point: None,
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &[],
            zero_initialize_workgroup_memory: false,
        },
        cache: None,
    })
}

/// A compiler's message as an error.
pub(crate) fn kernel_error(kernel: &'static str, error: &wgpu::Error) -> Error {
    Error::Kernel { kernel, reason: one_line(&error.to_string()) }
}
