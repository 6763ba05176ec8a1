//! Applies prompt weights to a text encoder's output, like AUTOMATIC1111 (`modules/sd_emphasis.py`, "Original").

use crate::{DType, Error, Result, Tensor};

/// Multiplies every token's state by its weight and then rescales each row to its previous mean: `y = x * weight`,
/// result `y * mean(x) / mean(y)`, with means over all tokens and channels of a row.
///
/// `embeddings` is `[n, tokens, width]`, one row per window; `weights` holds `n * tokens` numbers in the same order.
/// The result has the same shape and type. A row's result does not depend on the other rows. If all weights are 1, the
/// embeddings are returned unchanged; a row of zeros stays zero.
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
    // Means of half-precision numbers need single precision.
    let states = embeddings.cast(DType::F32)?;
    let weights = Tensor::from_vec(weights.to_vec(), &[n, tokens, 1], &embeddings.device())?;
    let weighted = states.mul(&weights)?;
    let (before, _) = states.mean_and_std()?;
    let (after, _) = weighted.mean_and_std()?;
    // before / after, but 0 instead of NaN where both are 0.
    let ratio = before.mul(&after)?.div(&after.mul(&after)?.affine(1.0, f64::from(f32::MIN_POSITIVE))?)?;
    weighted.mul(&ratio)?.cast(embeddings.dtype())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use pollster::block_on;

    const SHAPE: [usize; 3] = [2, 3, 4];

    fn states(value: impl Fn(usize) -> f32) -> Tensor {
        Tensor::from_vec((0..24).map(value).collect(), &SHAPE, &Device::Cpu).unwrap()
    }

    fn weighted(states: &Tensor, weights: &[f32]) -> Vec<f32> {
        block_on(apply_weights(states, weights).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn states_are_weighted_and_keep_their_mean() {
        let value = |i: usize| (i as f32 * 0.7).sin() + 0.3;
        let weights = [1.0, 1.3, 0.5, 1.0, 1.0, -0.2];
        let got = weighted(&states(value), &weights);
        for row in 0..2 {
            let x: Vec<f64> = (row * 12..row * 12 + 12).map(|i| f64::from(value(i))).collect();
            let y: Vec<f64> = x.iter().enumerate().map(|(i, x)| x * f64::from(weights[row * 3 + i / 4])).collect();
            let ratio = x.iter().sum::<f64>() / y.iter().sum::<f64>();
            for (i, y) in y.iter().enumerate() {
                let got = f64::from(got[row * 12 + i]);
                assert!((got - y * ratio).abs() < 1e-5, "row {row}, {i}: {got} instead of {}", y * ratio);
            }
        }
    }

    #[test]
    fn neutral_weights_change_nothing() {
        let plain = states(|i| i as f32 * 0.1);
        assert_eq!(weighted(&plain, &[1.0; 6]), block_on(plain.to_vec()).unwrap());
        let neutral_row = &weighted(&plain, &[1.0, 1.0, 1.0, 1.0, 2.0, 1.0])[..12];
        assert!(neutral_row.iter().enumerate().all(|(i, x)| (x - i as f32 * 0.1).abs() < 1e-6), "{neutral_row:?}");
    }

    #[test]
    fn zeros_stay_zeros() {
        assert_eq!(weighted(&states(|_| 0.0), &[1.2; 6]), [0.0; 24]);
    }

    #[test]
    fn the_type_is_kept_and_means_are_in_single_precision() {
        let half = states(|i| 1.0 + i as f32 / 64.0).cast(DType::F16).unwrap();
        let result = apply_weights(&half, &[1.0, 1.1, 1.0, 1.0, 1.0, 0.9]).unwrap();
        assert_eq!(result.dtype(), DType::F16);
        let single = weighted(&half.cast(DType::F32).unwrap(), &[1.0, 1.1, 1.0, 1.0, 1.0, 0.9]);
        let half = block_on(result.to_vec()).unwrap();
        assert!(half.iter().zip(&single).all(|(a, b)| (a - b).abs() < 1e-3));
    }

    #[test]
    fn shapes_and_counts_must_match() {
        let error = apply_weights(&states(|_| 1.0), &[1.0; 5]).unwrap_err().to_string();
        assert_eq!(error, "apply_weights: expected 5 tokens, one for each weight, got shape [2, 3, 4]");
        let flat = Tensor::zeros(&[6, 4], &Device::Cpu).unwrap();
        assert_eq!(
            apply_weights(&flat, &[1.0; 6]).unwrap_err().to_string(),
            "apply_weights: expected 3 axes, got shape [6, 4]"
        );
    }
}
