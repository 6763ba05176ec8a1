//! Windows: a grid of tokens cut into squares that are looked at by themselves, padded with zeros where they stick out.

use crate::{Result, Tensor};

/// The cut of a grid.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
    side: usize,
}

impl Windows {
    /// Windows of this side over a grid `[n, h, w, c]`.
    pub(super) fn new(grid: &Tensor, side: usize) -> Result<Self> {
        let [batch, height, width, channels] = grid.dims("windows")?;
        Ok(Self { batch, height, width, channels, side })
    }

    /// Windows in each direction.
    fn counts(&self) -> [usize; 2] {
        [self.height.div_ceil(self.side), self.width.div_ceil(self.side)]
    }

    /// The grid as windows `[n * windows, side * side, c]`.
    pub(super) fn cut(&self, grid: &Tensor) -> Result<Tensor> {
        let Self { batch, height, width, channels, side } = *self;
        let [down, across] = self.counts();
        let wide = padded(grid, 2, across * side - width)?;
        let padded = padded(&wide, 1, down * side - height)?;
        let split = padded.reshape(&[batch, down, side, across, side, channels])?.permute(&[0, 1, 3, 2, 4, 5])?;
        split.reshape(&[batch * down * across, side * side, channels])
    }

    /// The grid that windows were cut from.
    pub(super) fn join(&self, windows: &Tensor) -> Result<Tensor> {
        let Self { batch, height, width, channels, side } = *self;
        let [down, across] = self.counts();
        let split = windows.reshape(&[batch, down, across, side, side, channels])?.permute(&[0, 1, 3, 2, 4, 5])?;
        let padded = split.reshape(&[batch, down * side, across * side, channels])?;
        let high = if down * side == height { padded } else { padded.narrow(1, 0, height)? };
        if across * side == width { Ok(high) } else { high.narrow(2, 0, width) }
    }
}

/// `x` with zeros after it along an axis.
fn padded(x: &Tensor, axis: usize, count: usize) -> Result<Tensor> {
    if count == 0 {
        return Ok(x.clone());
    }
    let mut shape = x.shape().to_vec();
    shape[axis] = count;
    let zeros = Tensor::zeros(&shape, &x.device())?.cast(x.dtype())?;
    Tensor::concat(&[x, &zeros], axis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use pollster::block_on;

    #[test]
    fn windows_are_cut_and_joined() {
        let numbers: Vec<f32> = (1..=12).map(|x| x as f32).collect();
        let grid = Tensor::from_vec(numbers.clone(), &[1, 3, 4, 1], &Device::Cpu).unwrap();
        let windows = Windows::new(&grid, 2).unwrap();
        let cut = windows.cut(&grid).unwrap();
        assert_eq!(cut.shape(), [4, 4, 1]);
        let all = [1.0, 2.0, 5.0, 6.0, 3.0, 4.0, 7.0, 8.0, 9.0, 10.0, 0.0, 0.0, 11.0, 12.0, 0.0, 0.0];
        assert_eq!(block_on(cut.to_vec()).unwrap(), all);
        assert_eq!(block_on(windows.join(&cut).unwrap().to_vec()).unwrap(), numbers);
    }
}
