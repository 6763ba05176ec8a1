//! Elementwise arithmetic: on one array, or on two with broadcasting of the second.

use crate::Level;
use crate::parallel::{CHUNK, for_each_chunk, for_each_pair};
use crate::simd::{Kernel, Simd, load_some, map, store_some};

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `x + y`.
    Add,
    /// `x - y`.
    Sub,
    /// `x * y`.
    Mul,
    /// `x / y`.
    Div,
}

impl Binary {
    /// All operations.
    pub const ALL: [Self; 4] = [Self::Add, Self::Sub, Self::Mul, Self::Div];
}

/// `out = x op y`, all row-major. Each axis of `y_shape` is that of `shape` or 1; missing leading axes count as 1.
pub fn binary(op: Binary, x: &[f32], shape: &[usize], y: &[f32], y_shape: &[usize], out: &mut [f32]) {
    assert_eq!((x.len(), y.len()), (shape.iter().product(), y_shape.iter().product()));
    assert!(x.len() == out.len() && fits(shape, y_shape));
    if out.is_empty() {
        return;
    }
    let repeats = Repeats::new(shape, y_shape);
    let level = Level::current();
    let rows = (CHUNK / repeats.row).max(1);
    for_each_chunk(out, rows * repeats.row, |i, out| {
        let x = &x[i * rows * repeats.row..][..out.len()];
        for (j, (out, x)) in out.chunks_mut(repeats.row).zip(x.chunks(repeats.row)).enumerate() {
            let start = repeats.start_of_row(i * rows + j);
            let y =
                if repeats.row_repeats_one { Operand::One(y[start]) } else { Operand::Row(&y[start..][..out.len()]) };
            level.run(Row { op, x, y, out });
        }
    });
}

/// Whether an array of `y_shape` can be broadcast to `shape`.
pub fn fits(shape: &[usize], y_shape: &[usize]) -> bool {
    let pairs = || shape.iter().rev().zip(y_shape.iter().rev());
    y_shape.len() <= shape.len() && pairs().all(|(x, y)| *y == *x || *y == 1)
}

/// The broadcasting of the second operand: uniform rows, with the position of each in it.
struct Repeats {
    /// The longest run of innermost axes that are all equal in both operands, or all 1 in the second.
    row: usize,
    row_repeats_one: bool,
    /// The axes outside a row, from the innermost: size, and stride in the second operand.
    outer: Vec<(usize, usize)>,
}

impl Repeats {
    fn new(shape: &[usize], y_shape: &[usize]) -> Self {
        let missing = shape.len() - y_shape.len();
        let y_size = |axis: usize| axis.checked_sub(missing).map_or(1, |axis| y_shape[axis]);
        let axes: Vec<(usize, usize)> = (0..shape.len()).rev().map(|axis| (shape[axis], y_size(axis))).collect();
        let equal = axes.iter().take_while(|(x, y)| x == y).count();
        let ones = axes.iter().take_while(|(_, y)| *y == 1).count();
        let inner = equal.max(ones);
        let mut stride = axes[..inner].iter().map(|(_, y)| y).product();
        let mut outer = Vec::new();
        for (x, y) in &axes[inner..] {
            outer.push((*x, if *y == 1 { 0 } else { stride }));
            stride *= y;
        }
        Self { row: axes[..inner].iter().map(|(x, _)| x).product(), row_repeats_one: ones > equal, outer }
    }

    fn start_of_row(&self, mut row: usize) -> usize {
        let mut start = 0;
        for (size, stride) in &self.outer {
            start += row % size * stride;
            row /= size;
        }
        start
    }
}

/// The second operand of a row.
enum Operand<'a> {
    One(f32),
    Row(&'a [f32]),
}

struct Row<'a> {
    op: Binary,
    x: &'a [f32],
    y: Operand<'a>,
    out: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, x, y, out } = self;
        /// One loop per operation.
        macro_rules! each {
            ($op:ident) => {
                match y {
                    Operand::One(y) => {
                        let y = s.splat(y);
                        map!(s, x => out, |x| s.$op(x, y))
                    }
                    Operand::Row(y) => map!(s, x, y => out, |x, y| s.$op(x, y)),
                }
            };
        }
        match op {
            Binary::Add => each!(add),
            Binary::Sub => each!(sub),
            Binary::Mul => each!(mul),
            Binary::Div => each!(div),
        }
    }
}

/// `out = x * scale + offset`.
pub fn affine(x: &[f32], scale: f32, offset: f32, out: &mut [f32]) {
    unary(Unary::Affine { scale, offset }, x, out);
}

/// Clamps every element to `low..=high`. NaN stays.
pub fn clamp(x: &[f32], low: f32, high: f32, out: &mut [f32]) {
    unary(Unary::Clamp { low, high }, x, out);
}

/// `e^x` of every element.
pub fn exp(x: &[f32], out: &mut [f32]) {
    unary(Unary::Exp, x, out);
}

/// `out += factor * x`.
pub fn add_scaled(out: &mut [f32], factor: f32, x: &[f32]) {
    let level = Level::current();
    for_each_pair(x, out, |x, sum| level.run(AddScaled { factor, x, sum }));
}

/// An operation on one number.
#[derive(Clone, Copy)]
enum Unary {
    Affine { scale: f32, offset: f32 },
    Clamp { low: f32, high: f32 },
    Exp,
}

fn unary(op: Unary, x: &[f32], out: &mut [f32]) {
    let level = Level::current();
    for_each_pair(x, out, |x, out| level.run(Map { op, x, out }));
}

struct Map<'a> {
    op: Unary,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, x, out } = self;
        match op {
            // Rounded twice, because the results of samplers depend on it.
            Unary::Affine { scale, offset } => {
                let scale = s.splat(scale);
                let offset = s.splat(offset);
                map!(s, x => out, |x| s.add(s.mul(x, scale), offset));
            }
            Unary::Clamp { low, high } => {
                let low = s.splat(low);
                let high = s.splat(high);
                map!(s, x => out, |x| s.min(high, s.max(low, x)));
            }
            Unary::Exp => map!(s, x => out, |x| crate::math::exp(s, x)),
        }
    }
}

struct AddScaled<'a> {
    factor: f32,
    x: &'a [f32],
    sum: &'a mut [f32],
}

impl Kernel for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { factor, x, sum } = self;
        let factor = s.splat(factor);
        assert!(x.len() == sum.len());
        let whole = x.len() / S::LANES * S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            // SAFETY: both hold a vector at `at`.
            unsafe {
                let scaled = s.mul(s.load(x.as_ptr().add(at)), factor);
                s.store(sum.as_mut_ptr().add(at), s.add(s.load(sum.as_ptr().add(at)), scaled));
            }
        }
        if whole < x.len() {
            let tail = &mut sum[whole..];
            let scaled = s.mul(load_some(s, &x[whole..]), factor);
            store_some(s, s.add(load_some(s, tail), scaled), tail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_along_any_axes() {
        let shape = [2, 3, 2];
        let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
        for y_shape in
            [vec![2, 3, 2], vec![2, 1, 2], vec![1, 3, 1], vec![2, 1, 1], vec![3, 2], vec![2], vec![1], vec![]]
        {
            let y: Vec<f32> = (0..y_shape.iter().product()).map(|i: usize| 100.0 * i as f32).collect();
            let mut out = vec![0.0; 12];
            binary(Binary::Sub, &x, &shape, &y, &y_shape, &mut out);
            let padded: Vec<usize> = [vec![1; 3 - y_shape.len()], y_shape.clone()].concat();
            for (i, out) in out.iter().enumerate() {
                let index = [i / 6, i / 2 % 3, i % 2];
                let j = (0..3).fold(0, |j, axis| j * padded[axis] + if padded[axis] == 1 { 0 } else { index[axis] });
                assert_eq!(*out, x[i] - y[j], "{y_shape:?} at {i}");
            }
        }
        assert!(!fits(&[2, 3], &[2]) && !fits(&[3], &[1, 3]));
    }
}
