//! Allocation of buffers from the pool and the driver.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::buffer::Raw;
use crate::pool::{Memory, size_class};
use crate::recorder::Recorder;
use crate::{Buffer, Context, Error, Result};

impl Context {
    /// Pooled memory for `bytes` bytes of activations, with undefined contents.
    ///
    /// # Errors
    /// If it exceeds the device's limit, or memory is exhausted.
    pub fn alloc(&self, bytes: u64) -> Result<Buffer> {
        self.acquire(bytes, false)
    }

    /// Memory for `bytes` bytes of weights. It has exactly that size, and is returned to the driver when the last
    /// handle is dropped.
    ///
    /// # Errors
    /// As [`Context::alloc`].
    pub fn resident(&self, bytes: u64) -> Result<Buffer> {
        self.check_size(bytes)?;
        self.reap()?;
        let raw = self.create(bytes.next_multiple_of(16).max(16), true)?;
        Ok(Buffer::new(raw, Arc::clone(&self.0.pool), bytes))
    }

    /// Returns unused pooled memory to the driver.
    ///
    /// # Errors
    /// As [`Context::flush`].
    pub fn trim(&self) -> Result<()> {
        let mut recorder = self.recorder();
        self.submit(&mut recorder);
        let free = self.pool().take_free();
        self.discard(&mut recorder, &free);
        self.0.faults.check()
    }

    pub(crate) fn discard(&self, recorder: &mut Recorder, raws: &[Arc<Raw>]) {
        if !raws.is_empty() {
            recorder.forget_groups(raws);
            raws.iter().for_each(|raw| raw.buffer.destroy());
        }
    }

    /// Destroys resident buffers without handles.
    fn reap(&self) -> Result<()> {
        let dead = self.pool().has_dead();
        if dead { self.flush() } else { self.0.faults.check() }
    }

    fn check_size(&self, bytes: u64) -> Result<()> {
        let limit = self.capabilities().limits.buffer;
        if bytes > limit { Err(Error::BufferTooLarge { bytes, limit }) } else { Ok(()) }
    }

    pub(crate) fn acquire(&self, bytes: u64, fresh: bool) -> Result<Buffer> {
        self.check_size(bytes)?;
        self.reap()?;
        let size = size_class(bytes, self.capabilities().limits.buffer);
        let taken = self.pool().take(size, fresh);
        let raw = match taken {
            Some(raw) => raw,
            None => self.create(size, false)?,
        };
        Ok(Buffer::new(raw, Arc::clone(&self.0.pool), bytes))
    }

    /// Creates a wgpu buffer. If memory is exhausted, it trims the pool and tries again.
    fn create(&self, size: u64, resident: bool) -> Result<Arc<Raw>> {
        match self.try_create(size, resident) {
            Err(Error::OutOfMemory { .. }) => {
                self.trim()?;
                // Destroyed buffers are freed when the work that used them has finished.
                self.poll();
                self.try_create(size, resident)
            }
            result => result,
        }
    }

    fn try_create(&self, size: u64, resident: bool) -> Result<Arc<Raw>> {
        let Memory { allocated, in_use, .. } = self.pool().memory;
        let out_of_memory = Error::OutOfMemory { bytes: size, in_use };
        if self.0.options.memory.is_some_and(|most| allocated + size > most) {
            return Err(out_of_memory);
        }
        let scope = self.0.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let raw = self.pool().number(buffer, resident);
        let broken = Arc::clone(&raw);
        self.0.faults.settle(scope, move |_| {
            broken.broken.store(true, Ordering::Relaxed);
            out_of_memory
        })?;
        self.pool().add(&raw);
        Ok(raw)
    }
}
