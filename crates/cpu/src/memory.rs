//! A pool of memory for activations and scratch, so that a sampling loop allocates nothing after its first step.
//!
//! A dropped buffer returns to the pool, sorted by length, and serves the next request for its length or slightly less,
//! so a repeated computation reuses its buffers. A small tensor only gets a small buffer, because it may live on while
//! a large buffer is needed elsewhere. If no buffer is long enough, a new one replaces a buffer that is slightly too
//! short, so that steps of different sizes do not each leave their own buffers. Idle memory stays until
//! [`release_idle`], which callers use between phases that need different sizes.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Floats in a cache line: buffers start on one, so that no vector load crosses two.
const LINE: usize = 16;

/// A buffer of floats that starts on a cache line.
#[derive(Default)]
pub(crate) struct Lines {
    data: Vec<f32>,
    /// The offset of the first cache line.
    start: usize,
}

impl Lines {
    /// Zeros, in memory that is not touched before it is written.
    fn zeros(len: usize) -> Self {
        let data = vec![0.0; len + LINE];
        let start = data.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Self { data, start }
    }

    /// Ensures at least `len` floats of any value.
    #[inline]
    pub(crate) fn at_least(&mut self, len: usize) -> &mut [f32] {
        if self.data.len() < len + LINE {
            *self = Self::zeros(len);
        }
        &mut self.data[self.start..]
    }

    /// The whole buffer, which may be longer than requested.
    #[inline(always)]
    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.data[self.start..]
    }
}

/// An element of a pool: memory of some length, or a record of it.
pub trait Buffer {
    /// How many floats fit.
    fn length(&self) -> usize;
}

impl Buffer for Lines {
    fn length(&self) -> usize {
        self.data.len() - LINE
    }
}

/// Idle buffers by length. It contains the choice of a buffer for a request, so that plans without memory can simulate
/// it.
pub struct Pool<B>(BTreeMap<usize, Vec<B>>);

impl<B: Buffer> Pool<B> {
    /// The largest ratio between a new buffer and the one that it replaces.
    const GROWTH: usize = 2;
    /// The largest ratio between a buffer and the requested length.
    const OVERSIZE: usize = 12;

    /// An empty pool.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// A buffer of at least `len` floats: the shortest suitable one, or else a new one.
    pub fn take(&mut self, len: usize, make: impl FnOnce(usize) -> B) -> B {
        let longest = len.saturating_mul(Self::OVERSIZE);
        if let Some(buffer) = self.0.range_mut(len..=longest).find_map(|(_, buffers)| buffers.pop()) {
            return buffer;
        }
        drop(self.0.range_mut(len / Self::GROWTH..len).rev().find_map(|(_, buffers)| buffers.pop()));
        make(len)
    }

    /// Takes a buffer back.
    pub fn give(&mut self, buffer: B) {
        self.0.entry(buffer.length()).or_default().push(buffer);
    }

    /// Takes all buffers out of the pool.
    pub fn drain(&mut self) -> impl Iterator<Item = B> + use<B> {
        std::mem::take(&mut self.0).into_values().flatten()
    }
}

impl<B: Buffer> Default for Pool<B> {
    fn default() -> Self {
        Self::new()
    }
}

/// The idle buffers of all kernels.
static IDLE: Mutex<Pool<Lines>> = Mutex::new(Pool::new());

fn idle() -> MutexGuard<'static, Pool<Lines>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives all idle memory back to the system.
pub fn release_idle() {
    let buffers = idle().drain();
    drop(buffers);
}

/// Aligned floats that return to the pool when they are dropped.
pub struct Floats {
    lines: Lines,
    len: usize,
}

impl Floats {
    /// `len` floats of any value, for kernels that write all of them.
    pub fn take(len: usize) -> Self {
        Self { lines: idle().take(len, Lines::zeros), len }
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut floats = Self::take(len);
        floats.fill(0.0);
        floats
    }

    /// A copy.
    pub fn copy(of: &[f32]) -> Self {
        let mut floats = Self::take(of.len());
        floats.copy_from_slice(of);
        floats
    }
}

impl Drop for Floats {
    fn drop(&mut self) {
        idle().give(std::mem::take(&mut self.lines));
    }
}

impl Deref for Floats {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        &self.lines.data[self.lines.start..][..self.len]
    }
}

impl DerefMut for Floats {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.lines.data[self.lines.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_serve_whoever_asks_for_less_and_give_way_to_longer_ones() {
        let mut idle = Pool::new();
        let short = idle.take(100, Lines::zeros);
        let long = idle.take(1000, Lines::zeros);
        let first = short.as_slice().as_ptr();
        let second = long.as_slice().as_ptr();
        idle.give(long);
        idle.give(short);
        let [a, b] = [90, 90].map(|len| idle.take(len, Lines::zeros));
        assert_eq!([a.as_slice().as_ptr(), b.as_slice().as_ptr()], [first, second]);
        idle.give(a);
        idle.give(b);
        let lengths =
            |idle: &Pool<Lines>| idle.0.iter().map(|(len, buffers)| (*len, buffers.len())).collect::<Vec<_>>();
        // 1000 is more than half of 1500 and goes; 100 stays.
        let longer = idle.take(1500, Lines::zeros);
        assert!(longer.as_slice().len() >= 1500);
        assert_eq!(lengths(&idle), [(100, 1), (1000, 0)]);
        idle.give(longer);
        assert_eq!(lengths(&idle), [(100, 1), (1000, 0), (1500, 1)]);
    }

    #[test]
    fn floats_start_on_a_cache_line() {
        let copy = Floats::copy(&[1.5; 1003]);
        assert!(copy.as_ptr().starts_on_a_line() && copy[..] == [1.5; 1003]);
        drop(copy);
        let zeros = Floats::zeros(1000);
        assert!(zeros.as_ptr().starts_on_a_line() && zeros[..] == [0.0; 1000]);
        assert_eq!(Floats::take(0).len(), 0);
    }

    #[test]
    fn scratch_grows() {
        let mut lines = Lines::default();
        for len in [5, 100, 7] {
            let data = lines.at_least(len);
            assert!(data.len() >= len && data.as_ptr().starts_on_a_line());
        }
    }

    trait OnLine {
        fn starts_on_a_line(self) -> bool;
    }

    impl OnLine for *const f32 {
        fn starts_on_a_line(self) -> bool {
            self.addr().is_multiple_of(64)
        }
    }
}
