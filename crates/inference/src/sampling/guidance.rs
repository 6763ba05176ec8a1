//! Classifier-free guidance. Ho & Salimans, <https://arxiv.org/abs/2207.12598>.

use crate::{Error, Result, Tensor};

/// How strongly predictions follow the prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guidance {
    /// The factor on the difference that the prompt makes; 1 means no guidance.
    pub scale: f64,
    /// How far the standard deviation of the result is rescaled to that of the conditional prediction, 0 to 1 (Lin et
    /// al., <https://arxiv.org/abs/2305.08891>, section 3.4).
    pub rescale: f64,
}

impl Guidance {
    /// Guides by `scale`, without rescaling.
    pub fn new(scale: f64) -> Self {
        Self { scale, rescale: 0.0 }
    }

    /// The guided prediction `[n, ..]` from those without and with the prompt, stacked as `[2n, ..]` in this order.
    ///
    /// Errors: [`Error::Shape`] if the first axis is not even.
    pub fn apply(&self, output: &Tensor) -> Result<Tensor> {
        let both = output.shape().first().copied().unwrap_or(0);
        if both == 0 || both % 2 == 1 {
            let expected = "an even first axis: the halves without and with the prompt".to_owned();
            return Err(Error::Shape { op: "guidance", expected, got: output.shape().to_vec() });
        }
        let without = output.narrow(0, 0, both / 2)?;
        let with = output.narrow(0, both / 2, both / 2)?;
        let guided = without.combine(1.0, &[(self.scale, &with.sub(&without)?)])?;
        if self.rescale == 0.0 { Ok(guided) } else { self.match_std(&guided, &with) }
    }

    /// Pushes guided predictions further away from the model's predictions with the prompt but without some of its
    /// layers (`[n, ..]`); `output` is stacked as for [`apply`](Self::apply).
    pub fn away_from(guided: &Tensor, output: &Tensor, without_layers: &Tensor, scale: f64) -> Result<Tensor> {
        let n = guided.shape().first().copied().unwrap_or(0);
        let with = output.narrow(0, n, n)?;
        guided.combine(1.0, &[(scale, &with.sub(without_layers)?)])
    }

    fn match_std(&self, guided: &Tensor, with: &Tensor) -> Result<Tensor> {
        let (_, wanted_std) = with.mean_and_std()?;
        let (_, guided_std) = guided.mean_and_std()?;
        let rescaled = guided.mul(&wanted_std.div(&guided_std)?)?;
        rescaled.combine(self.rescale, &[(1.0 - self.rescale, guided)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    fn run(guidance: Guidance) -> Vec<f32> {
        let data = vec![1.0, 2.0, 3.0, 5.0, -1.0, 0.0, 2.0, 2.0, 4.0, 4.0, 0.0, 1.0, 0.0, 1.0, 2.0, 8.0];
        let output = Tensor::from_vec(data, &[4, 1, 2, 2], &Device::Cpu).unwrap();
        pollster::block_on(guidance.apply(&output).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_difference_is_scaled() {
        assert_eq!(run(Guidance::new(2.0)), [7.0, 6.0, -3.0, -3.0, 1.0, 2.0, 2.0, 14.0]);
        assert_eq!(run(Guidance::new(1.0)), [4.0, 4.0, 0.0, 1.0, 0.0, 1.0, 2.0, 8.0]);
    }

    /// The numbers are those of diffusers' `rescale_noise_cfg`.
    #[test]
    fn the_standard_deviation_is_rescaled() {
        let expected = [3.936656, 3.374277, -1.687138, -1.687138, 0.706778, 1.413556, 1.413556, 9.894894];
        let got = run(Guidance { scale: 2.0, rescale: 0.7 });
        assert!(got.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-5), "{got:?}");
    }

    #[test]
    fn an_odd_batch_is_refused() {
        let output = Tensor::zeros(&[3, 2], &Device::Cpu).unwrap();
        assert!(matches!(Guidance::new(2.0).apply(&output), Err(Error::Shape { op: "guidance", .. })));
    }
}
