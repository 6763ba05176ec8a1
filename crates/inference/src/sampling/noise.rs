//! Random numbers equal to those of `torch.Generator("cpu")`, and the noise source of a run.
//!
//! The generator is Matsumoto & Nishimura's mt19937; normal numbers are made by the Box-Muller method, which torch uses
//! in two ways: 16 or more numbers at a time from 24-bit uniforms, fewer one by one from 53-bit ones. All functions
//! come from `libm`, so that a seed gives the same noise on every platform.

use crate::{Device, Error, Result, Tensor};
use rand_mt::Mt;
use std::collections::VecDeque;
use std::f64::consts::TAU;

/// The number of values that torch transforms together.
const BLOCK: usize = 16;

/// `torch.Generator("cpu")`. A clone continues from the same state, which is how a state is saved.
#[derive(Clone, Debug)]
pub struct Generator {
    bits: Mt,
    /// The second value of the last single pair.
    cached: Option<f64>,
}

impl Generator {
    /// Like `manual_seed(seed)`; a negative seed is passed as its two's complement. Only the low 32 bits count.
    pub fn new(seed: u64) -> Self {
        Self { bits: Mt::new(seed as u32), cached: None }
    }

    /// `torch.rand(count)`: uniform numbers from 0 up to 1.
    pub fn rand(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.uniform24() as f32).collect()
    }

    /// `torch.randn(count)`: normal numbers.
    pub fn randn(&mut self, count: usize) -> Vec<f32> {
        if count < BLOCK {
            return (0..count).map(|_| self.normal() as f32).collect();
        }
        let mut uniforms: Vec<f64> = (0..count).map(|_| self.uniform24()).collect();
        let rest = count % BLOCK;
        for block in uniforms[..count - rest].chunks_exact_mut(BLOCK) {
            box_muller(block);
        }
        if rest > 0 {
            // The last 16 are drawn again as a whole, overwriting some finished values.
            let last = &mut uniforms[count - BLOCK..];
            last.fill_with(|| self.uniform24());
            box_muller(last);
        }
        uniforms.into_iter().map(|value| value as f32).collect()
    }

    fn uniform24(&mut self) -> f64 {
        f64::from(self.bits.next_u32() & 0xff_ffff) / f64::from(1 << 24)
    }

    fn uniform53(&mut self) -> f64 {
        let high = u64::from(self.bits.next_u32());
        let bits = (high << 32 | u64::from(self.bits.next_u32())) & ((1 << 53) - 1);
        bits as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        if let Some(cached) = self.cached.take() {
            return cached;
        }
        let angle = TAU * self.uniform53();
        let radius = libm::sqrt(-2.0 * libm::log1p(-self.uniform53()));
        self.cached = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }
}

/// Turns uniform numbers into normal ones: the first half of the block gives the radii, the second the angles.
fn box_muller(block: &mut [f64]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (radius, angle) in radii.iter_mut().zip(angles) {
        let r = libm::sqrt(-2.0 * libm::log(1.0 - *radius));
        let turn = TAU * *angle;
        *radius = r * libm::cos(turn);
        *angle = r * libm::sin(turn);
    }
}

/// The noise source of a run. Every draw continues where the last one ended.
#[derive(Clone, Debug)]
pub struct Noise {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Batch(Box<Generator>),
    PerImage(Vec<Generator>),
    Draws(VecDeque<Tensor>),
}

impl Noise {
    /// One generator for all images of the batch, as in diffusers with a single generator.
    pub fn batch(seed: u64) -> Self {
        Self { source: Source::Batch(Box::new(Generator::new(seed))) }
    }

    /// One generator per image, as in diffusers with a list: an image is then the same in any batch.
    pub fn per_image(seeds: &[u64]) -> Self {
        Self { source: Source::PerImage(seeds.iter().copied().map(Generator::new).collect()) }
    }

    /// Noise that was drawn elsewhere, in order, channels-last.
    pub fn from_draws(draws: impl IntoIterator<Item = Tensor>) -> Self {
        Self { source: Source::Draws(draws.into_iter().collect()) }
    }

    /// Standard normal noise (`f32`) of a channels-last shape. With four axes it is drawn in torch's `[n, c, h, w]`
    /// order and then permuted; otherwise it is drawn in the order of the shape.
    ///
    /// Errors: [`Error::Shape`] if the batch does not match the generators or the prepared draw has another shape,
    /// [`Error::Invalid`] if all prepared draws have been used.
    pub fn draw(&mut self, shape: &[usize], device: &Device) -> Result<Tensor> {
        const OP: &str = "noise";
        let count: usize = shape.iter().product();
        let wrong = |expected: String| Error::Shape { op: OP, expected, got: shape.to_vec() };
        let values = match &mut self.source {
            Source::Batch(generator) => generator.randn(count),
            Source::PerImage(generators) => {
                let images = generators.len();
                if images == 0 || shape.first() != Some(&images) {
                    return Err(wrong(format!("{images} pictures, one per generator")));
                }
                generators.iter_mut().flat_map(|generator| generator.randn(count / images)).collect()
            }
            Source::Draws(draws) => {
                let draw = draws.pop_front().ok_or_else(|| Error::invalid(OP, "all prepared draws have been used"))?;
                if draw.shape() != shape {
                    return Err(wrong(format!("the prepared draw's shape {:?}", draw.shape())));
                }
                return draw.to_device(device);
            }
        };
        match *shape {
            [n, h, w, c] => {
                Tensor::from_vec(values, &[n, c, h, w], &Device::Cpu)?.to_channels_last()?.to_device(device)
            }
            _ => Tensor::from_vec(values, shape, device),
        }
    }

    /// Noise for one picture that the whole batch shares (`[1, h, w, c]`), from the first generator alone: diffusers
    /// draws the autoencoder's sample of an inpainted picture like this.
    ///
    /// Errors: as [`Noise::draw`].
    pub fn draw_first(&mut self, shape: &[usize], device: &Device) -> Result<Tensor> {
        let Source::PerImage(generators) = &mut self.source else { return self.draw(shape, device) };
        let Some(first) = generators.first_mut() else { return self.draw(shape, device) };
        let mut alone = Self { source: Source::Batch(Box::new(first.clone())) };
        let drawn = alone.draw(shape, device)?;
        if let Source::Batch(generator) = alone.source {
            *first = *generator;
        }
        Ok(drawn)
    }

    /// Noise for a sample: with its shape, on its device.
    pub fn draw_like(&mut self, sample: &Tensor) -> Result<Tensor> {
        self.draw(sample.shape(), &sample.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollster::block_on;

    #[test]
    fn a_clone_continues_identically() {
        let mut generator = Generator::new(7);
        generator.randn(3);
        let mut saved = generator.clone();
        assert_eq!(generator.randn(4), saved.randn(4));
        assert_eq!(generator.randn(20), saved.randn(20));
    }

    #[test]
    fn only_the_low_32_bits_of_a_seed_count() {
        assert_eq!(Generator::new(42).rand(8), Generator::new((1 << 32) + 42).rand(8));
        assert_eq!(Generator::new(-1_i64 as u64).rand(8), Generator::new(u64::from(u32::MAX)).rand(8));
        assert_ne!(Generator::new(42).rand(8), Generator::new(43).rand(8));
    }

    #[test]
    fn an_image_is_the_same_in_any_batch() {
        let shape = [1, 2, 3, 4];
        let alone = Noise::per_image(&[5]).draw(&shape, &Device::Cpu).unwrap();
        let both = Noise::per_image(&[9, 5]).draw(&[2, 2, 3, 4], &Device::Cpu).unwrap();
        let second = both.narrow(0, 1, 1).unwrap();
        assert_eq!(block_on(alone.to_vec()).unwrap(), block_on(second.to_vec()).unwrap());
        let first = Noise::batch(9).draw(&[2, 2, 3, 4], &Device::Cpu).unwrap();
        assert_ne!(block_on(first.to_vec()).unwrap(), block_on(both.to_vec()).unwrap());
    }

    #[test]
    fn four_axes_are_drawn_channels_first() {
        let turned = Noise::batch(3).draw(&[1, 2, 4, 3], &Device::Cpu).unwrap();
        let flat = Generator::new(3).randn(24);
        assert_eq!(block_on(turned.to_channels_first().unwrap().to_vec()).unwrap(), flat);
        let packed = Noise::batch(3).draw(&[1, 8, 3], &Device::Cpu).unwrap();
        assert_eq!(block_on(packed.to_vec()).unwrap(), flat);
    }

    #[test]
    fn impossible_draws_are_refused() {
        let cpu = &Device::Cpu;
        assert!(matches!(Noise::per_image(&[1, 2]).draw(&[3, 1, 1, 4], cpu), Err(Error::Shape { .. })));
        assert!(matches!(Noise::per_image(&[]).draw(&[0, 4], cpu), Err(Error::Shape { .. })));
        let draw = Tensor::zeros(&[1, 2], cpu).unwrap();
        let mut noise = Noise::from_draws([draw.clone(), draw]);
        assert!(noise.draw(&[1, 2], cpu).is_ok());
        assert!(matches!(noise.draw(&[1, 3], cpu), Err(Error::Shape { .. })));
        assert!(matches!(noise.draw(&[1, 2], cpu), Err(Error::Invalid { field: "noise", .. })));
    }
}
