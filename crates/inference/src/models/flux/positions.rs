//! The angles of the rotary embedding of positions (<https://arxiv.org/abs/2104.09864>) on three axes: `FluxPosEmbed`
//! of diffusers.

use super::config::AXES;
use crate::{Device, Result, Tensor};

/// The base of the frequencies.
const THETA: f64 = 10_000.0;

/// Cosine and sine of each pair of a head, `[words + h * w, pairs, 2]`: first for the tokens of the text, all at the
/// origin, then for those of the picture, row by row. As in diffusers, the angles are computed in `f64`.
pub(super) fn angles(axes: [usize; AXES], words: usize, [h, w]: [usize; 2], device: &Device) -> Result<Tensor> {
    let pairs = axes.iter().sum::<usize>() / 2;
    let tokens = words + h * w;
    let origin = turns(axes, [0; AXES]);
    let mut data = Vec::with_capacity(2 * tokens * pairs);
    for _ in 0..words {
        data.extend_from_slice(&origin);
    }
    for y in 0..h {
        for x in 0..w {
            data.extend(turns(axes, [0, y, x]));
        }
    }
    Tensor::from_vec(data, &[tokens, pairs, 2], device)
}

/// Cosine and sine of each pair at one position.
fn turns(axes: [usize; AXES], position: [usize; AXES]) -> Vec<f32> {
    let mut turns = Vec::with_capacity(axes.iter().sum());
    for (dim, position) in axes.into_iter().zip(position) {
        for pair in 0..dim / 2 {
            let frequency = 1.0 / THETA.powf((2 * pair) as f64 / dim as f64);
            let angle = position as f64 * frequency;
            turns.extend([angle.cos() as f32, angle.sin() as f32]);
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_axis_turns_its_own_pairs() {
        let table = angles([2, 4, 2], 1, [2, 2], &Device::Cpu).unwrap();
        assert_eq!(table.shape(), [5, 4, 2]);
        let numbers = pollster::block_on(table.to_vec()).unwrap();
        assert_eq!(numbers[..8], [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        // Row 1, column 0: only the pairs of the second axis turn, the second of them a hundredth as far.
        let [cosine, sine] = [1.0_f64.cos() as f32, 1.0_f64.sin() as f32];
        let [far, near] = [0.01_f64.cos() as f32, 0.01_f64.sin() as f32];
        assert_eq!(numbers[24..32], [1.0, 0.0, cosine, sine, far, near, 1.0, 0.0]);
        assert_eq!(numbers[16..24], [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, cosine, sine]);
    }
}
