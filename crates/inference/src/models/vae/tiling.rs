//! Encoding and decoding large pictures in tiles, so that memory does not grow with the picture. The tiles overlap and
//! are blended linearly (`tiled_encode` and `tiled_decode` of diffusers' `AutoencoderKL`).

use crate::{Result, Tensor};

/// The size of a tile and the overlap of neighbours, in latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    side: usize,
    overlap: usize,
}

/// The layout of the tiles along one axis.
#[derive(Clone, Copy)]
struct Steps {
    /// Distance between the starts of two tiles, in the input.
    step: usize,
    /// Side of a tile, in the input.
    tile: usize,
    /// Rows and columns that fade from one tile to the next, in the output.
    blend: usize,
    /// Rows and columns that a tile contributes, in the output.
    keep: usize,
}

impl Tiling {
    /// Tiles of `side` latents, rounded down to a multiple of 4 so that a quarter of the side is whole.
    pub fn new(side: usize) -> Self {
        Self::with_overlap((side / 4 * 4).max(4), 0.25)
    }

    /// Tiles of exactly `side` latents (at least 2). Neighbours share the fraction `overlap` of a tile: at least 0, less than 1.
    pub fn with_overlap(side: usize, overlap: f64) -> Self {
        let side = side.max(2);
        Self { side, overlap: ((side as f64 * overlap) as usize).min(side - 1) }
    }

    /// Encodes `[n, h, w, c]` with tiles of `side * factor` pixels.
    pub(super) fn encode(
        self,
        image: &Tensor,
        factor: usize,
        encode: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Self { side, overlap } = self;
        let steps =
            Steps { step: (side - overlap) * factor, tile: side * factor, blend: overlap, keep: side - overlap };
        steps.run(image, encode)
    }

    /// Decodes `[n, h, w, c]` with tiles of `side` latents.
    pub(super) fn decode(
        self,
        latents: &Tensor,
        factor: usize,
        decode: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Self { side, overlap } = self;
        let keep = (side - overlap) * factor;
        Steps { step: side - overlap, tile: side, blend: overlap * factor, keep }.run(latents, decode)
    }
}

impl Steps {
    fn run(self, x: &Tensor, code: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let [_, height, width, _] = x.dims("tiling")?;
        if height <= self.tile && width <= self.tile {
            return code(x);
        }
        let mut rows = Vec::new();
        let mut above: Vec<Tensor> = Vec::new();
        for top in (0..height).step_by(self.step) {
            let strip = x.narrow(1, top, self.tile.min(height - top))?;
            let mut row: Vec<Tensor> = Vec::new();
            for (j, left) in (0..width).step_by(self.step).enumerate() {
                let mut tile = code(&strip.narrow(2, left, self.tile.min(width - left))?)?;
                if let Some(above) = above.get(j) {
                    tile = self.blend(above, &tile, 1)?;
                }
                if let Some(left) = row.last() {
                    tile = self.blend(left, &tile, 2)?;
                }
                row.push(tile);
            }
            rows.push(self.join(&row)?);
            above = row;
        }
        Tensor::concat(&rows.iter().collect::<Vec<_>>(), 1)
    }

    /// The tiles of a row side by side, without the parts that belong to the next tile and the next row.
    fn join(&self, row: &[Tensor]) -> Result<Tensor> {
        let cut = |tile: &Tensor| {
            let [_, h, w, _] = tile.dims("tiling")?;
            tile.narrow(1, 0, h.min(self.keep))?.narrow(2, 0, w.min(self.keep))
        };
        let parts: Vec<Tensor> = row.iter().map(cut).collect::<Result<_>>()?;
        Tensor::concat(&parts.iter().collect::<Vec<_>>(), 2)
    }

    /// Blends the first rows (or columns) of `next` with the last ones of `previous`.
    fn blend(&self, previous: &Tensor, next: &Tensor, axis: usize) -> Result<Tensor> {
        let before = previous.dims::<4>("tiling")?[axis];
        let after = next.dims::<4>("tiling")?[axis];
        let extent = before.min(after).min(self.blend);
        if extent == 0 {
            return Ok(next.clone());
        }
        let mut shape = [1; 4];
        shape[axis] = extent;
        let ramp = (0..extent).map(|i| i as f32 / extent as f32).collect();
        let ramp = Tensor::from_vec(ramp, &shape, &next.device())?;
        let fading_out = previous.narrow(axis, before - extent, extent)?.mul(&ramp.affine(-1.0, 1.0)?)?;
        let faded = next.narrow(axis, 0, extent)?.mul(&ramp)?.add(&fading_out)?;
        if extent == after {
            return Ok(faded);
        }
        Tensor::concat(&[&faded, &next.narrow(axis, extent, after - extent)?], axis)
    }
}
