//! Prompt weights on a text encoder's output, in the manner of AUTOMATIC1111 (`modules/sd_emphasis.py`, "Original").

use crate::{DType, Error, Result, Tensor};

/// Multiplies every token's state by its weight and then scales each row so that its mean is what it was:
/// `y = x * weight`, result `y * mean(x) / mean(y)`, with means over all tokens and channels of a row.
///
/// `embeddings` is `[n, tokens, width]`, one row per window; `weights` holds `n * tokens` numbers in the same order. The
/// result has the same shape and type. A row's result does not depend on the other rows. If all weights are 1, the
/// embeddings come back untouched; a row of zeros stays zero.
///
/// Fails with [`Error::Shape`] if there are not three axes or the numbers of tokens and weights differ.
pub fn apply_weights(embeddings: &Tensor, weights: &[f32]) -> Result<Tensor> {
    const OP: &str = "apply_weights";
    let [n, tokens, _] = embeddings.dims(OP)?;
    if n * tokens != weights.len() {
        let expected = format!("{} tokens, one for each weight", weights.len());
        return Err(Error::Shape { op: OP, expected, got: embeddings.shape().to_vec() });
    }
    if weights.iter().all(|&weight| weight == 1.0) {
        return Ok(embeddings.clone());
    }
    // Means of half-precision numbers want single precision.
    let states = embeddings.cast(DType::F32)?;
    let weights = Tensor::from_vec(weights.to_vec(), &[n, tokens, 1], &embeddings.device())?;
    let weighted = states.mul(&weights)?;
    let (before, _) = states.mean_and_std()?;
    let (after, _) = weighted.mean_and_std()?;
    // before / after, but 0 instead of NaN where both are 0.
    let ratio = before.mul(&after)?.div(&after.mul(&after)?.affine(1.0, f64::from(f32::MIN_POSITIVE))?)?;
    weighted.mul(&ratio)?.cast(embeddings.dtype())
}
