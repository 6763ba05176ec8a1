//! Tensors without data: only shapes and types, with a ledger of the memory that they would take on a device.
//!
//! Building and running a network with them shows how much memory it needs, before any weight is read: every op records
//! its allocations in order. Activations come from a pool as on the device, and `easel_cpu::needs` has the scratch
//! memory of the processor's kernels. For a GPU the scratch memory of kernels is not included.

mod ops;

use super::{DType, Device, Products, Storage, Tensor};
use crate::lock::lock;
use crate::{Error, Result};
use easel_cpu::Level;
use easel_cpu::memory::{Buffer, Pool};
use easel_cpu::needs::Kept;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A device without memory or kernels. It only has a ledger, which clones share.
#[derive(Clone)]
pub struct OutlineDevice {
    /// The device that it simulates.
    of: Box<Device>,
    ledger: Arc<Ledger>,
}

/// The memory in use, and the idle buffers.
struct Ledger {
    held: Arc<Held>,
    pool: Mutex<Pool<Note>>,
}

/// Bytes, live or idle.
#[derive(Default)]
struct Held {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Held {
    fn take(&self, bytes: u64) {
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    fn give(&self, bytes: u64) {
        self.now.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A buffer in the pool.
struct Note {
    floats: usize,
    held: Arc<Held>,
}

impl Buffer for Note {
    fn length(&self) -> usize {
        self.floats
    }
}

impl Note {
    fn bytes(&self) -> u64 {
        self.floats as u64 * size_of::<f32>() as u64
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.held.give(self.bytes());
    }
}

/// The memory of one tensor.
enum Memory {
    /// From the pool; `None` once it was returned.
    Pooled(Option<Note>),
    /// Separate memory, for a weight.
    Plain(u64),
}

struct Piece {
    ledger: Arc<Ledger>,
    memory: Memory,
}

impl Drop for Piece {
    fn drop(&mut self) {
        match &mut self.memory {
            Memory::Pooled(note) => {
                if let Some(note) = note.take() {
                    lock(&self.ledger.pool).give(note);
                }
            }
            Memory::Plain(bytes) => self.ledger.held.give(*bytes),
        }
    }
}

impl Ledger {
    fn pooled(self: &Arc<Self>, bytes: u64) -> Piece {
        let make = |floats| {
            let note = Note { floats, held: Arc::clone(&self.held) };
            self.held.take(note.bytes());
            note
        };
        let floats = bytes.div_ceil(size_of::<f32>() as u64) as usize;
        let note = lock(&self.pool).take(floats, make);
        Piece { ledger: Arc::clone(self), memory: Memory::Pooled(Some(note)) }
    }

    fn plain(self: &Arc<Self>, bytes: u64) -> Piece {
        self.held.take(bytes);
        Piece { ledger: Arc::clone(self), memory: Memory::Plain(bytes) }
    }
}

impl OutlineDevice {
    /// An empty ledger for a device.
    pub fn of(device: &Device) -> Self {
        let of = match device {
            Device::Outline(outline) => outline.of.clone(),
            device => Box::new(device.clone()),
        };
        Self { of, ledger: Arc::new(Ledger { held: Arc::default(), pool: Mutex::default() }) }
    }

    /// The device that it simulates.
    pub fn stands_for(&self) -> &Device {
        &self.of
    }

    /// The current bytes of tensors and idle buffers.
    pub fn held(&self) -> u64 {
        self.ledger.held.now.load(Ordering::Relaxed)
    }

    /// The peak since the last call.
    pub fn take_peak(&self) -> u64 {
        self.ledger.held.peak.swap(self.held(), Ordering::Relaxed)
    }

    pub(super) fn release_idle(&self) {
        let idle = lock(&self.ledger.pool).drain();
        drop(idle);
    }

    fn is_cpu(&self) -> bool {
        matches!(*self.of, Device::Cpu)
    }
}

impl fmt::Debug for OutlineDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutlineDevice({:?})", self.of)
    }
}

/// A tensor without data.
#[derive(Clone)]
pub(super) struct Outline {
    device: OutlineDevice,
    shape: Vec<usize>,
    dtype: DType,
    /// The form of a prepared weight.
    kept: Option<Kept>,
    #[allow(dead_code, reason = "held until the last tensor that has it is gone")]
    memory: Arc<Piece>,
}

/// The bytes of this many elements, in whole blocks.
fn bytes_of(dtype: DType, elements: usize) -> u64 {
    (elements / dtype.block()) as u64 * dtype.size() as u64
}

impl Outline {
    /// A tensor in separate memory.
    pub(super) fn plain(device: &OutlineDevice, dtype: DType, shape: &[usize]) -> Tensor {
        let memory = device.ledger.plain(bytes_of(dtype, shape.iter().product()));
        Self::over(device, dtype, shape, memory)
    }

    /// A tensor in pooled memory.
    fn pooled(device: &OutlineDevice, dtype: DType, shape: &[usize]) -> Tensor {
        let memory = device.ledger.pooled(bytes_of(dtype, shape.iter().product()));
        Self::over(device, dtype, shape, memory)
    }

    fn over(device: &OutlineDevice, dtype: DType, shape: &[usize], memory: Piece) -> Tensor {
        let memory = Arc::new(memory);
        let outline = Self { device: device.clone(), shape: shape.to_vec(), dtype, kept: None, memory };
        Tensor { storage: Storage::Outline(outline) }
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(super) fn home(&self) -> Device {
        Device::Outline(self.device.clone())
    }

    /// See [`Tensor::prepared`].
    pub(super) fn prepared(&self, products: Products) -> Tensor {
        let same = || Tensor { storage: Storage::Outline(self.clone()) };
        if !self.device.is_cpu() || self.kept.is_some() {
            return same();
        }
        let [n, rest @ ..] = self.shape.as_slice() else { return same() };
        if rest.is_empty() {
            return Self::plain(&self.device, DType::F32, &self.shape);
        }
        let even = rest.last().is_some_and(|channels| channels % 2 == 0);
        let kept = match self.dtype {
            DType::Blocks(format) if products == Products::F32 || !Level::current().prefers_integers(format) => {
                Kept::Widened(format)
            }
            DType::Blocks(format) => Kept::Integers(format),
            _ if products == Products::Bf16 && even => Kept::Pairs,
            dtype => Kept::Floats(dtype.size()),
        };
        let bytes = kept.bytes([*n, rest.iter().product()]) as u64;
        let memory = Arc::new(self.device.ledger.plain(bytes));
        Tensor { storage: Storage::Outline(Self { kept: Some(kept), memory, ..self.clone() }) }
    }
}

impl Tensor {
    fn outline(&self, op: &'static str) -> Result<&Outline> {
        match &self.storage {
            Storage::Outline(outline) => Ok(outline),
            _ => Err(Error::Backend { op, reason: "tensors with and without data cannot be combined".into() }),
        }
    }
}

/// The error of reading a tensor without data.
pub(super) fn no_numbers(op: &'static str) -> Error {
    Error::Backend { op, reason: "a tensor of a plan has no data".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Epilogue;
    use crate::weights::Weights;

    #[test]
    fn the_ledger_knows_current_and_peak_bytes() {
        let outline = OutlineDevice::of(&Device::Cpu);
        let device = Device::Outline(outline.clone());
        let weights = Weights::random(DType::F16, &device);
        let weight = weights.prepared("weight", &[64, 32]).unwrap();
        assert_eq!(outline.held(), 64 * 32 * 2, "panels of whole columns, and the loaded copy is gone");
        let x = Tensor::zeros(&[10, 32], &device).unwrap();
        let y = x.linear(&weight, None, Epilogue::default()).unwrap();
        assert_eq!((y.shape(), y.dtype()), ([10, 64].as_slice(), DType::F32));
        let with_both = outline.held();
        assert_eq!(with_both, 4096 + 10 * 32 * 4 + 10 * 64 * 4);
        drop(y);
        assert_eq!(outline.held(), with_both, "idle");
        let again = x.linear(&weight, None, Epilogue::default()).unwrap();
        assert_eq!(outline.held(), with_both, "used again");
        drop((again, x));
        device.release_idle();
        assert_eq!((outline.held(), outline.take_peak()), (4096, 2 * 4096), "the peak is that of packing");
        assert_eq!(outline.take_peak(), 4096);
        assert!(pollster::block_on(weight.to_vec()).is_err());
    }

    #[test]
    fn a_gpu_keeps_activations_in_its_type() {
        let device = Device::Outline(OutlineDevice::of(&Device::Cpu));
        let x = Tensor::zeros(&[2, 8], &device).unwrap().cast(DType::F16).unwrap();
        assert_eq!((x.dtype(), device.float()), (DType::F16, DType::F32));
    }
}
