//! The training noise schedule: betas and their cumulative product, in torch's `f32` arithmetic.
//!
//! Nichol & Dhariwal, <https://arxiv.org/abs/2102.09672> (cosine); Lin et al., <https://arxiv.org/abs/2305.08891> (zero
//! terminal SNR). Near the clean end `1 - alphas_cumprod` is the difference of two close numbers, so the roundings here
//! are torch's, one by one.

use super::config::{BetaSchedule, Betas, SchedulerConfig};
use super::definition::ZeroSnr;
use std::f64::consts::FRAC_PI_2;

/// The share of the image (squared) that is left after every training timestep.
#[derive(Clone, Debug)]
pub(super) struct Training {
    pub(super) alphas_cumprod: Vec<f32>,
}

impl Training {
    pub(super) fn new(config: &SchedulerConfig) -> Self {
        let mut alphas_cumprod = cumulative_alphas(&betas(&config.betas, config.train_timesteps));
        if let (Some(ZeroSnr::Divisible), Some(last)) = (config.betas.zero_snr, alphas_cumprod.last_mut()) {
            *last = 2.0_f32.powi(-24);
        }
        Self { alphas_cumprod }
    }

    /// The noise level of every training timestep as in k-diffusion: noise per unit of image.
    pub(super) fn sigmas(&self) -> Vec<f32> {
        self.alphas_cumprod.iter().map(|alpha| ((1.0 - alpha) / alpha).sqrt()).collect()
    }
}

fn cumulative_alphas(betas: &[f32]) -> Vec<f32> {
    // torch accumulates in f64 and rounds every entry.
    let product = betas.iter().scan(1.0_f64, |product, beta| {
        *product *= f64::from(1.0 - beta);
        Some(*product as f32)
    });
    product.collect()
}

fn betas(config: &Betas, count: usize) -> Vec<f32> {
    let Betas { start, end, .. } = *config;
    let betas: Vec<f32> = match (&config.trained, config.schedule) {
        (Some(trained), _) => trained.iter().map(|beta| *beta as f32).collect(),
        (None, BetaSchedule::Linear) => linspace(start, end, count),
        (None, BetaSchedule::ScaledLinear) => {
            linspace(start.sqrt(), end.sqrt(), count).iter().map(|root| root * root).collect()
        }
        (None, BetaSchedule::Sigmoid) => {
            linspace(-6.0, 6.0, count).iter().map(|x| sigmoid(*x) * (end - start) as f32 + start as f32).collect()
        }
        (None, BetaSchedule::SquaredCosine) => {
            from_alpha_bar(count, |t| ((t + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2))
        }
        (None, BetaSchedule::Exp) => from_alpha_bar(count, |t| (t * -12.0).exp()),
        (None, BetaSchedule::Laplace) => from_alpha_bar(count, laplace),
    };
    if config.zero_snr.is_some() { rescale_zero_terminal_snr(&betas) } else { betas }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `torch.linspace` in `f32`: counted from the start up to the middle, then from the end, each with one rounding.
fn linspace(start: f64, end: f64, count: usize) -> Vec<f32> {
    let start = start as f32;
    let end = end as f32;
    let step = f64::from((end - start) / (count - 1) as f32);
    let at = |i: usize| match i < count / 2 {
        true => f64::from(start) + step * i as f64,
        false => f64::from(end) - step * (count - 1 - i) as f64,
    };
    (0..count).map(|i| at(i) as f32).collect()
}

/// Betas whose cumulative product follows `alpha_bar` of time 0 to 1.
fn from_alpha_bar(count: usize, alpha_bar: impl Fn(f64) -> f64) -> Vec<f32> {
    const MAX_BETA: f64 = 0.999;
    let ratio = |i: usize| alpha_bar((i + 1) as f64 / count as f64) / alpha_bar(i as f64 / count as f64);
    (0..count).map(|i| (1.0 - ratio(i)).min(MAX_BETA) as f32).collect()
}

fn laplace(t: f64) -> f64 {
    let lambda = -0.5 * 1.0_f64.copysign(0.5 - t) * (1.0 - 2.0 * (0.5 - t).abs() + 1e-6).ln();
    let snr = lambda.exp();
    (snr / (1.0 + snr)).sqrt()
}

/// Shifts and scales the square roots of `alphas_cumprod` so that the last one is zero and the first one unchanged.
fn rescale_zero_terminal_snr(betas: &[f32]) -> Vec<f32> {
    let roots: Vec<f32> = cumulative_alphas(betas).iter().map(|alpha| alpha.sqrt()).collect();
    let [first, .., last] = roots[..] else { return Vec::new() };
    let scale = first / (first - last);
    let bars: Vec<f32> = roots.iter().map(|root| (root - last) * scale).map(|root| root * root).collect();
    let ratios = bars.windows(2).map(|pair| 1.0 - pair[1] / pair[0]);
    bars.iter().take(1).map(|bar| 1.0 - bar).chain(ratios).collect()
}
