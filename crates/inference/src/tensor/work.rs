//! Counts the multiply-adds of `linear`, `conv2d` and `attention`, which are nearly all arithmetic.

use std::sync::atomic::{AtomicU64, Ordering};

/// One counter for the whole process, which only benchmarks read.
static MULTIPLY_ADDS: AtomicU64 = AtomicU64::new(0);

/// The multiply-adds of all matrix products, convolutions and attentions since the start of the process, computed from
/// their shapes. A multiply-add is two floating-point operations.
pub fn multiply_adds() -> u64 {
    MULTIPLY_ADDS.load(Ordering::Relaxed)
}

/// Counts one op, given the factors of its number of multiply-adds.
pub(super) fn count<const N: usize>(factors: [usize; N]) {
    let product = factors.iter().fold(1_u64, |product, factor| product.saturating_mul(*factor as u64));
    MULTIPLY_ADDS.fetch_add(product, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Conv2d, Epilogue};
    use crate::{Device, Tensor};

    /// Other tests in this process count too, so the difference is at least the op's own work.
    fn added(work: impl FnOnce()) -> u64 {
        let before = multiply_adds();
        work();
        multiply_adds() - before
    }

    #[test]
    fn every_op_with_a_product_counts_its_multiply_adds() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, &Device::Cpu).unwrap();
        let x = zeros(&[2, 3, 8]);
        let weight = zeros(&[5, 8]);
        assert!(added(|| drop(x.linear(&weight, None, Epilogue::default()).unwrap())) >= 2 * 3 * 5 * 8);
        let x = zeros(&[1, 6, 6, 4]);
        let kernel = zeros(&[7, 3, 3, 4]);
        let conv = || drop(x.conv2d(&kernel, None, Conv2d::padded(1), Epilogue::default()).unwrap());
        assert!(added(conv) >= 6 * 6 * 7 * 3 * 3 * 4);
        let q = zeros(&[1, 9, 16]);
        let k = zeros(&[1, 11, 16]);
        assert!(added(|| drop(q.attention(&k, &k, 2, false).unwrap())) >= 2 * 9 * 11 * 16);
    }
}
