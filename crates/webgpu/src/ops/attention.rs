//! `attention`: scaled dot-product attention for any head width, cross or self, causal or not; and `rope` before it.

use super::pieces::{pieces, runs};
use super::{Launch, activation_format, pieces_per_dispatch, width, width_constant, words, writable};
use crate::shader::{Constant, Format, Kernel};
use crate::{Array, Context, Result};
use std::ops::Range;

/// `softmax(q k^T / sqrt(width)) v` per head. `query` is `[n, tq, heads * width]`, key and value are `[n, tk, heads *
/// width]`. With `causal`, a query only attends to keys up to its own position.
///
/// # Errors
/// If a shape or format does not fit.
pub fn attention(
    context: &Context,
    query: &Array,
    key: &Array,
    value: &Array,
    heads: usize,
    causal: bool,
) -> Result<Array> {
    attention_scored(context, [query, key, value], heads, Scores { causal, ..Scores::default() })
}

/// How scores are computed from the products of queries and keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scores<'a> {
    /// Whether a query only attends to keys up to its own position.
    pub causal: bool,
    /// The factor on the products; `None` stands for `1 / sqrt(width)`.
    pub scale: Option<f32>,
    /// The bias on the scaled products, the same for the whole batch: `[heads, tq, tk]`.
    pub bias: Option<&'a Array>,
    /// Added to the scaled products of attention on a grid.
    pub relative: Option<Relative<'a>>,
}

/// Decomposed relative positions (<https://arxiv.org/abs/2112.01526>): queries and keys are the points of a grid, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Relative<'a> {
    /// Rows and columns of the grid.
    pub grid: [usize; 2],
    /// `[n, t, heads, 2 * rows - 1]`, for the row of the query minus that of the key plus `rows - 1`.
    pub rows: &'a Array,
    /// `[n, t, heads, 2 * columns - 1]`, likewise for columns.
    pub columns: &'a Array,
}

impl Relative<'_> {
    /// The format of both arrays, if they fit an attention of this batch, these queries, keys and heads.
    fn check(&self, op: &'static str, [batch, queries, keys, heads]: [usize; 4]) -> Result<Format> {
        let [height, width] = self.grid;
        if [queries, keys] != [height * width; 2] {
            return Err(self.rows.shape_error(op, format!("a grid of {queries} points, not {height}x{width},")));
        }
        for (array, side) in [(self.rows, height), (self.columns, width)] {
            let shape = [batch, queries, heads, 2 * side - 1];
            if array.shape() != shape || array.format() != self.rows.format() {
                return Err(array.shape_error(op, format!("relative positions {shape:?} of one format")));
            }
        }
        activation_format(op, self.rows)
    }

    /// The numbers of these queries of all sequences.
    fn part(&self, heads: usize, queries: &Range<usize>) -> Result<[Array; 2]> {
        let [height, width] = self.grid;
        let part = |array: &Array, side: usize| {
            let row = heads * (2 * side - 1);
            array.part(queries.start * row, queries.len() * row)
        };
        Ok([part(self.rows, height)?, part(self.columns, width)?])
    }
}

/// [`attention`] of query, key and value with other scores.
///
/// # Errors
/// If a shape or format does not fit.
pub fn attention_scored(
    context: &Context,
    [query, key, value]: [&Array; 3],
    heads: usize,
    scores: Scores<'_>,
) -> Result<Array> {
    const OP: &str = "attention";
    let [batch, queries, hidden] = query.dims(OP)?;
    let [key_batch, keys, key_hidden] = key.dims(OP)?;
    let fits = heads > 0 && hidden > 0 && hidden % heads == 0 && (key_batch, key_hidden) == (batch, hidden) && keys > 0;
    if !fits || value.shape() != key.shape() || value.format() != key.format() {
        let expected = format!("[{key_batch}, t, {key_hidden}] in {heads} heads, like keys and values");
        return Err(query.shape_error(OP, expected));
    }
    let format = writable(context, activation_format(OP, query)?)?;
    activation_format(OP, key)?;
    let bias_format = scores.bias.map(|bias| activation_format(OP, bias)).transpose()?;
    if let (Some(bias), Some(_)) = (scores.bias, scores.relative) {
        return Err(bias.shape_error(OP, "a bias or relative positions, not both,"));
    }
    if let Some(bias) = scores.bias.filter(|bias| bias.shape() != [heads, queries, keys]) {
        return Err(bias.shape_error(OP, format!("a bias [{heads}, {queries}, {keys}]")));
    }
    let relative_format =
        scores.relative.map(|relative| relative.check(OP, [batch, queries, keys, heads])).transpose()?;
    let y = Array::alloc(context, query.shape(), format)?;
    let head_width = hidden / heads;
    let shape = Shape::choose(head_width);
    let formats = [query.format(), key.format(), y.format()];
    let added = Added { bias: bias_format, relative: relative_format };
    let kernel = kernel(shape, formats, width(&[head_width]), scores.causal, added);
    let work = 2 * shape.queries() * keys * head_width;
    let most = pieces_per_dispatch(context, work);
    let scale = std::f32::consts::LOG2_E * scores.scale.unwrap_or_else(|| 1.0 / (head_width as f32).sqrt());
    for run in cut(context, [batch, queries, keys], [query, &y, key].map(|array| array.bytes_of(hidden))) {
        let part = |array: &Array, rows: &Range<usize>| array.part(rows.start * hidden, rows.len() * hidden);
        let q = part(query, &run.queries)?;
        let y = part(&y, &run.queries)?;
        let relative = scores.relative.map(|relative| relative.part(heads, &run.queries)).transpose()?;
        let k = part(key, &run.keys)?;
        let v = part(value, &run.keys)?;
        let tiles = run.count.div_ceil(shape.queries());
        let all = run.batch * heads * tiles;
        for first in (0..all).step_by(most) {
            let end = all.min(first + most);
            let mut uniforms = words([run.count, keys, heads, head_width, 0, tiles, first, end]).to_vec();
            uniforms[4] = scale.to_bits();
            uniforms.extend(words(run.offsets));
            uniforms.extend([queries as u32, scores.relative.map_or(1, |relative| relative.grid[1]) as u32]);
            let inputs = [&q, &k, &v].into_iter().chain(scores.bias).chain(relative.iter().flatten());
            let inputs: Vec<&Array> = inputs.collect();
            let launch = Launch { kernel: kernel.clone(), inputs: &inputs, outputs: &[&y], uniforms: &uniforms };
            launch.run(context, end - first, (end - first) * work)?;
        }
    }
    Ok(y)
}

/// The queries and keys of one dispatch.
struct Run {
    /// The bound rows of all queries and of all keys.
    queries: Range<usize>,
    keys: Range<usize>,
    /// Entries of the batch, and queries per entry.
    batch: usize,
    count: usize,
    /// The start of queries and keys in the bound arrays, and the position of the first query in its batch entry.
    offsets: [usize; 3],
}

/// The whole batch, or, if that exceeds the binding limit, runs of queries of one entry after another. An entry's keys
/// are always bound together. `row_bytes` are those of queries, results and keys.
fn cut(context: &Context, [batch, queries, keys]: [usize; 3], row_bytes: [u64; 3]) -> Vec<Run> {
    let limit = context.capabilities().limits.storage_binding;
    let [q, y, k] = row_bytes;
    if q.max(y) * (batch * queries) as u64 <= limit && k * (batch * keys) as u64 <= limit {
        let all_queries = 0..batch * queries;
        let all_keys = 0..batch * keys;
        return vec![Run { queries: all_queries, keys: all_keys, batch, count: queries, offsets: [0; 3] }];
    }
    // A binding may start at every 128th row.
    let bound = |rows: Range<usize>| rows.start / 128 * 128..rows.end;
    let most = (limit / q.max(y).max(1)).saturating_sub(128).max(1) as usize;
    let of_entry = |entry: usize| {
        runs(queries, most).into_iter().map(move |run| {
            let from = entry * queries + run.start;
            let to = entry * queries + run.end;
            let first_key = entry * keys;
            let last_key = (entry + 1) * keys;
            let queries = bound(from..to);
            let keys = bound(first_key..last_key);
            let offsets = [from - queries.start, first_key - keys.start, run.start];
            Run { queries, keys, batch: 1, count: run.len(), offsets }
        })
    };
    (0..batch).flat_map(of_entry).collect()
}

/// The distribution of queries over a workgroup's invocations, explained in `kernels/attention.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    threads: usize,
    lanes: usize,
    rows: usize,
    values: usize,
}

impl Shape {
    /// Narrow heads get many queries per workgroup; wide ones are limited by the registers for the results.
    pub(super) fn choose(head_width: usize) -> Self {
        let vectors = head_width.div_ceil(4);
        if vectors <= 40 {
            return Self { threads: 128, lanes: 8, rows: 4, values: vectors.div_ceil(8) };
        }
        Self { threads: 256, lanes: 16, rows: 2, values: vectors.div_ceil(16) }
    }

    fn queries(self) -> usize {
        self.threads / self.lanes * self.rows
    }
}

/// The formats of what is added to the scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) bias: Option<Format>,
    pub(super) relative: Option<Format>,
}

/// The variant for these formats of queries (and scores), keys and values, results, and of what is added.
pub(super) fn kernel(shape: Shape, formats: [Format; 3], width: usize, causal: bool, added: Added) -> Kernel {
    // Rows of queries, and of keys, that one invocation stages at a time. There may be more invocations than queries.
    let loads = |rows: usize| Constant::U32((rows * 4).div_ceil(shape.threads) as u32);
    let mut constants = vec![
        ("Q", Constant::Format(formats[0])),
        ("K", Constant::Format(formats[1])),
        ("Y", Constant::Format(formats[2])),
        width_constant(width),
        ("CAUSAL", Constant::Bool(causal)),
        ("BIAS", Constant::Bool(added.bias.is_some())),
        ("RELATIVE", Constant::Bool(added.relative.is_some())),
        ("THREADS", Constant::U32(shape.threads as u32)),
        ("LANES", Constant::U32(shape.lanes as u32)),
        ("ROWS", Constant::U32(shape.rows as u32)),
        ("VALUES", Constant::U32(shape.values as u32)),
        ("Q_LOADS", loads(shape.queries())),
        ("K_LOADS", loads(shape.lanes * 4)),
    ];
    constants.extend(added.bias.or(added.relative).map(|format| ("B", Constant::Format(format))));
    Kernel { name: "attention", source: include_str!("../kernels/attention.wgsl"), constants }
}

/// Rotary position embedding (<https://arxiv.org/abs/2104.09864>) of `x` `[n, t, heads * width]`: neighbouring pairs of
/// each head are rotated. `angles` `[t, width / 2, 2]` has cosine and sine in `F32`.
///
/// # Errors
/// If a shape or format does not fit.
pub fn rope(context: &Context, x: &Array, angles: &Array) -> Result<Array> {
    const OP: &str = "rope";
    let [_, tokens, hidden] = x.dims(OP)?;
    let [positions, pairs, parts] = angles.dims(OP)?;
    let fits = pairs > 0 && hidden % (2 * pairs) == 0 && (positions, parts) == (tokens, 2);
    if !fits || angles.format() != Format::F32 {
        let expected = format!("[n, {positions}, heads * {}] and angles [t, width / 2, 2] in F32,", 2 * pairs);
        return Err(x.shape_error(OP, expected));
    }
    let y = Array::alloc(context, x.shape(), writable(context, activation_format(OP, x)?)?)?;
    for run in pieces(context, x.elements() / hidden, &[x.bytes_of(hidden), y.bytes_of(hidden)]) {
        let [x, y] = [x, &y].map(|array| array.part(run.start * hidden, run.len() * hidden));
        let x = x?;
        let y = y?;
        let count = x.elements() / 2;
        let uniforms = words([pairs, hidden / (2 * pairs), tokens, count, run.start]);
        let kernel = rope_kernel([x.format(), y.format()]);
        Launch { kernel, inputs: &[&x, angles], outputs: &[&y], uniforms: &uniforms }.run_each(context, count)?;
    }
    Ok(y)
}

pub(super) fn rope_kernel(formats: [Format; 2]) -> Kernel {
    let [x, y] = formats.map(Constant::Format);
    Kernel { name: "rope", source: include_str!("../kernels/rope.wgsl"), constants: vec![("X", x), ("Y", y)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_fits_the_smallest_device() {
        for head_width in [1, 8, 40, 64, 80, 128, 160, 161, 256, 512] {
            let shape = Shape::choose(head_width);
            let queries = shape.queries();
            let keys = shape.lanes * 4;
            let memory = (queries + keys) * 16 * 4 + queries * keys * 4 + queries * shape.lanes * 4;
            assert!(memory <= 16384 && shape.threads <= 256 && queries >= 32, "{head_width}: {shape:?}");
            assert!((keys * 4).is_multiple_of(shape.threads), "{head_width}: {shape:?}");
            assert!(shape.values * shape.lanes * 4 >= head_width);
        }
    }
}
