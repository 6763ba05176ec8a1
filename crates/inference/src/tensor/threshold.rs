//! `dynamic_threshold`: clamps every picture to a quantile of its magnitudes.

use super::{Storage, Tensor};
use crate::Result;
use easel_cpu::Floats;

impl Tensor {
    /// Clamps every picture `[n, ..]` to `-s..=s` and divides it by `s`, where `s` is the `ratio` quantile (0 to 1,
    /// with linear interpolation) of the picture's magnitudes, at least 1 and at most `max`.
    pub fn dynamic_threshold(&self, ratio: f64, max: f64) -> Result<Self> {
        const OP: &str = "dynamic_threshold";
        let batch = self.shape().first().copied().unwrap_or(0);
        if self.elements() == 0 {
            return Err(self.shape_error(OP, "at least one element per picture"));
        }
        let last = self.elements() / batch - 1;
        let rank = ratio.clamp(0.0, 1.0) * last as f64;
        let low = rank.floor() as usize;
        match &self.storage {
            Storage::Cpu(x) => {
                let x = x.f32(OP)?;
                let mut out = Floats::take(x.len());
                for (x, out) in x.chunks_exact(last + 1).zip(out.chunks_exact_mut(last + 1)) {
                    let mut sorted = Floats::take(x.len());
                    sorted.iter_mut().zip(x).for_each(|(to, x)| *to = x.abs());
                    sorted.sort_unstable_by(f32::total_cmp);
                    let below = sorted[low];
                    let above = sorted[(low + 1).min(last)];
                    let quantile = below + (above - below) * (rank - low as f64) as f32;
                    let limit = quantile.max(1.0).min(max as f32);
                    out.iter_mut().zip(x).for_each(|(to, x)| *to = x.clamp(-limit, limit) / limit);
                }
                Ok(Self::made(out, self.shape()))
            }
            Storage::Gpu(_) => Err(super::host::elsewhere(OP, self, "the host")),
            Storage::Candle(x) => x.dynamic_threshold(low, rank - low as f64, max),
            Storage::Outline(x) => Ok(x.made(self.shape())),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Device, Tensor};

    #[test]
    fn each_picture_has_its_own_limit() {
        let data = vec![0.5, -1.0, 2.0, -4.0, 3.0, 0.1, -0.2, 0.3, 0.4, -0.5];
        let x = Tensor::from_vec(data, &[2, 5], &Device::Cpu).unwrap();
        let y = pollster::block_on(x.dynamic_threshold(0.75, 10.0).unwrap().to_vec()).unwrap();
        let third = 1.0 / 3.0;
        let expected = [0.5 * third, -third, 2.0 * third, -1.0, 1.0, 0.1, -0.2, 0.3, 0.4, -0.5];
        assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{y:?}");
        let y = pollster::block_on(x.dynamic_threshold(0.75, 2.0).unwrap().to_vec()).unwrap();
        assert_eq!(y[4], 1.0);
        assert_eq!(y[2], 1.0);
    }

    #[test]
    fn an_empty_tensor_is_refused() {
        let x = Tensor::from_vec(Vec::new(), &[0, 5], &Device::Cpu).unwrap();
        assert!(matches!(x.dynamic_threshold(0.5, 1.0), Err(crate::Error::Shape { .. })));
    }
}
