//! One matrix product for everything: `out[m, n] = act(rows[m, k] * weight[n, k]^T + bias + residual)`.
//!
//! The structure is Goto's (<https://www.cs.utexas.edu/~flame/pubs/GotoTOMS_revision.pdf>): a register tile, and
//! weights in panels as wide as the tile. The left-hand rows are not packed but read through pointers, one per row and
//! kernel tap ("indirect convolution", <https://arxiv.org/abs/1907.02129>), so padding, stride and upsampling cost
//! nothing.
//!
//! Every output is one chain of sums over `k`, in blocks whose size only depends on `k`: threads, batch size and the
//! position in a tile do not change a bit of it.

mod few;
mod panels;
mod product;
mod quantised;
#[cfg(target_arch = "x86_64")]
mod speed;
mod tile;

pub(crate) use few::FEW;
pub use panels::PackedWeight;
pub(crate) use panels::{Panels, TileColumns, pack_panel, to_pairs};
pub(crate) use product::{Epilogue, Product, Rows, Scratch, Size, task_size, with_scratch};
#[cfg(target_arch = "x86_64")]
pub(crate) use speed::pairs_pay;
pub(crate) use tile::{Addend, Tile, multiply, multiply_part};
