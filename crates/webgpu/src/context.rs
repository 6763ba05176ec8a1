//! An open device: memory, recording, readback.

use parking_lot::{Mutex, MutexGuard};
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::adapter::{self, Opened};
use crate::faults::Faults;
use crate::pipeline::{self, Pipeline, Pipelines};
use crate::pool::{Memory, Pool};
use crate::readback::{Reading, Staging};
use crate::recorder::{Binding, Dispatch, Recorder, SLOT};
use crate::shader::Kernel;
use crate::stream::Staged;
use crate::{Buffer, Capabilities, Error, Options, Result};

/// One open device, cheap to clone.
///
/// Threads may share it, but commands run in the order of recording, so only one thread at a time should compute with
/// it. Commands that another thread records during a [capture](Context::capture) become part of the plan.
#[derive(Clone)]
pub struct Context(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) faults: Faults,
    pub(crate) staging: Staging,
    pub(crate) staged: Staged,
    pub(crate) pool: Arc<Mutex<Pool>>,
    pub(crate) options: Options,
    capabilities: Capabilities,
    pipelines: Pipelines,
    recorder: Mutex<Recorder>,
}

/// Counters of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// GPU memory.
    pub memory: Memory,
    /// Submits so far.
    pub submits: u64,
    /// Bind groups created so far.
    pub bind_groups: u64,
    /// Compiled kernels.
    pub pipelines: usize,
}

impl Context {
    /// Opens a device.
    ///
    /// # Errors
    /// If no adapter matches the choice, or its device cannot be opened.
    pub async fn open(options: &Options) -> Result<Self> {
        let Opened { device, queue, capabilities } = adapter::open(options).await?;
        let faults = Faults::default();
        faults.watch(&device);
        let recorder = Mutex::new(Recorder::new(&device));
        Ok(Self(Arc::new(Shared {
            device,
            queue,
            faults,
            staging: Staging::default(),
            staged: Staged::default(),
            pool: Arc::default(),
            capabilities,
            options: options.clone(),
            pipelines: Pipelines::default(),
            recorder,
        })))
    }

    /// Opens a new context with the same options, after a loss. Buffers and plans of the old one cannot be used with
    /// it.
    ///
    /// # Errors
    /// As [`Context::open`].
    pub async fn reopen(&self) -> Result<Self> {
        Self::open(&self.0.options).await
    }

    /// The device's capabilities.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    /// Whether the device was lost, so that every further call will fail.
    pub fn is_lost(&self) -> bool {
        self.0.faults.is_lost()
    }

    /// Whether `other` is a clone of this context.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Destroys the device and all its memory, even if handles to it still exist.
    pub fn destroy(&self) {
        self.0.faults.lose("destroyed");
        self.0.device.destroy();
    }

    /// Counters and memory.
    pub fn stats(&self) -> Stats {
        let recorder = self.recorder();
        Stats {
            memory: self.pool().memory,
            submits: recorder.serial - 1,
            bind_groups: recorder.groups_made,
            pipelines: self.0.pipelines.len(),
        }
    }

    /// Pooled memory with this content.
    ///
    /// # Errors
    /// As [`Context::alloc`].
    pub fn upload(&self, content: &[u8]) -> Result<Buffer> {
        let buffer = self.acquire(content.len() as u64, true)?;
        self.write(&buffer, 0, content)?;
        Ok(buffer)
    }

    /// Replaces the bytes from `offset`, after everything recorded so far. The data is padded with zeros to a multiple
    /// of four bytes.
    ///
    /// # Errors
    /// If the range is not inside the buffer or `offset` not a multiple of four; while capturing, if a captured command
    /// already uses the buffer.
    pub fn write(&self, buffer: &Buffer, offset: u64, content: &[u8]) -> Result<()> {
        self.prepare_write(buffer, offset, content.len() as u64)?;
        let queue = &self.0.queue;
        let start = buffer.offset() + offset;
        let whole = content.len() / 4 * 4;
        queue.write_buffer(&buffer.raw().buffer, start, &content[..whole]);
        if whole < content.len() {
            let mut tail = [0; 4];
            tail[..content.len() - whole].copy_from_slice(&content[whole..]);
            queue.write_buffer(&buffer.raw().buffer, start + whole as u64, &tail);
        }
        Ok(())
    }

    /// Checks a write and queues it after the recorded commands.
    pub(crate) fn prepare_write(&self, buffer: &Buffer, offset: u64, bytes: u64) -> Result<()> {
        buffer.check("a write", offset, bytes, 4)?;
        self.0.faults.check()?;
        let mut recorder = self.recorder();
        if let Some(capture) = &mut recorder.capture {
            return capture.write(buffer);
        }
        if buffer.raw().last_use.load(Ordering::Relaxed) == recorder.serial {
            self.submit(&mut recorder);
        }
        Ok(())
    }

    /// Records a copy of `bytes` bytes. Offsets and `bytes` must be multiples of four, except for a copy up to the end
    /// of `destination`.
    ///
    /// # Errors
    /// If a range is not inside its buffer or not aligned, or both are the same buffer.
    pub fn copy(
        &self,
        source: &Buffer,
        source_offset: u64,
        destination: &Buffer,
        destination_offset: u64,
        bytes: u64,
    ) -> Result<()> {
        source.check("a copy", source_offset, bytes, 4)?;
        destination.check("a copy", destination_offset, bytes, 4)?;
        let to_the_end = destination_offset + bytes == destination.bytes();
        if !bytes.is_multiple_of(4) && !to_the_end {
            let start = destination_offset;
            let end = destination_offset + bytes;
            return Err(Error::Range { what: "a copy", start, end, size: destination.bytes(), align: 4 });
        }
        if Arc::ptr_eq(source.raw(), destination.raw()) {
            return Err(Error::Dispatch { kernel: "copy", reason: "source and destination share a buffer".to_owned() });
        }
        if bytes == 0 {
            return Ok(());
        }
        let size = bytes.next_multiple_of(4);
        let range =
            |buffer: &Buffer, offset| Binding { raw: Arc::clone(buffer.raw()), offset: buffer.offset() + offset, size };
        self.0.faults.check()?;
        let mut recorder = self.recorder();
        let from = range(source, source_offset);
        let to = range(destination, destination_offset);
        if let Some(capture) = &mut recorder.capture {
            capture.copy(source, destination, from, to);
            return Ok(());
        }
        recorder.copy(&from, &to);
        self.submit_if_full(&mut recorder);
        Ok(())
    }

    /// Records one run of a kernel.
    ///
    /// # Errors
    /// If the kernel does not compile, or the dispatch breaks a limit of the device or a rule of [`Dispatch`].
    pub fn dispatch(&self, dispatch: Dispatch<'_>) -> Result<()> {
        self.0.faults.check()?;
        self.check_dispatch(&dispatch)?;
        if dispatch.workgroups.contains(&0) {
            return Ok(());
        }
        let pipeline = self.pipeline(dispatch.kernel, dispatch.inputs.len(), dispatch.outputs.len())?;
        let buffers = || dispatch.inputs.iter().chain(dispatch.outputs).copied();
        let bindings: Vec<Binding> = buffers().map(Binding::of).collect();
        let mut recorder = self.recorder();
        if let Some(capture) = &mut recorder.capture {
            capture.dispatch(pipeline, buffers(), bindings, &dispatch);
            return Ok(());
        }
        recorder.dispatch(&self.0.device, pipeline, &bindings, &dispatch);
        self.submit_if_full(&mut recorder);
        Ok(())
    }

    /// Compiles kernels in advance, each with its numbers of inputs and outputs: natively on all cores, in a browser in
    /// its GPU process.
    ///
    /// # Errors
    /// If a kernel does not compile.
    pub fn warm(&self, kernels: &[(Kernel, usize, usize)]) -> Result<()> {
        self.0.faults.check()?;
        let compile =
            |(kernel, inputs, outputs): &(Kernel, usize, usize)| self.pipeline(kernel, *inputs, *outputs).map(|_| ());
        #[cfg(target_arch = "wasm32")]
        return kernels.iter().try_for_each(compile);
        #[cfg(not(target_arch = "wasm32"))]
        {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let share = kernels.len().div_ceil(threads).max(1);
            std::thread::scope(|scope| {
                let workers: Vec<_> = kernels
                    .chunks(share)
                    .map(|chunk| scope.spawn(move || chunk.iter().try_for_each(compile)))
                    .collect();
                workers.into_iter().try_for_each(|worker| {
                    worker.join().unwrap_or(Err(Error::Device { reason: "a compiler thread panicked".to_owned() }))
                })
            })
        }
    }

    /// Starts reading a range back, after everything recorded so far. Await the result, or poll [`Reading::is_ready`].
    pub fn read(&self, buffer: &Buffer, range: impl RangeBounds<u64>) -> Reading {
        Reading::start(self, buffer, range)
    }

    /// Submits the recorded commands without waiting for them.
    ///
    /// # Errors
    /// If the device is lost, or reported an error since the last call.
    pub fn flush(&self) -> Result<()> {
        self.submit(&mut self.recorder());
        self.0.faults.check()
    }

    pub(crate) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.0.recorder.lock()
    }

    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.pool.lock()
    }

    /// Submits the recorded commands, and destroys the buffers that were only kept for them.
    pub(crate) fn submit(&self, recorder: &mut Recorder) -> Option<wgpu::SubmissionIndex> {
        let index = recorder.submit(&self.0.device, &self.0.queue);
        let dead = self.pool().take_dead();
        self.discard(recorder, &dead);
        self.poll();
        index
    }

    /// Runs the callbacks of finished work. A browser does that by itself.
    pub(crate) fn poll(&self) {
        // A failure means a lost device, which the callback reports.
        let _ = self.0.device.poll(wgpu::PollType::Poll);
    }

    fn submit_if_full(&self, recorder: &mut Recorder) {
        if recorder.is_full() {
            self.submit(recorder);
        }
    }

    fn pipeline(&self, kernel: &Kernel, inputs: usize, outputs: usize) -> Result<Arc<Pipeline>> {
        let Shared { device, capabilities, pipelines, faults, .. } = &*self.0;
        pipelines.get(device, capabilities, kernel, inputs, outputs, |scope, name| {
            faults.settle(scope, move |error| pipeline::kernel_error(name, &error))
        })
    }

    fn check_dispatch(&self, dispatch: &Dispatch<'_>) -> Result<()> {
        let limits = &self.0.capabilities.limits;
        let broken = |reason| Err(Error::Dispatch { kernel: dispatch.kernel.name, reason });
        let Dispatch { inputs, outputs, uniforms, workgroups, .. } = *dispatch;
        if uniforms.len() as u64 > SLOT {
            return broken(format!("{} bytes of uniforms, but the limit is {SLOT}", uniforms.len()));
        }
        let bound = inputs.len() + outputs.len();
        if bound > limits.storage_buffers as usize {
            return broken(format!("{bound} storage buffers, but the device's limit is {}", limits.storage_buffers));
        }
        if workgroups.iter().any(|&count| count > limits.workgroups) {
            return broken(format!(
                "{workgroups:?} workgroups, but the device's limit is {} per axis",
                limits.workgroups
            ));
        }
        for (place, buffer) in inputs.iter().chain(outputs).enumerate() {
            let bytes = buffer.binding_size();
            if bytes > limits.storage_binding {
                return broken(format!(
                    "binding {place} has {bytes} bytes, but the device's limit is {}",
                    limits.storage_binding
                ));
            }
        }
        for (place, output) in outputs.iter().enumerate() {
            let others = inputs.iter().chain(&outputs[..place]);
            if others.into_iter().any(|other| Arc::ptr_eq(other.raw(), output.raw())) {
                return broken(format!("output {place} shares its buffer with another binding"));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("adapter", &self.0.capabilities.adapter).finish_non_exhaustive()
    }
}
