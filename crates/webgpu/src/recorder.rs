//! Records commands and splits them into submits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Buffer;
use crate::buffer::Raw;
use crate::pacing::Pacing;
use crate::pipeline::Pipeline;
use crate::plan::Capture;
use crate::shader::Kernel;

/// Bytes per dispatch for uniforms in an arena: an alignment of dynamic offsets that every device accepts.
pub(crate) const SLOT: u64 = 256;

/// The most dispatches in a submit; phones fail with many more.
pub(crate) const SUBMIT_DISPATCHES: usize = 64;

/// The most cached bind groups.
const KEPT_GROUPS: usize = 8192;

/// One run of a kernel.
///
/// The kernel's group 0 holds the uniforms at binding 0, then the inputs (`read`), then the outputs (`read_write`). An
/// output must not share its buffer with an input or another output, not even through [`Buffer::slice`].
#[derive(Debug, Clone, Copy)]
pub struct Dispatch<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Buffers that it reads.
    pub inputs: &'a [&'a Buffer],
    /// Buffers that it reads and writes.
    pub outputs: &'a [&'a Buffer],
    /// Content of the uniform block, at most 256 bytes.
    pub uniforms: &'a [u8],
    /// Workgroups along x, y and z.
    pub workgroups: [u32; 3],
    /// Approximate multiply-adds, by which submits are split.
    pub work: u64,
}

/// One recorded command, ready to be encoded.
pub(crate) enum Command {
    Dispatch { pipeline: Arc<Pipeline>, group: wgpu::BindGroup, offset: u32, workgroups: [u32; 3], work: u64 },
    Copy { source: Range, destination: Range },
}

/// A position in a wgpu buffer.
pub(crate) struct Range {
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// A buffer range that a kernel binds.
#[derive(Clone)]
pub(crate) struct Binding {
    pub(crate) raw: Arc<Raw>,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl Binding {
    pub(crate) fn of(buffer: &Buffer) -> Self {
        Self { raw: Arc::clone(buffer.raw()), offset: buffer.offset(), size: buffer.binding_size() }
    }
}

/// The buffers and the layout of a bind group.
#[derive(PartialEq, Eq, Hash)]
struct GroupKey {
    inputs: usize,
    ranges: Vec<(u64, u64, u64)>,
}

/// Commands that are recorded but not yet submitted.
pub(crate) struct Recorder {
    /// Number of the submit that is being recorded. The first is 1.
    pub(crate) serial: u64,
    pub(crate) capture: Option<Capture>,
    pub(crate) pacing: Pacing,
    /// Bind groups created since the context was opened.
    pub(crate) groups_made: u64,
    pending: Vec<Command>,
    uniforms: Vec<u8>,
    cost: u64,
    arena: wgpu::Buffer,
    groups: HashMap<GroupKey, wgpu::BindGroup>,
}

impl Recorder {
    pub(crate) fn new(device: &wgpu::Device) -> Self {
        Self {
            serial: 1,
            capture: None,
            pacing: Pacing::default(),
            groups_made: 0,
            pending: Vec::new(),
            uniforms: Vec::new(),
            cost: 0,
            arena: uniform_arena(device, SUBMIT_DISPATCHES as u64 * SLOT),
            groups: HashMap::new(),
        }
    }

    /// Whether to submit before recording anything more.
    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= SUBMIT_DISPATCHES || self.cost >= self.pacing.budget()
    }

    /// Records a dispatch that has been checked.
    pub(crate) fn dispatch(
        &mut self,
        device: &wgpu::Device,
        pipeline: Arc<Pipeline>,
        bindings: &[Binding],
        dispatch: &Dispatch<'_>,
    ) {
        let group = self.group(device, &pipeline, bindings);
        let offset = self.uniforms.len() as u32;
        push_slot(&mut self.uniforms, dispatch.uniforms);
        for binding in bindings {
            binding.raw.last_use.store(self.serial, Ordering::Relaxed);
        }
        self.cost += cost(dispatch.work);
        let workgroups = dispatch.workgroups;
        let work = dispatch.work;
        self.pending.push(Command::Dispatch { pipeline, group, offset, workgroups, work });
    }

    pub(crate) fn copy(&mut self, source: &Binding, destination: &Binding) {
        for binding in [source, destination] {
            binding.raw.last_use.store(self.serial, Ordering::Relaxed);
        }
        self.push_copy(Range::of(source), Range::of(destination));
    }

    pub(crate) fn push_copy(&mut self, source: Range, destination: Range) {
        self.cost += cost(source.bytes);
        self.pending.push(Command::Copy { source, destination });
    }

    /// Submits the recorded commands, with their uniforms in one write.
    pub(crate) fn submit(&mut self, device: &wgpu::Device, queue: &wgpu::Queue) -> Option<wgpu::SubmissionIndex> {
        if self.pending.is_empty() {
            return None;
        }
        if !self.uniforms.is_empty() {
            queue.write_buffer(&self.arena, 0, &self.uniforms);
        }
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encode(&mut encoder, &self.pending);
        let index = self.submit_encoded(queue, encoder, self.cost);
        self.pending.clear();
        self.uniforms.clear();
        self.cost = 0;
        Some(index)
    }

    /// Submits one encoder's commands of the given cost.
    pub(crate) fn submit_encoded(
        &mut self,
        queue: &wgpu::Queue,
        encoder: wgpu::CommandEncoder,
        cost: u64,
    ) -> wgpu::SubmissionIndex {
        let index = queue.submit([encoder.finish()]);
        self.pacing.submitted(queue, cost);
        self.serial += 1;
        index
    }

    /// Drops the cached bind groups of these buffers.
    pub(crate) fn forget_groups(&mut self, of: &[Arc<Raw>]) {
        let ids: HashSet<u64> = of.iter().map(|raw| raw.id).collect();
        self.groups.retain(|key, _| !key.ranges.iter().any(|(id, ..)| ids.contains(id)));
    }

    fn group(&mut self, device: &wgpu::Device, pipeline: &Pipeline, bindings: &[Binding]) -> wgpu::BindGroup {
        let ranges = bindings.iter().map(|binding| (binding.raw.id, binding.offset, binding.size)).collect();
        let key = GroupKey { inputs: pipeline.layout.inputs, ranges };
        if let Some(group) = self.groups.get(&key) {
            return group.clone();
        }
        if self.groups.len() >= KEPT_GROUPS {
            self.groups.clear();
        }
        let group = bind_group(device, pipeline, &self.arena, bindings);
        self.groups_made += 1;
        self.groups.insert(key, group.clone());
        group
    }
}

impl Range {
    pub(crate) fn of(binding: &Binding) -> Self {
        Self { buffer: binding.raw.buffer.clone(), offset: binding.offset, bytes: binding.size }
    }
}

/// The cost of a dispatch for splitting submits. Even an empty one takes some time to start.
pub(crate) fn cost(work: u64) -> u64 {
    work.max(100_000)
}

/// Appends one dispatch's uniforms, padded to a slot.
pub(crate) fn push_slot(uniforms: &mut Vec<u8>, content: &[u8]) {
    let start = uniforms.len();
    uniforms.extend_from_slice(content);
    uniforms.resize(start + SLOT as usize, 0);
}

pub(crate) fn uniform_arena(device: &wgpu::Device, size: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("uniforms"),
        size,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

pub(crate) fn bind_group(
    device: &wgpu::Device,
    pipeline: &Pipeline,
    uniforms: &wgpu::Buffer,
    bindings: &[Binding],
) -> wgpu::BindGroup {
    let resource = |buffer, offset, size| {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size: wgpu::BufferSize::new(size) })
    };
    let resources = std::iter::once(resource(uniforms, 0, SLOT))
        .chain(bindings.iter().map(|binding| resource(&binding.raw.buffer, binding.offset, binding.size)));
    let entries: Vec<_> =
        (0..).zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.layout.bindings,
        entries: &entries,
    })
}

/// Writes commands into an encoder, with consecutive dispatches in one pass.
pub(crate) fn encode(encoder: &mut wgpu::CommandEncoder, commands: &[Command]) {
    for run in commands.chunk_by(|a, b| a.is_dispatch() && b.is_dispatch()) {
        if let [Command::Copy { source, destination }] = run {
            let from = source;
            let to = destination;
            encoder.copy_buffer_to_buffer(&from.buffer, from.offset, &to.buffer, to.offset, from.bytes);
        } else {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            run.iter().for_each(|command| command.encode(&mut pass));
        }
    }
}

impl Command {
    pub(crate) fn is_dispatch(&self) -> bool {
        matches!(self, Self::Dispatch { .. })
    }

    /// Name of the kernel and its work, for a dispatch.
    pub(crate) fn kernel(&self) -> Option<(&'static str, u64)> {
        match self {
            Self::Dispatch { pipeline, work, .. } => Some((pipeline.name, *work)),
            Self::Copy { .. } => None,
        }
    }

    /// See [`cost`].
    pub(crate) fn cost(&self) -> u64 {
        match self {
            Self::Dispatch { work, .. } => cost(*work),
            Self::Copy { source, .. } => cost(source.bytes),
        }
    }

    pub(crate) fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        if let Self::Dispatch { pipeline, group, offset, workgroups: [x, y, z], .. } = self {
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, group, &[*offset]);
            pass.dispatch_workgroups(*x, *y, *z);
        }
    }
}
