//! Loops over all cores: rayon with the `threads` feature, plain loops without.

#[cfg(feature = "threads")]
use std::cell::Cell;

#[cfg(feature = "threads")]
thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with kernels on the current thread only. It then never waits for the shared threads, so they may wait for
/// it.
#[cfg(feature = "threads")]
pub fn alone<R>(f: impl FnOnce() -> R) -> R {
    /// Restores the previous state, even if `f` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _restore = Restore(ALONE.replace(true));
    f()
}

/// Runs `f`: there are no other threads.
#[cfg(not(feature = "threads"))]
pub fn alone<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Calls `f(index, chunk)` for every `chunk`-sized piece of `data` (the last may be shorter), on all cores.
#[cfg(feature = "threads")]
pub fn for_each_chunk<T: Send>(data: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    use rayon::prelude::*;
    if data.len() <= chunk || ALONE.get() {
        data.chunks_mut(chunk.max(1)).enumerate().for_each(|(i, c)| f(i, c));
    } else {
        data.par_chunks_mut(chunk.max(1)).enumerate().for_each(|(i, c)| f(i, c));
    }
}

/// Calls `f(index, chunk)` for every `chunk`-sized piece of `data` (the last may be shorter), in order.
#[cfg(not(feature = "threads"))]
pub fn for_each_chunk<T: Send>(data: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    data.chunks_mut(chunk.max(1)).enumerate().for_each(|(i, c)| f(i, c));
}

/// Elements per elementwise task: 64 KiB.
pub(crate) const CHUNK: usize = 16 * 1024;

/// Calls `f` with pieces of `x` and the same pieces of `out`, on all cores.
pub(crate) fn for_each_pair(x: &[f32], out: &mut [f32], f: impl Fn(&[f32], &mut [f32]) + Sync + Send) {
    assert_eq!(x.len(), out.len());
    for_each_chunk(out, CHUNK, |i, out| f(&x[i * CHUNK..][..out.len()], out));
}

/// Calls `f` for every number below `count`, on all cores.
#[cfg(feature = "threads")]
pub fn for_each_task(count: usize, f: impl Fn(usize) + Sync + Send) {
    use rayon::prelude::*;
    if count <= 1 || ALONE.get() {
        (0..count).for_each(f);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(f);
    }
}

/// Calls `f` for every number below `count`, in order.
#[cfg(not(feature = "threads"))]
pub fn for_each_task(count: usize, f: impl Fn(usize) + Sync + Send) {
    (0..count).for_each(f);
}

/// Values that can be passed to the kernels' threads: `Send` types with threads, any type without.
#[cfg(feature = "threads")]
pub trait Movable: Send {}
#[cfg(feature = "threads")]
impl<T: Send> Movable for T {}

/// Values that can be passed to the kernels' threads: `Send` types with threads, any type without.
#[cfg(not(feature = "threads"))]
pub trait Movable {}
#[cfg(not(feature = "threads"))]
impl<T> Movable for T {}

/// Calls `f` on one of the kernels' threads. A kernel that is called from another thread is handed over to them, which
/// takes longer than a small kernel itself.
#[cfg(feature = "threads")]
pub fn enter<R: Movable>(f: impl FnOnce() -> R + Movable) -> R {
    let level = crate::Level::current();
    if ALONE.get() {
        return f();
    }
    rayon::scope(|_| level.with(f))
}

/// Calls `f`: there are no other threads.
#[cfg(not(feature = "threads"))]
pub fn enter<R: Movable>(f: impl FnOnce() -> R + Movable) -> R {
    f()
}

/// The number of threads that kernels use.
pub fn threads() -> usize {
    #[cfg(feature = "threads")]
    return if ALONE.get() { 1 } else { rayon::current_num_threads() };
    #[cfg(not(feature = "threads"))]
    1
}

/// A mutable slice that several tasks write at the same time, each to its own parts, which need not be contiguous, such
/// as the tiles of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T> {
    data: *mut T,
    len: usize,
}

// SAFETY: every access is unsafe and requires disjoint parts; `T` itself may move between threads.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(data: &mut [T]) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len() }
    }

    /// The address of element `at`.
    ///
    /// # Safety
    /// The slice must still be borrowed by the caller of `new`; only one task may use the elements it reaches.
    #[inline(always)]
    pub(crate) unsafe fn at(&self, at: usize) -> *mut T {
        assert!(at < self.len);
        // SAFETY: `at` is inside the slice.
        unsafe { self.data.add(at) }
    }

    /// The elements `at..at + len`.
    ///
    /// # Safety
    /// As for `at`; no other reference to these elements may exist.
    #[inline(always)]
    pub(crate) unsafe fn slice<'a>(self, at: usize, len: usize) -> &'a mut [T] {
        assert!(at <= self.len && len <= self.len - at);
        // SAFETY: the range is inside the slice, and the caller guarantees exclusive use.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(at), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn alone_means_one_after_the_other() {
        let order = Mutex::new(Vec::new());
        let expected: Vec<usize> = (0..1000).collect();
        alone(|| {
            for_each_task(1000, |i| order.lock().unwrap().push(i));
            assert_eq!(order.lock().unwrap().split_off(0), expected);
            enter(|| for_each_chunk(&mut [0; 1000], 1, |i, _| order.lock().unwrap().push(i)));
            assert_eq!((order.lock().unwrap().split_off(0), threads()), (expected.clone(), 1));
        });
    }
}
