//! One block of an MMDiT: picture and text as two streams with separate weights and a joint attention
//! (`JointTransformerBlock` of diffusers).

use super::MmditConfig;
use crate::models::attention::{ADDED, SAMPLE, Stream};
use crate::models::layers::{Linear, ModulatedFeedForward as FeedForward, Modulation, modulate};
use crate::weights::Weights;
use crate::{Result, Tensor};

/// Epsilon of the norms of queries and keys.
const HEAD_EPS: f64 = 1e-6;

/// A joint block.
pub(super) struct Block {
    modulation: Modulation,
    sample: Stream,
    sample_out: Linear,
    added: Stream,
    dual: Option<(Stream, Linear)>,
    feed_forward: FeedForward,
    context: ContextSide,
    heads: usize,
}

/// The layers of a block for the text.
struct ContextSide {
    modulation: Modulation,
    /// `None` in the last block, which has no output for the text.
    after: Option<ContextAfter>,
}

/// The layers after the attention.
struct ContextAfter {
    out: Linear,
    feed_forward: FeedForward,
}

/// The additional self-attention of the picture, in blocks that have one.
struct Dual {
    attended: Tensor,
    gate: Tensor,
}

/// The vectors for the picture's layers after the attention.
struct Rest {
    gate: Tensor,
    dual: Option<Dual>,
    /// Scale, shift and gate of the feed-forward layers.
    feed_forward: [Tensor; 3],
}

impl Block {
    pub(super) fn new(weights: &Weights, config: &MmditConfig, index: usize) -> Result<Self> {
        let width = config.width();
        let heads = config.num_attention_heads;
        let normed = config.qk_norm.then_some(HEAD_EPS);
        let attention = weights.pp("attn");
        let is_last = index + 1 == config.num_layers;
        let is_dual = config.dual_attention_layers.contains(&index);
        let dual = || -> Result<_> {
            let weights = weights.pp("attn2");
            let out = Linear::new(&weights.pp("to_out.0"), width, width)?;
            Ok((Stream::new(&weights, &SAMPLE, width, heads, normed)?, out))
        };
        Ok(Self {
            modulation: Modulation::new(&weights.pp("norm1.linear"), width, if is_dual { 9 } else { 6 })?,
            sample: Stream::new(&attention, &SAMPLE, width, heads, normed)?,
            sample_out: Linear::new(&attention.pp("to_out.0"), width, width)?,
            added: Stream::new(&attention, &ADDED, width, heads, normed)?,
            dual: is_dual.then(dual).transpose()?,
            feed_forward: FeedForward::new(&weights.pp("ff"), width)?,
            context: ContextSide::new(weights, width, is_last)?,
            heads,
        })
    }

    /// The streams of picture `[n, t, width]` and text `[n, k, width]` after the block, with the time embedding
    /// `[n, width]` after its activation.
    pub(super) fn forward(&self, sample: Tensor, context: Tensor, time: &Tensor) -> Result<(Tensor, Tensor)> {
        let [_, tokens, _] = sample.dims("mmdit")?;
        let [_, words, _] = context.dims("mmdit")?;
        let (normed, rest) = self.prepare(&sample, time)?;
        let context_parts = self.context.prepare(&context, time)?;
        let joined = self.sample.forward(&normed)?.joined(&self.added.forward(&context_parts.normed)?)?;
        drop(normed);
        let attended = joined.attend(self.heads)?;
        drop(joined);
        let read = attended.narrow(1, tokens, words)?;
        let context = self.context.finish(context, &read, &context_parts)?;
        let attended = self.sample_out.forward(&attended.narrow(1, 0, tokens)?)?;
        let mut sample = sample.add_gated(&rest.gate, &attended)?;
        if let Some(Dual { attended, gate }) = &rest.dual {
            sample = sample.add_gated(gate, attended)?;
        }
        Ok((self.feed_forward.forward(sample, &rest.feed_forward)?, context))
    }

    /// The input of the picture's projections, and the vectors for the layers after the attention.
    fn prepare(&self, sample: &Tensor, time: &Tensor) -> Result<(Tensor, Rest)> {
        let Some((stream, out)) = &self.dual else {
            let [shift, scale, gate, shift2, scale2, gate2] = self.modulation.forward(time)?;
            let rest = Rest { gate, dual: None, feed_forward: [scale2, shift2, gate2] };
            return Ok((modulate(sample, &scale, &shift)?, rest));
        };
        let [shift, scale, gate, shift2, scale2, gate2, dual_shift, dual_scale, dual_gate] =
            self.modulation.forward(time)?;
        let alone = stream.forward(&modulate(sample, &dual_scale, &dual_shift)?)?.attend(self.heads)?;
        let dual = Some(Dual { attended: out.forward(&alone)?, gate: dual_gate });
        let rest = Rest { gate, dual, feed_forward: [scale2, shift2, gate2] };
        Ok((modulate(sample, &scale, &shift)?, rest))
    }
}

/// The input of the text's projections, and the vectors for the layers after the attention, if there are any.
struct ContextParts {
    normed: Tensor,
    /// The gate of the attention, then scale, shift and gate of the feed-forward layers.
    after: Option<(Tensor, [Tensor; 3])>,
}

impl ContextSide {
    fn new(weights: &Weights, width: usize, is_last: bool) -> Result<Self> {
        let linear = weights.pp("norm1_context.linear");
        if is_last {
            return Ok(Self { modulation: Modulation::new(&linear, width, 2)?, after: None });
        }
        let out = Linear::new(&weights.pp("attn.to_add_out"), width, width)?;
        let after = ContextAfter { out, feed_forward: FeedForward::new(&weights.pp("ff_context"), width)? };
        Ok(Self { modulation: Modulation::new(&linear, width, 6)?, after: Some(after) })
    }

    fn prepare(&self, context: &Tensor, time: &Tensor) -> Result<ContextParts> {
        if self.after.is_none() {
            // This norm has the scale first, the others the shift.
            let [scale, shift] = self.modulation.forward(time)?;
            return Ok(ContextParts { normed: modulate(context, &scale, &shift)?, after: None });
        }
        let [shift, scale, gate, shift2, scale2, gate2] = self.modulation.forward(time)?;
        let normed = modulate(context, &scale, &shift)?;
        Ok(ContextParts { normed, after: Some((gate, [scale2, shift2, gate2])) })
    }

    fn finish(&self, context: Tensor, attended: &Tensor, parts: &ContextParts) -> Result<Tensor> {
        let (Some(ContextAfter { out, feed_forward }), Some((gate, vectors))) = (&self.after, &parts.after) else {
            return Ok(context);
        };
        feed_forward.forward(context.add_gated(gate, &out.forward(attended)?)?, vectors)
    }
}
