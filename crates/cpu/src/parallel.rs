//! One way to use the cores: rayon with the `threads` feature, a plain loop without.

/// Calls `f(index, chunk)` for every `chunk`-sized piece of `data` (the last may be shorter), on all cores.
#[cfg(feature = "threads")]
pub fn for_each_chunk<T: Send>(data: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    use rayon::prelude::*;
    if data.len() <= chunk {
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

/// The number of threads that kernels use.
pub fn threads() -> usize {
    #[cfg(feature = "threads")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "threads"))]
    1
}

/// The parallelism handed to the matrix product when it runs alone.
pub(crate) fn gemm_parallelism() -> gemm::Parallelism {
    #[cfg(feature = "threads")]
    return gemm::Parallelism::Rayon(0);
    #[cfg(not(feature = "threads"))]
    gemm::Parallelism::None
}
