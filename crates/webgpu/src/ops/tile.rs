//! The tiles of a product. `prelude/tile.wgsl` and `prelude/tile_cooperative.wgsl` explain the parameters.

use super::linear::Formats;
use crate::capabilities::{Cooperative, Kind, Scalar};
use crate::shader::{Constant, Format};
use crate::{Capabilities, Context, Result};

/// The shape of a workgroup's tile, and of the part for an invocation or a subgroup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    /// Rows and columns of a workgroup's results.
    pub(super) size: [usize; 2],
    /// Rows and columns of an invocation's results or, with cooperative matrices, a subgroup's.
    share: [usize; 2],
    /// Rows and columns of a cooperative matrix, or 0 without these.
    matrix: usize,
    /// Multiply-adds per unit of time, relative to the largest plain tile.
    speed: f64,
}

/// The plain tiles, largest first. All of them fit the smallest device: 256 invocations, 16 KiB of workgroup memory.
pub(super) const TILES: [Tile; 4] = [
    Tile { size: [128, 128], share: [8, 8], matrix: 0, speed: 1.0 },
    Tile { size: [128, 64], share: [8, 4], matrix: 0, speed: 0.8 },
    Tile { size: [64, 64], share: [4, 4], matrix: 0, speed: 0.6 },
    Tile { size: [32, 32], share: [4, 4], matrix: 0, speed: 0.45 },
];

/// Tiles of cooperative matrices, whose size depends on the device.
const COOPERATIVE: [Tile; 2] = [
    Tile { size: [128, 128], share: [64, 32], matrix: 16, speed: 6.0 },
    Tile { size: [64, 64], share: [32, 32], matrix: 16, speed: 4.0 },
];

/// Invocations of a subgroup, for cooperative matrices.
const LANES: usize = 32;

impl Tile {
    /// The fastest tile for `m` rows and `n` columns: large tiles read less, small ones keep all cores busy.
    pub(super) fn choose(capabilities: &Capabilities, formats: Formats, m: usize, n: usize) -> Self {
        // The approximate number of cores (multiprocessors, execution units) of such a device.
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
        let exact = formats.x == Format::F16 && matches!(formats.weight, Format::F16 | Format::Blocks(_));
        let cooperative = if exact { Self::cooperative(capabilities) } else { Vec::new() };
        cooperative.into_iter().chain(TILES).reduce(better).unwrap_or(TILES[0])
    }

    /// The tiles of cooperative matrices for a device: `f16` factors, `f32` sums, subgroups of one known size.
    pub(super) fn cooperative(capabilities: &Capabilities) -> Vec<Self> {
        let has = |size: u32| {
            let wanted = Cooperative { m: size, n: size, k: size, inputs: Scalar::F16, output: Scalar::F32 };
            capabilities.cooperative.contains(&wanted)
        };
        let known = capabilities.subgroups == Some((LANES as u32, LANES as u32)) && capabilities.f16;
        let matrix = [16, 8].into_iter().find(|size| known && has(*size));
        let tiles = COOPERATIVE.map(|tile| Self { matrix: matrix.unwrap_or(0) as usize, ..tile });
        let memory = capabilities.limits.workgroup_storage as usize;
        tiles.into_iter().filter(|tile| tile.matrix > 0 && tile.memory() <= memory).collect()
    }

    /// Tiles that cover `m` rows and `n` columns.
    pub(super) fn count(&self, m: usize, n: usize) -> [usize; 2] {
        [m.div_ceil(self.size[0]), n.div_ceil(self.size[1])]
    }

    /// The constants of the tile's prelude.
    pub(super) fn constants(&self) -> Vec<(&'static str, Constant)> {
        let vectors = self.step() / 4;
        let loads = |side: usize| self.size[side] * vectors / self.threads();
        let mut numbers = vec![
            ("TILE_M", self.size[0]),
            ("TILE_N", self.size[1]),
            ("THREADS", self.threads()),
            ("VECTORS", vectors),
            ("X_LOADS", loads(0)),
            ("W_LOADS", loads(1)),
        ];
        if self.matrix > 0 {
            let fragments = self.share.map(|side| side / self.matrix);
            numbers.extend([("FRAGMENTS_M", fragments[0]), ("FRAGMENTS_N", fragments[1])]);
            numbers.extend([("SIZE", self.matrix), ("LANES", LANES)]);
        } else {
            numbers.extend([("ROWS", self.share[0]), ("COLUMNS", self.share[1])]);
        }
        let numbers = numbers.into_iter().map(|(name, value)| (name, Constant::U32(value as u32)));
        numbers.chain([("COOPERATIVE", Constant::Bool(self.matrix > 0))]).collect()
    }

    /// Records a product of `m` rows, `n` columns and depth `k` in one or more dispatches. `launch` gets the first
    /// tile, the number of tiles and their multiply-adds.
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
    pub(super) fn steps(&self, k: usize) -> usize {
        k.div_ceil(self.step())
    }

    /// Numbers along K per step of the kernel.
    fn step(&self) -> usize {
        if self.matrix > 0 { 32 } else { 16 }
    }

    fn threads(&self) -> usize {
        let shares = self.area() / (self.share[0] * self.share[1]);
        if self.matrix > 0 { shares * LANES } else { shares }
    }

    /// Bytes of workgroup memory.
    fn memory(&self) -> usize {
        let rows = self.size[0] + self.size[1];
        match self.matrix {
            0 => rows * self.step() * 4,
            matrix => rows * (self.step() + 8) * 2 + self.threads() / LANES * matrix * matrix * 4,
        }
    }

    fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_fits_its_device_and_its_own_layout() {
        for tile in TILES {
            assert!(tile.threads() <= 256 && tile.memory() <= 16384, "{tile:?}");
            let sides = [tile.size[0] / tile.share[0], tile.size[1] / tile.share[1]];
            assert!(sides.iter().all(|side| side.is_multiple_of(8)), "{tile:?}: rows of an invocation");
        }
        let smaller = COOPERATIVE.map(|tile| Tile { matrix: 8, ..tile });
        for tile in COOPERATIVE.into_iter().chain(smaller) {
            assert!(tile.threads() <= 256 && tile.memory() <= 32768, "{tile:?}");
            assert!(tile.share.iter().all(|side| side.is_multiple_of(tile.matrix)), "{tile:?}: whole matrices");
        }
        for tile in TILES.into_iter().chain(COOPERATIVE) {
            let vectors = tile.size.map(|size| size * tile.step() / 4);
            assert!(vectors.iter().all(|vectors| vectors.is_multiple_of(tile.threads())), "{tile:?}: whole loads");
        }
    }
}
