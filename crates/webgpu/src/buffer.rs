//! A handle to a range of GPU memory.

use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::pool::Pool;
use crate::{Error, Result};

/// A range of GPU memory, cheap to clone. When its last clone and slice are dropped, the memory returns to the pool (or
/// to the driver, if it is a [resident](crate::Context::resident) buffer).
///
/// New memory has undefined contents.
#[derive(Clone)]
pub struct Buffer {
    handle: Arc<Handle>,
    offset: u64,
    bytes: u64,
}

/// A wgpu buffer with the pool's data about it.
pub(crate) struct Raw {
    pub(crate) id: u64,
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) size: u64,
    /// Freed when dropped rather than pooled.
    pub(crate) resident: bool,
    /// Number of the submit that last used it.
    pub(crate) last_use: AtomicU64,
    /// The plan that owns it, or 0. Changes under the pool's lock.
    pub(crate) plan: AtomicU64,
    /// The host wrote its contents while capturing, so the plan must not reuse it.
    pub(crate) pinned: AtomicBool,
    /// The browser reported later that there was no memory for it.
    pub(crate) broken: AtomicBool,
    /// Whether a handle exists. Changes under the pool's lock.
    pub(crate) live: AtomicBool,
}

struct Handle {
    raw: Arc<Raw>,
    pool: Arc<Mutex<Pool>>,
}

impl Buffer {
    pub(crate) fn new(raw: Arc<Raw>, pool: Arc<Mutex<Pool>>, bytes: u64) -> Self {
        Self { handle: Arc::new(Handle { raw, pool }), offset: 0, bytes }
    }

    /// The requested length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `bytes` bytes from `offset`, as a separate buffer over the same memory. A kernel must not write one slice and
    /// read another of the same buffer.
    ///
    /// # Errors
    /// If the range is not inside, or `offset` is not a multiple of 256, the alignment that every device accepts.
    pub fn slice(&self, offset: u64, bytes: u64) -> Result<Self> {
        self.check("a slice", offset, bytes, 256)?;
        Ok(Self { handle: Arc::clone(&self.handle), offset: self.offset + offset, bytes })
    }

    /// Checks that `offset` is aligned and that the range is inside.
    pub(crate) fn check(&self, what: &'static str, offset: u64, bytes: u64, align: u64) -> Result<()> {
        let end = offset.saturating_add(bytes);
        if end > self.bytes || !offset.is_multiple_of(align) {
            return Err(Error::Range { what, start: offset, end, size: self.bytes, align });
        }
        Ok(())
    }

    pub(crate) fn raw(&self) -> &Arc<Raw> {
        &self.handle.raw
    }

    /// The start of the range in the wgpu buffer.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes that a kernel binds: a multiple of 16, so that the last elements can be read as a vector.
    pub(crate) fn binding_size(&self) -> u64 {
        self.bytes.next_multiple_of(16).max(16)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handle, offset, bytes } = self;
        f.debug_struct("Buffer").field("id", &handle.raw.id).field("offset", offset).field("bytes", bytes).finish()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.pool.lock().release(&self.raw);
    }
}
