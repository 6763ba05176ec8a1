//! The conditioning of SDXL's UNet: the states of its two text encoders side by side, the second one's pooled
//! embedding, and the sizes of its micro-conditioning (section 2.2 of <https://arxiv.org/abs/2307.01952>).

use crate::families::shared::TEXT_ENCODER_2;
use crate::families::{Prompts, TextStates};
use crate::pipeline::SizeConditioning;
use crate::{Error, Result, Tensor};

/// The output of both encoders.
pub(super) struct TextPair {
    /// `[n, t, d]`.
    pub(super) hidden: Tensor,
    /// `[n, p]`; `None` if the second encoder has no projection.
    pub(super) pooled: Option<Tensor>,
}

impl TextPair {
    /// Both states side by side, and the second one's pooled embedding.
    pub(super) fn join(first: &TextStates, second: &TextStates) -> Result<Self> {
        let hidden = Tensor::concat(&[&first.hidden, &second.hidden], 2)?;
        Ok(Self { hidden, pooled: second.pooled.clone() })
    }

    /// Replaces the negative half by zeros, instead of encoding the empty text, if the request has no negative prompt.
    pub(super) fn blank_missing_negatives(&mut self, prompts: &Prompts<'_>) -> Result<()> {
        let negative = prompts.batch.iter().map(|prompt| if prompt.negative.is_none() { 0.0 } else { 1.0 });
        let n = prompts.batch.len();
        let mask: Vec<f32> = negative.chain(std::iter::repeat_n(1.0, n)).collect();
        let device = self.hidden.device();
        self.hidden = self.hidden.mul(&Tensor::from_vec(mask.clone(), &[2 * n, 1, 1], &device)?)?;
        if let Some(pooled) = &self.pooled {
            self.pooled = Some(pooled.mul(&Tensor::from_vec(mask, &[2 * n, 1], &device)?)?);
        }
        Ok(())
    }

    /// The pooled embedding, which the UNet requires.
    pub(super) fn pooled(&self) -> Result<Tensor> {
        self.pooled.clone().ok_or_else(|| Error::Config {
            file: TEXT_ENCODER_2.into(),
            field: "projection_dim".into(),
            reason: "the second text encoder has no text_projection, but SDXL needs its pooled embedding".into(),
        })
    }
}

/// Original size, crop and target size of each picture; with guidance those of the negative prompts come first.
pub(super) fn sizes(prompts: &Prompts<'_>) -> Vec<f64> {
    let asked = &prompts.request.sizes;
    let original = asked.original_size.unwrap_or(prompts.size);
    let target = asked.target_size.unwrap_or(prompts.size);
    let positive = numbers([original, asked.crop_top_left, target]);
    let n = prompts.batch.len();
    let mut all = Vec::new();
    if prompts.guided {
        let from_image = prompts.request.init.is_some();
        all.extend(negative_sizes(asked, original, target, from_image).unwrap_or_else(|| positive.clone()).repeat(n));
    }
    all.extend(positive.repeat(n));
    all
}

/// The negative prompt's own sizes. diffusers' text-to-image pipeline only uses them if both are set; its
/// image-to-image pipelines treat them separately.
fn negative_sizes(
    asked: &SizeConditioning,
    original: [usize; 2],
    target: [usize; 2],
    from_image: bool,
) -> Option<Vec<f64>> {
    let both = asked.negative_original_size.is_some() && asked.negative_target_size.is_some();
    (both || from_image).then(|| {
        let original = asked.negative_original_size.unwrap_or(original);
        let target = asked.negative_target_size.unwrap_or(target);
        numbers([original, asked.negative_crop_top_left, target])
    })
}

fn numbers(pairs: [[usize; 2]; 3]) -> Vec<f64> {
    pairs.concat().into_iter().map(|number| number as f64).collect()
}
