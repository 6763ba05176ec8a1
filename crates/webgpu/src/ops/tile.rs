//! Which tile a product is cut into. `prelude/tile.wgsl` says what the numbers mean.

use crate::capabilities::Kind;
use crate::shader::Constant;
use crate::{Capabilities, Context, Result};

/// The shape of a workgroup's tile and of an invocation's share of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    /// Rows and columns of results that a workgroup makes.
    pub(super) size: [usize; 2],
    /// Rows and columns of results that an invocation makes.
    share: [usize; 2],
    /// Multiply-adds per unit of time, beside those of the largest tile.
    speed: f64,
}

/// Largest first. All fit the smallest device: 256 invocations, 16 KiB of workgroup memory.
pub(super) const TILES: [Tile; 4] = [
    Tile { size: [128, 128], share: [8, 8], speed: 1.0 },
    Tile { size: [128, 64], share: [8, 4], speed: 0.8 },
    Tile { size: [64, 64], share: [4, 4], speed: 0.6 },
    Tile { size: [32, 32], share: [4, 4], speed: 0.45 },
];

/// Numbers along K that one step of the kernel takes.
const STEP: usize = 16;

impl Tile {
    /// The fastest tile for `m` rows and `n` columns: large ones read less, small ones keep all cores busy.
    pub(super) fn choose(capabilities: &Capabilities, m: usize, n: usize) -> Self {
        // Cores (multiprocessors, execution units) that such a device has, about.
        let cores = match capabilities.adapter.kind {
            Kind::Discrete | Kind::Virtual => 64,
            Kind::Other => 24,
            Kind::Integrated => 12,
            Kind::Software => 4,
        };
        let time = |tile: &Self| {
            let tiles: usize = tile.count(m, n).iter().product();
            (tiles.div_ceil(cores) * tile.area()) as f64 / tile.speed
        };
        let better = |best: Self, tile: Self| if time(&tile) < time(&best) { tile } else { best };
        TILES.into_iter().reduce(better).unwrap_or(TILES[0])
    }

    /// Tiles that cover `m` rows and `n` columns.
    pub(super) fn count(&self, m: usize, n: usize) -> [usize; 2] {
        [m.div_ceil(self.size[0]), n.div_ceil(self.size[1])]
    }

    /// The constants of `prelude/tile.wgsl`.
    pub(super) fn constants(&self) -> [(&'static str, Constant); 7] {
        let threads = self.area() / (self.share[0] * self.share[1]);
        let loads = |side: usize| self.size[side] * (STEP / 4) / threads;
        [
            ("TILE_M", self.size[0]),
            ("TILE_N", self.size[1]),
            ("ROWS", self.share[0]),
            ("COLUMNS", self.share[1]),
            ("THREADS", threads),
            ("X_LOADS", loads(0)),
            ("W_LOADS", loads(1)),
        ]
        .map(|(name, value)| (name, Constant::U32(value as u32)))
    }

    /// Records a product of `m` rows, `n` columns and depth `k` in as many dispatches as it takes: `launch` gets the
    /// first tile, how many there are from it on, and their multiply-adds.
    pub(super) fn cover(
        &self,
        context: &Context,
        [m, n, k]: [usize; 3],
        mut launch: impl FnMut(usize, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let tiles = self.count(m, n).iter().product();
        let work = self.area() * k;
        let most = super::pieces_per_dispatch(context, work);
        (0..tiles).step_by(most).try_for_each(|first| {
            let count = most.min(tiles - first);
            launch(first, count, count * work)
        })
    }

    /// Steps along a depth of `k`.
    pub(super) fn steps(k: usize) -> usize {
        k.div_ceil(STEP)
    }

    fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_fits_the_smallest_device_and_its_own_layout() {
        for tile in TILES {
            let threads = tile.area() / (tile.share[0] * tile.share[1]);
            assert!(threads <= 256 && (tile.size[0] + tile.size[1]) * STEP * 4 <= 16384, "{tile:?}");
            let side = [tile.size[0] / tile.share[0], tile.size[1] / tile.share[1]];
            assert!(side[0].is_multiple_of(4) && side[1].is_multiple_of(8), "{tile:?}: four rows of eight columns");
            assert!(tile.size.iter().all(|size| (size * STEP / 4).is_multiple_of(threads)), "{tile:?}: whole loads");
        }
    }
}
