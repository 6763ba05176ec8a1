//! A pool of GPU memory, which is reused for tensors of about the same size.
//!
//! Commands run in the order of recording, so memory can be reused as soon as its handle is dropped, even while the GPU
//! still works with it. While a plan is captured, memory that its ops free is only reused inside the plan, and belongs
//! to it afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::buffer::Raw;

/// Bytes that all contexts of this process have allocated from drivers.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

/// Bytes of GPU memory that this process has allocated from drivers, in all contexts.
pub fn allocated() -> u64 {
    ALLOCATED.load(Ordering::Relaxed)
}

/// The GPU memory of a context, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Allocated from the driver.
    pub allocated: u64,
    /// The part in live buffers and plans.
    pub in_use: u64,
    /// The peak of the bytes in use.
    pub peak: u64,
    /// Buffers allocated from the driver.
    pub buffers: u64,
    /// Buffers created since the context was opened.
    pub created: u64,
}

#[derive(Default)]
pub(crate) struct Pool {
    free: Free,
    capture: Option<Capture>,
    /// Resident and broken buffers without handles, kept until the commands that use them are submitted.
    dead: Vec<Arc<Raw>>,
    pub(crate) memory: Memory,
    next: u64,
}

/// Free buffers by size.
#[derive(Default)]
struct Free(BTreeMap<u64, Vec<Arc<Raw>>>);

struct Capture {
    plan: u64,
    owned: Vec<Arc<Raw>>,
    free: Free,
}

impl Free {
    /// The smallest buffer that is large enough, but at most twice as large.
    fn take(&mut self, size: u64) -> Option<Arc<Raw>> {
        let (&found, list) = self.0.range_mut(size..=size.saturating_mul(2)).next()?;
        let raw = list.pop();
        if list.is_empty() {
            self.0.remove(&found);
        }
        raw
    }

    fn put(&mut self, raw: Arc<Raw>) {
        self.0.entry(raw.size).or_default().push(raw);
    }

    fn drain(&mut self) -> impl Iterator<Item = Arc<Raw>> + use<> {
        std::mem::take(&mut self.0).into_values().flatten()
    }
}

/// The allocated size for `bytes`: eight steps per octave, so at most an eighth is wasted.
pub(crate) fn size_class(bytes: u64, limit: u64) -> u64 {
    let bytes = bytes.max(256);
    let step = (1 << bytes.ilog2()) / 8;
    bytes.next_multiple_of(step.max(256)).min(limit / 256 * 256).max(bytes.next_multiple_of(16))
}

impl Pool {
    /// A free buffer of at least `size` bytes. With `fresh`, one that no captured command has used yet.
    pub(crate) fn take(&mut self, size: u64, fresh: bool) -> Option<Arc<Raw>> {
        if let Some(capture) = &mut self.capture
            && !fresh
            && let Some(raw) = capture.free.take(size)
        {
            raw.live.store(true, Ordering::Relaxed);
            return Some(raw);
        }
        loop {
            let raw = self.free.take(size)?;
            if !raw.broken.load(Ordering::Relaxed) {
                self.adopt(&raw);
                return Some(raw);
            }
            self.memory.in_use += raw.size;
            self.dead.push(raw);
        }
    }

    /// Gives a new wgpu buffer its number. It is counted once it is [added](Pool::add).
    pub(crate) fn number(&mut self, buffer: wgpu::Buffer, resident: bool) -> Arc<Raw> {
        self.next += 1;
        Arc::new(Raw {
            id: self.next,
            size: buffer.size(),
            buffer,
            resident,
            last_use: AtomicU64::new(0),
            plan: AtomicU64::new(0),
            pinned: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            live: AtomicBool::new(true),
        })
    }

    /// Adds a new buffer.
    pub(crate) fn add(&mut self, raw: &Arc<Raw>) {
        self.memory.allocated += raw.size;
        ALLOCATED.fetch_add(raw.size, Ordering::Relaxed);
        self.memory.buffers += 1;
        self.memory.created += 1;
        self.adopt(raw);
    }

    fn adopt(&mut self, raw: &Arc<Raw>) {
        raw.live.store(true, Ordering::Relaxed);
        if let Some(capture) = &mut self.capture
            && !raw.resident
        {
            raw.plan.store(capture.plan, Ordering::Relaxed);
            capture.owned.push(Arc::clone(raw));
        }
        self.memory.in_use += raw.size;
        self.memory.peak = self.memory.peak.max(self.memory.in_use);
    }

    /// Called when the last handle is dropped.
    pub(crate) fn release(&mut self, raw: &Arc<Raw>) {
        raw.live.store(false, Ordering::Relaxed);
        if raw.resident {
            self.dead.push(Arc::clone(raw));
            return;
        }
        match (raw.plan.load(Ordering::Relaxed), &mut self.capture) {
            (0, _) => self.idle(Arc::clone(raw)),
            (plan, Some(capture)) if capture.plan == plan && !raw.pinned.load(Ordering::Relaxed) => {
                capture.free.put(Arc::clone(raw));
            }
            // The plan keeps it.
            _ => {}
        }
    }

    fn idle(&mut self, raw: Arc<Raw>) {
        self.memory.in_use -= raw.size;
        self.free.put(raw);
    }

    pub(crate) fn begin_capture(&mut self, plan: u64) {
        self.capture = Some(Capture { plan, owned: Vec::new(), free: Free::default() });
    }

    /// Ends the capture. Its buffers belong to the plan until [`Pool::disown`].
    pub(crate) fn end_capture(&mut self) -> Vec<Arc<Raw>> {
        self.capture.take().map(|capture| capture.owned).unwrap_or_default()
    }

    /// Releases the buffers of a dropped plan.
    pub(crate) fn disown(&mut self, owned: Vec<Arc<Raw>>) {
        for raw in owned {
            raw.plan.store(0, Ordering::Relaxed);
            raw.pinned.store(false, Ordering::Relaxed);
            if !raw.live.load(Ordering::Relaxed) {
                self.idle(raw);
            }
        }
    }

    /// Resident and broken buffers to destroy.
    pub(crate) fn take_dead(&mut self) -> Vec<Arc<Raw>> {
        let dead = std::mem::take(&mut self.dead);
        let bytes: u64 = dead.iter().map(|raw| raw.size).sum();
        self.memory.in_use -= bytes;
        self.forget(&dead);
        dead
    }

    pub(crate) fn has_dead(&self) -> bool {
        !self.dead.is_empty()
    }

    /// Free buffers to destroy.
    pub(crate) fn take_free(&mut self) -> Vec<Arc<Raw>> {
        let free: Vec<_> = self.free.drain().collect();
        self.forget(&free);
        free
    }

    fn forget(&mut self, raws: &[Arc<Raw>]) {
        let bytes = raws.iter().map(|raw| raw.size).sum::<u64>();
        self.memory.allocated -= bytes;
        ALLOCATED.fetch_sub(bytes, Ordering::Relaxed);
        self.memory.buffers -= raws.len() as u64;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        ALLOCATED.fetch_sub(self.memory.allocated, Ordering::Relaxed);
    }
}
