//! Copies that change the order of elements: concatenated rows and permuted axes, for elements of any type.

use crate::parallel::for_each_chunk;

/// The fewest elements of a task.
const CHUNK: usize = 16 * 1024;

/// Concatenates the rows of several matrices. Each part is a matrix with the length of its rows; `out` determines their
/// number.
pub fn concat<T: Copy + Send + Sync>(parts: &[(&[T], usize)], out: &mut [T]) {
    let width: usize = parts.iter().map(|(_, width)| width).sum();
    let rows = out.len().checked_div(width).unwrap_or(0);
    assert!(parts.iter().all(|(part, width)| part.len() == rows * width) && out.len() == rows * width);
    let block = (CHUNK / width.max(1)).max(1);
    for_each_chunk(out, block * width, |i, out| {
        for (j, mut out) in out.chunks_exact_mut(width).enumerate() {
            for (part, width) in parts {
                let (head, tail) = out.split_at_mut(*width);
                head.copy_from_slice(&part[(i * block + j) * width..][..*width]);
                out = tail;
            }
        }
    });
}

/// The columns `start..start + out.len() / rows` of a matrix with rows of `width`.
pub fn narrow<T: Copy + Send + Sync>(x: &[T], width: usize, start: usize, length: usize, out: &mut [T]) {
    assert!(start + length <= width && x.len() * length == out.len() * width);
    let block = (CHUNK / length.max(1)).max(1);
    for_each_chunk(out, block * length, |i, out| {
        for (j, out) in out.chunks_exact_mut(length).enumerate() {
            out.copy_from_slice(&x[(i * block + j) * width + start..][..length]);
        }
    });
}

/// Permutes the axes of `x[shape]` into the order `axes`.
pub fn permute<T: Copy + Send + Sync>(x: &[T], shape: &[usize], axes: &[usize], out: &mut [T]) {
    assert!(x.len() == shape.iter().product() && x.len() == out.len() && axes.len() == shape.len());
    let Some(last) = axes.last() else { return out.copy_from_slice(x) };
    let stride = |axis: &usize| shape[axis + 1..].iter().product::<usize>();
    let row = shape[*last];
    let step = stride(last);
    let block = (CHUNK / row.max(1)).max(1);
    for_each_chunk(out, block * row, |i, out| {
        for (j, out) in out.chunks_exact_mut(row).enumerate() {
            let mut index = i * block + j;
            let mut start = 0;
            for axis in axes[..axes.len() - 1].iter().rev() {
                start += index % shape[*axis] * stride(axis);
                index /= shape[*axis];
            }
            for (k, out) in out.iter_mut().enumerate() {
                *out = x[start + k * step];
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_side_by_side_and_apart_again() {
        let a = [1, 2, 3, 4];
        let b = [5, 6];
        let mut both = [0; 6];
        concat(&[(&a, 2), (&[], 0), (&b, 1)], &mut both);
        assert_eq!(both, [1, 2, 5, 3, 4, 6]);
        let mut right = [0; 2];
        narrow(&both, 3, 2, 1, &mut right);
        assert_eq!(right, b);
        concat::<u8>(&[(&[], 0)], &mut []);
        narrow::<u8>(&[], 3, 1, 2, &mut []);
    }

    #[test]
    fn axes_in_any_order() {
        let shape = [2, 3, 5];
        let x: Vec<usize> = (0..30).collect();
        for axes in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut out = vec![0; 30];
            permute(&x, &shape, &axes, &mut out);
            for (i, value) in out.iter().enumerate() {
                let to = axes.map(|axis| shape[axis]);
                let at = [i / (to[1] * to[2]), i / to[2] % to[1], i % to[2]];
                let mut from = [0; 3];
                axes.iter().zip(at).for_each(|(axis, at)| from[*axis] = at);
                assert_eq!(*value, (from[0] * 3 + from[1]) * 5 + from[2], "{axes:?}");
            }
        }
        let mut one = [0];
        permute(&[7], &[], &[], &mut one);
        assert_eq!(one, [7]);
    }
}
