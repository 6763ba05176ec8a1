//! The blocks of FLUX.1: double blocks, in which text and picture are two streams with separate weights and a joint
//! attention, and single blocks, in which they are one stream (`FluxTransformerBlock` and `FluxSingleTransformerBlock`
//! of diffusers).

use super::FluxConfig;
use crate::models::attention::{ADDED, Projected, SAMPLE, Stream};
use crate::models::layers::{Linear, ModulatedFeedForward, Modulation, modulate};
use crate::tensor::{Activation, Epilogue};
use crate::weights::Weights;
use crate::{DType, Result, Tensor};

/// Epsilon of the norms of queries and keys.
const HEAD_EPS: f64 = 1e-6;

/// The limit at which diffusers clips `f16`.
const HALF_MAX: f64 = 65504.0;

/// A double block.
pub(super) struct DoubleBlock {
    text: Side,
    sample: Side,
    heads: usize,
}

/// The layers of a double block for one stream.
struct Side {
    modulation: Modulation,
    stream: Stream,
    out: Linear,
    feed_forward: ModulatedFeedForward,
}

/// One stream before the attention, and the vectors for the layers after it.
struct Prepared {
    projected: Projected,
    gate: Tensor,
    /// Scale, shift and gate of the feed-forward layers.
    feed_forward: [Tensor; 3],
}

impl DoubleBlock {
    pub(super) fn new(weights: &Weights, config: &FluxConfig) -> Result<Self> {
        let width = config.width();
        let heads = config.num_attention_heads;
        let attention = weights.pp("attn");
        let side = |norm, names, out, feed_forward| -> Result<Side> {
            Ok(Side {
                modulation: Modulation::new(&weights.pp(norm).pp("linear"), width, 6)?,
                stream: Stream::new(&attention, names, width, heads, Some(HEAD_EPS))?,
                out: Linear::new(&attention.pp(out), width, width)?,
                feed_forward: ModulatedFeedForward::new(&weights.pp(feed_forward), width)?,
            })
        };
        Ok(Self {
            text: side("norm1_context", &ADDED, "to_add_out", "ff_context")?,
            sample: side("norm1", &SAMPLE, "to_out.0", "ff")?,
            heads,
        })
    }

    /// The streams of text `[n, k, width]` and picture `[n, t, width]` after the block, with the time embedding `[n, width]`
    /// after its activation and the [angles](Tensor::rope) of the text's positions, then the picture's.
    pub(super) fn forward(
        &self,
        text: Tensor,
        sample: Tensor,
        time: &Tensor,
        angles: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let [_, words, _] = text.dims("flux")?;
        let [_, tokens, _] = sample.dims("flux")?;
        let text_parts = self.text.prepare(&text, time)?;
        let sample_parts = self.sample.prepare(&sample, time)?;
        let joined = text_parts.projected.joined(&sample_parts.projected)?.rotated(angles)?;
        let attended = joined.attend(self.heads)?;
        drop(joined);
        let text = self.text.finish(text, &attended.narrow(1, 0, words)?, &text_parts)?;
        let sample = self.sample.finish(sample, &attended.narrow(1, words, tokens)?, &sample_parts)?;
        Ok((limited(text)?, sample))
    }
}

impl Side {
    fn prepare(&self, x: &Tensor, time: &Tensor) -> Result<Prepared> {
        let [shift, scale, gate, shift2, scale2, gate2] = self.modulation.forward(time)?;
        let projected = self.stream.forward(&modulate(x, &scale, &shift)?)?;
        Ok(Prepared { projected, gate, feed_forward: [scale2, shift2, gate2] })
    }

    fn finish(&self, x: Tensor, attended: &Tensor, parts: &Prepared) -> Result<Tensor> {
        let x = x.add_gated(&parts.gate, &self.out.forward(attended)?)?;
        self.feed_forward.forward(x, &parts.feed_forward)
    }
}

/// A single block: attention and the feed-forward layers side by side.
pub(super) struct SingleBlock {
    modulation: Modulation,
    stream: Stream,
    inner: Linear,
    out: Linear,
    heads: usize,
}

impl SingleBlock {
    pub(super) fn new(weights: &Weights, config: &FluxConfig) -> Result<Self> {
        let width = config.width();
        let heads = config.num_attention_heads;
        Ok(Self {
            modulation: Modulation::new(&weights.pp("norm.linear"), width, 3)?,
            stream: Stream::new(&weights.pp("attn"), &SAMPLE, width, heads, Some(HEAD_EPS))?,
            inner: Linear::new(&weights.pp("proj_mlp"), width, 4 * width)?,
            out: Linear::new(&weights.pp("proj_out"), 5 * width, width)?,
            heads,
        })
    }

    /// The stream of text and picture `[n, k + t, width]` after the block.
    pub(super) fn forward(&self, x: Tensor, time: &Tensor, angles: &Tensor) -> Result<Tensor> {
        let [shift, scale, gate] = self.modulation.forward(time)?;
        let normed = modulate(&x, &scale, &shift)?;
        let attended = self.stream.forward(&normed)?.rotated(angles)?.attend(self.heads)?;
        let inner = self.inner.forward_with(&normed, Epilogue::activation(Activation::GeluTanh))?;
        drop(normed);
        let both = Tensor::concat(&[&attended, &inner], 2)?;
        drop(attended);
        drop(inner);
        limited(x.add_gated(&gate, &self.out.forward(&both)?)?)
    }
}

/// Clips the stream to the range of half precision if it is computed in that, as in diffusers.
fn limited(x: Tensor) -> Result<Tensor> {
    if x.dtype() == DType::F16 { x.clamp(-HALF_MAX, HALF_MAX) } else { Ok(x) }
}
