//! The micro-kernel of products in integers: a tile of sums is kept in registers during the loop over blocks of 32
//! weights.
//!
//! In a block, products of quants are summed exactly in 32-bit integers. The sums are converted to floats, multiplied
//! with the scales of both sides, and accumulated. A [`Dot`] is a way of multiplying quants, which a level chooses by
//! their bits.

use crate::simd::Simd;

/// Words before the quants in a block of inputs: the scale; for each of two groups of 16, or for the 32, the start of
/// the integer sum, or, for weights with minimums, the sum of the inputs; and an unused word.
pub(crate) const HEAD: usize = 4;

/// The width of quants, which determines how they can be multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// At most 31: products of 16 quants with signed bytes fit into two 16-bit sums.
    Five,
    /// At most 63: products of 8 quants do.
    Six,
    /// Signed bytes.
    Eight,
}

/// The order in which a level reads quants of some width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Quants along `k` in a group: 4 bytes, or 2 that are widened to 16 bits.
    pub(crate) group: usize,
    /// Whether signed bytes are stored with 128 added, for instructions that multiply unsigned by signed ones.
    pub(crate) is_raised: bool,
}

impl Order {
    /// Pairs, for levels without a product of bytes.
    pub(crate) const PAIRS: Self = Self { group: 2, is_raised: false };
    /// Four signed or unsigned bytes.
    pub(crate) const FOURS: Self = Self { group: 4, is_raised: false };

    /// Words of a block of inputs.
    #[inline(always)]
    pub(crate) fn record(self) -> usize {
        HEAD + 32 / self.group
    }
}

/// `sums += inputs * weights` for some rows and `BLOCK_VECTORS` vectors of columns, over blocks of 32 along `k`.
///
/// The caller of a function that multiplies a tile must guarantee that
/// - `inputs` points to `rows` rows (1 or `BLOCK_ROWS`), `input_row` words apart, each with `blocks` blocks of inputs,
/// - `quants` points to `blocks` blocks of 32 quants for each column in the level's order, `stride` bytes apart,
/// - `scales`, and `least` unless it is null, hold a float for each column and each `32 / groups` weights,
/// - `sums` holds `rows` rows of floats, one for each column.
#[derive(Clone, Copy)]
pub(crate) struct BlockTile {
    pub(crate) width: Width,
    pub(crate) rows: usize,
    pub(crate) blocks: usize,
    /// Groups of weights per block, each with its own scale: 1 or 2.
    pub(crate) groups: usize,
    pub(crate) inputs: *const i32,
    pub(crate) input_row: usize,
    pub(crate) quants: *const i8,
    pub(crate) stride: usize,
    pub(crate) scales: *const f32,
    pub(crate) least: *const f32,
    pub(crate) sums: *mut f32,
}

/// A way to multiply quants.
pub(crate) trait Dot<S: Simd> {
    /// Quants along `k` in a lane.
    const GROUP: usize;

    /// Adds the products of 16 inputs of each row with 16 quants of each column to `sums`.
    ///
    /// # Safety
    /// Each row must lead to `16 / GROUP` words, `quants` to 16 bytes for each of `V * LANES` columns.
    unsafe fn dot_16<const R: usize, const V: usize>(
        s: S,
        quants: *const i8,
        inputs: &[*const i32; R],
        sums: &mut [[S::I32; V]; R],
    );
}

/// Pairs of 16 bits.
pub(crate) struct Pairs;

impl<S: Simd> Dot<S> for Pairs {
    const GROUP: usize = 2;

    #[inline(always)]
    unsafe fn dot_16<const R: usize, const V: usize>(
        s: S,
        quants: *const i8,
        inputs: &[*const i32; R],
        sums: &mut [[S::I32; V]; R],
    ) {
        for i in 0..8 {
            let mut w = [s.splat_i32(0); V];
            for v in 0..V {
                // SAFETY: the caller guarantees 16 bytes for each column.
                w[v] = unsafe { s.load_pairs(quants.add((i * V + v) * 2 * S::LANES)) };
            }
            for r in 0..R {
                // SAFETY: the caller guarantees 8 words.
                let x = s.splat_i32(unsafe { *inputs[r].add(i) });
                for v in 0..V {
                    sums[r][v] = s.dot_i16(x, w[v], sums[r][v]);
                }
            }
        }
    }
}

/// The micro-kernel for `R` rows by `V` vectors of columns.
///
/// # Safety
/// See [`BlockTile`]; `R` must be `tile.rows`, `V` the level's `BLOCK_VECTORS`, and `D` its way of multiplying quants
/// of this width.
#[inline(always)]
pub(crate) unsafe fn multiply<S: Simd, D: Dot<S>, const R: usize, const V: usize>(s: S, tile: &BlockTile) {
    // SAFETY: guaranteed by the caller; the tile says which of its parts exist.
    unsafe {
        match (tile.groups, tile.least.is_null()) {
            (1, true) => multiply_by::<S, D, R, V, 1, false>(s, tile),
            (1, false) => multiply_by::<S, D, R, V, 1, true>(s, tile),
            (_, true) => multiply_by::<S, D, R, V, 2, false>(s, tile),
            (_, false) => multiply_by::<S, D, R, V, 2, true>(s, tile),
        }
    }
}

/// The micro-kernel for blocks with `GROUPS` scales, with or without minimums.
///
/// # Safety
/// As for [`multiply`], and `GROUPS` and `LEAST` must match the tile.
#[inline(always)]
unsafe fn multiply_by<S: Simd, D: Dot<S>, const R: usize, const V: usize, const GROUPS: usize, const LEAST: bool>(
    s: S,
    tile: &BlockTile,
) {
    let mut sums = [[s.splat(0.0); V]; R];
    let mut inputs = [tile.inputs; R];
    for r in 0..R {
        inputs[r] = tile.inputs.wrapping_add(r * tile.input_row);
        for v in 0..V {
            // SAFETY: there are `R` rows of `V * LANES` sums.
            sums[r][v] = unsafe { s.load(tile.sums.add((r * V + v) * S::LANES)) };
        }
    }
    let mut quants = tile.quants;
    let mut scales = tile.scales;
    let mut least = tile.least;
    // The loop exits at the bottom: with a test at the top the compiler spills the sums in every iteration.
    let mut block = 0;
    loop {
        // Not a loop over groups, because the compiler would then keep the sums in memory. SAFETY: this is one of
        // `blocks` blocks of inputs, quants, scales and minimums.
        unsafe { multiply_group::<S, D, R, V, GROUPS, LEAST>(s, 0, &inputs, quants, scales, least, &mut sums) };
        if GROUPS == 2 {
            let scales = scales.wrapping_add(V * S::LANES);
            let least = least.wrapping_add(if LEAST { V * S::LANES } else { 0 });
            // SAFETY: as above.
            unsafe { multiply_group::<S, D, R, V, GROUPS, LEAST>(s, 1, &inputs, quants, scales, least, &mut sums) };
        }
        scales = scales.wrapping_add(GROUPS * V * S::LANES);
        least = least.wrapping_add(if LEAST { GROUPS * V * S::LANES } else { 0 });
        for r in 0..R {
            inputs[r] = inputs[r].wrapping_add(HEAD + 32 / D::GROUP);
        }
        quants = quants.wrapping_add(tile.stride);
        block += 1;
        if block >= tile.blocks {
            break;
        }
    }
    for r in 0..R {
        for v in 0..V {
            // SAFETY: there are `R` rows of `V * LANES` sums.
            unsafe { s.store(tile.sums.add((r * V + v) * S::LANES), sums[r][v]) };
        }
    }
}

/// Adds the products of the `32 / GROUPS` inputs and weights of group `group` of a block.
///
/// # Safety
/// `inputs` and `quants` must point to a block, `scales` and, with `LEAST`, `least` to the floats of this group.
#[inline(always)]
unsafe fn multiply_group<S: Simd, D: Dot<S>, const R: usize, const V: usize, const GROUPS: usize, const LEAST: bool>(
    s: S,
    group: usize,
    inputs: &[*const i32; R],
    quants: *const i8,
    scales: *const f32,
    least: *const f32,
    sums: &mut [[S::F32; V]; R],
) {
    let mut products = [[s.splat_i32(0); V]; R];
    if !LEAST {
        for r in 0..R {
            // SAFETY: a block of inputs starts with its head.
            products[r] = [s.splat_i32(unsafe { *inputs[r].add(1 + group) }); V];
        }
    }
    // The number of iterations is a constant; otherwise the sums would be in memory.
    for half in 0..2 / GROUPS {
        let part = group * (2 / GROUPS) + half;
        let mut parts = [inputs[0]; R];
        for r in 0..R {
            parts[r] = inputs[r].wrapping_add(HEAD + part * 16 / D::GROUP);
        }
        // SAFETY: each part has 16 quants for each column and 16 inputs.
        unsafe { D::dot_16(s, quants.add(part * 16 * V * S::LANES), &parts, &mut products) };
    }
    let mut column_scales = [s.splat(0.0); V];
    for v in 0..V {
        // SAFETY: there is a scale for each column.
        column_scales[v] = unsafe { s.load(scales.add(v * S::LANES)) };
    }
    for r in 0..R {
        // SAFETY: a block of inputs starts with its scale.
        let scale = s.splat(f32::from_bits(unsafe { *inputs[r] } as u32));
        for v in 0..V {
            sums[r][v] = s.mul_add(s.to_f32(products[r][v]), s.mul(column_scales[v], scale), sums[r][v]);
        }
    }
    if LEAST {
        let mut column_least = [s.splat(0.0); V];
        for v in 0..V {
            // SAFETY: there is a minimum for each column.
            column_least[v] = unsafe { s.load(least.add(v * S::LANES)) };
        }
        for r in 0..R {
            // SAFETY: the head has a sum of inputs for each group.
            let sum = s.splat(f32::from_bits(unsafe { *inputs[r].add(1 + group) } as u32));
            for v in 0..V {
                sums[r][v] = s.mul_add(column_least[v], sum, sums[r][v]);
            }
        }
    }
}
