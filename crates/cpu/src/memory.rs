//! Memory for activations and scratch that is used again: from the second step of a sampling loop on, nothing is taken
//! from the system.
//!
//! What is given back waits under its length, so a computation that repeats finds exactly what it left; before more is taken
//! from the system, what is up to four times too long will do. Idle memory stays until [`release_idle`]; callers do that
//! where one phase of their work ends and another, of other sizes, begins.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Floats in a cache line: buffers start on one, so that no vector load crosses two.
const LINE: usize = 16;

/// A buffer of floats that starts on a cache line.
#[derive(Default)]
pub(crate) struct Lines {
    data: Vec<f32>,
    /// Where the first cache line begins.
    start: usize,
}

impl Lines {
    /// Zeros, in memory that is not touched before it is written.
    fn zeros(len: usize) -> Self {
        let data = vec![0.0; len + LINE];
        let start = data.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Self { data, start }
    }

    /// At least `len` floats, of any value.
    pub(crate) fn at_least(&mut self, len: usize) -> &mut [f32] {
        if self.data.len() < len + LINE {
            *self = Self::zeros(len);
        }
        &mut self.data[self.start..]
    }

    /// All of the buffer; it may be longer than what was asked for.
    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.data[self.start..]
    }
}

/// Buffers that wait for their next use, by length.
static IDLE: Mutex<BTreeMap<usize, Vec<Lines>>> = Mutex::new(BTreeMap::new());

fn idle() -> MutexGuard<'static, BTreeMap<usize, Vec<Lines>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives all idle memory back to the system.
pub fn release_idle() {
    let buffers = std::mem::take(&mut *idle());
    drop(buffers);
}

/// Floats on cache lines that go back to the idle ones when they are dropped.
pub struct Floats {
    lines: Lines,
    len: usize,
}

/// How many times longer than needed a buffer may be.
const REACH: usize = 4;

impl Floats {
    /// `len` floats of any value: a kernel is about to write all of them.
    pub fn take(len: usize) -> Self {
        let waiting = idle().range_mut(len..=len.saturating_mul(REACH)).find_map(|(_, buffers)| buffers.pop());
        Self { lines: waiting.unwrap_or_else(|| Lines::zeros(len)), len }
    }

    /// `len` times zero.
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
        let lines = std::mem::take(&mut self.lines);
        idle().entry(lines.data.len() - LINE).or_default().push(lines);
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.lines.data[self.lines.start..][..self.len]
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.lines.data[self.lines.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_and_starts_on_a_cache_line() {
        // No other test takes that many.
        const LEN: usize = 2_000_003;
        let first = Floats::copy(&vec![1.5; LEN]);
        let place = first.as_ptr();
        assert!(place.starts_on_a_line() && first.iter().all(|x| *x == 1.5));
        drop(first);
        let second = Floats::zeros(LEN);
        assert_eq!((second.as_ptr(), second.len(), second[LEN - 1]), (place, LEN, 0.0));
        let third = Floats::take(LEN);
        assert_ne!(third.as_ptr(), place);
        drop(second);
        let shorter = Floats::take(LEN - 5);
        assert_eq!((shorter.as_ptr(), shorter.len()), (place, LEN - 5));
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
