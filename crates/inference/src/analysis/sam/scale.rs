//! Bilinear resizing of numbers as `torch.nn.functional.interpolate` does it with `align_corners=False`.

/// The source of a number of the result: two places, and the share of the second.
struct Source {
    first: usize,
    second: usize,
    share: f32,
}

/// The sources of the first `count` of `to` numbers among `from`.
fn sources(from: usize, to: usize, count: usize) -> Vec<Source> {
    let scale = from as f32 / to as f32;
    let source = |i: usize| {
        let at = (scale * (i as f32 + 0.5) - 0.5).max(0.0);
        let first = (at as usize).min(from - 1);
        let share = (at - first as f32).clamp(0.0, 1.0);
        Source { first, second: (first + 1).min(from - 1), share }
    };
    (0..count).map(source).collect()
}

/// `x` of `from` (width, height) as if resized to `to`, and of that the part of `size` in the top left corner.
pub(super) fn bilinear(x: &[f32], from: [usize; 2], to: [usize; 2], size: [usize; 2]) -> Vec<f32> {
    let [width, _] = from;
    let columns = sources(from[0], to[0], size[0]);
    let rows = sources(from[1], to[1], size[1]);
    let stretched = |line: &[f32]| -> Vec<f32> {
        columns.iter().map(|at| (1.0 - at.share) * line[at.first] + at.share * line[at.second]).collect()
    };
    let mut lines: Vec<Option<Vec<f32>>> = vec![None; from[1]];
    let mut out = Vec::with_capacity(size[0] * size[1]);
    for at in rows {
        for row in [at.first, at.second] {
            lines[row].get_or_insert_with(|| stretched(&x[row * width..][..width]));
        }
        if let (Some(above), Some(below)) = (&lines[at.first], &lines[at.second]) {
            out.extend(above.iter().zip(below).map(|(a, b)| (1.0 - at.share) * a + at.share * b));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_torch() {
        // torch.nn.functional.interpolate(torch.tensor([[[[0., 1.], [2., 4.]]]]), (4, 3), mode="bilinear")
        let out = bilinear(&[0.0, 1.0, 2.0, 4.0], [2, 2], [3, 4], [3, 4]);
        assert_eq!(out, [0.0, 0.5, 1.0, 0.5, 1.125, 1.75, 1.5, 2.375, 3.25, 2.0, 3.0, 4.0]);
        let part = bilinear(&[0.0, 1.0, 2.0, 4.0], [2, 2], [3, 4], [2, 3]);
        assert_eq!(part, [0.0, 0.5, 0.5, 1.125, 1.5, 2.375]);
    }

    #[test]
    fn shrinking_does_not_look_at_all_numbers() {
        let row: Vec<f32> = (0..8).map(|x| x as f32).collect();
        assert_eq!(bilinear(&row, [8, 1], [2, 1], [2, 1]), [1.5, 5.5]);
        assert_eq!(bilinear(&[7.0], [1, 1], [2, 2], [2, 2]), [7.0; 4]);
    }
}
