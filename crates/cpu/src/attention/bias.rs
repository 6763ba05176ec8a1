//! The bias on the scaled scores of attention: a table for all sequences, or decomposed relative positions on a grid.

use super::AttentionShape;

/// The bias on the scaled scores.
#[derive(Clone, Copy, Debug)]
pub enum Bias<'a> {
    /// Nothing.
    None,
    /// A table `[heads, queries, keys]` for every sequence.
    Table(&'a [f32]),
    /// Numbers of each query for its distance to a key on a grid.
    Relative(Relative<'a>),
}

/// Decomposed relative positions (<https://arxiv.org/abs/2112.01526>). Queries and keys are the points of a grid, row by
/// row. Each query has a number for every distance in rows and one for every distance in columns; both are added.
#[derive(Clone, Copy, Debug)]
pub struct Relative<'a> {
    /// Rows and columns of the grid.
    pub grid: [usize; 2],
    /// `[batch, queries, heads, 2 * rows - 1]`, for the row of the query minus that of the key plus `rows - 1`.
    pub rows: &'a [f32],
    /// `[batch, queries, heads, 2 * columns - 1]`, likewise for columns.
    pub columns: &'a [f32],
}

impl Bias<'_> {
    /// Whether the arrays have the lengths for an attention of this shape.
    pub(super) fn fits(&self, shape: &AttentionShape) -> bool {
        let AttentionShape { batch, queries, keys, heads, .. } = *shape;
        match self {
            Self::None => true,
            Self::Table(table) => table.len() == heads * queries * keys,
            Self::Relative(Relative { grid: [height, width], rows, columns }) => {
                let all = batch * queries * heads;
                [queries, keys] == [height * width; 2]
                    && rows.len() == all * (2 * height - 1)
                    && columns.len() == all * (2 * width - 1)
            }
        }
    }

    /// Adds the bias of one row of queries to its scores from a key on, which are not scaled yet. `place` is the number of
    /// sequence and head, the query, and the first key.
    #[inline(always)]
    pub(super) fn add(&self, shape: &AttentionShape, place: [usize; 3], scores: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Table(table) => add_table(table, shape, place, scores),
            Self::Relative(relative) => relative.add(shape, place, scores),
        }
    }
}

#[inline(always)]
fn add_table(table: &[f32], shape: &AttentionShape, [head, query, key]: [usize; 3], scores: &mut [f32]) {
    let AttentionShape { queries, keys, heads, scale, .. } = *shape;
    let unscaled = 1.0 / scale;
    let bias = &table[(head % heads * queries + query) * keys + key..][..scores.len()];
    for i in 0..scores.len() {
        scores[i] += bias[i] * unscaled;
    }
}

impl Relative<'_> {
    /// One row of the grid of keys after the other.
    #[inline(always)]
    fn add(&self, shape: &AttentionShape, [head, query, key]: [usize; 3], scores: &mut [f32]) {
        let AttentionShape { queries, heads, scale, .. } = *shape;
        let [height, width] = self.grid;
        let unscaled = 1.0 / scale;
        let at = (head / heads * queries + query) * heads + head % heads;
        // Distances fall as keys advance: that of the first row or column comes last.
        let rows = &self.rows[at * (2 * height - 1) + query / width..][..height];
        let columns = &self.columns[at * (2 * width - 1) + query % width..][..width];
        let mut done = 0;
        while done < scores.len() {
            let column = (key + done) % width;
            let count = (width - column).min(scores.len() - done);
            let of_row = rows[height - 1 - (key + done) / width];
            let of_columns = &columns[width - column - count..][..count];
            let part = &mut scores[done..][..count];
            for i in 0..count {
                part[i] += (of_row + of_columns[count - 1 - i]) * unscaled;
            }
            done += count;
        }
    }
}
