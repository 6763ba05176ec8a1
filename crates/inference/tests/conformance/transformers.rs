//! Cases of the ops of diffusion transformers and T5: modulated norms, root-mean-square norms, gated residuals,
//! attention with a position bias, rotary positions.

use super::{Case, Operand, Random, WEIGHT_TYPES, reference};
use easel_inference::Result;
use easel_inference::tensor::{Device, Relative, Scores};

pub(super) fn attention_scored(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    // Batch, queries, keys, heads, width, causal.
    let shapes = [
        (1, 1, 1, 1, 1, false),
        (2, 48, 48, 4, 16, false),
        (1, 77, 77, 3, 64, true),
        (2, 65, 300, 2, 7, false),
        (1, 40, 9, 1, 160, false),
    ];
    let mut cases = Vec::new();
    for (n, queries, keys, heads, width, causal) in shapes {
        for scale in [None, Some(1.0), Some(0.25)] {
            let q = random.array(&[n, queries, heads * width]);
            let [k, v] = [0; 2].map(|_| random.array(&[n, keys, heads * width]));
            let mut bias = random.array(&[heads, queries, keys]);
            bias.data.iter_mut().for_each(|x| *x *= 4.0);
            let factor = scale.unwrap_or(1.0 / (width as f64).sqrt());
            let expected = reference::attention_scored(&q, [&k, &v], heads, causal, factor, Some(&bias));
            let bias = bias.tensor(device)?;
            let scores = Scores { causal, scale, bias: Some(&bias), relative: None };
            let got = q.tensor(device)?.attention_scored(&k.tensor(device)?, &v.tensor(device)?, heads, scores)?;
            let name = format!("{n}x{queries}x{keys}, {heads} heads of {width}, causal {causal}, scale {scale:?}");
            cases.push(Case { name, got, expected });
        }
    }
    Ok(cases)
}

/// Each entry of the batch against attention with a table of its own.
pub(super) fn attention_relative(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    // Batch, rows and columns of the grid, heads, width.
    for (n, height, across, heads, width) in
        [(1, 1, 1, 1, 4), (2, 3, 5, 2, 7), (3, 14, 14, 2, 16), (1, 9, 40, 3, 64), (1, 40, 1, 1, 80)]
    {
        let tokens = height * across;
        let [q, k, v] = [0; 3].map(|_| random.array(&[n, tokens, heads * width]));
        let rows = random.array(&[n, tokens, heads, 2 * height - 1]);
        let columns = random.array(&[n, tokens, heads, 2 * across - 1]);
        let mut expected = Operand::new(&q.shape, vec![0.0; q.data.len()]);
        let part = tokens * heads * width;
        for entry in 0..n {
            let added = |i: usize| {
                let [head, query, key] = [i / tokens / tokens, i / tokens % tokens, i % tokens];
                let at = (entry * tokens + query) * heads + head;
                let row = at * (2 * height - 1) + query / across + height - 1 - key / across;
                let column = at * (2 * across - 1) + query % across + across - 1 - key % across;
                rows.data[row] + columns.data[column]
            };
            let bias = Operand::new(&[heads, tokens, tokens], (0..heads * tokens * tokens).map(added).collect());
            let of = |x: &Operand| Operand::new(&[1, tokens, heads * width], x.data[entry * part..][..part].to_vec());
            let scale = 1.0 / (width as f64).sqrt();
            let one = reference::attention_scored(&of(&q), [&of(&k), &of(&v)], heads, false, scale, Some(&bias));
            expected.data[entry * part..][..part].copy_from_slice(&one.data);
        }
        let rows = rows.tensor(device)?;
        let columns = columns.tensor(device)?;
        let relative = Relative { grid: [height, across], rows: &rows, columns: &columns };
        let scores = Scores { relative: Some(relative), ..Scores::default() };
        let got = q.tensor(device)?.attention_scored(&k.tensor(device)?, &v.tensor(device)?, heads, scores)?;
        cases.push(Case { name: format!("{n}x{height}x{across}, {heads} heads of {width}"), got, expected });
    }
    Ok(cases)
}

/// Batch, tokens and width of the norms.
const SHAPES: [[usize; 3]; 5] = [[1, 1, 2], [2, 9, 48], [3, 77, 64], [2, 5, 1536], [1, 33, 31]];

pub(super) fn modulated_norm(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for [n, t, width] in SHAPES {
        let x = random.array(&[n, t, width]);
        let [scale, shift] = [0; 2].map(|_| random.array(&[n, width]));
        let eps = 1e-6;
        let ones = Operand::new(&[width], vec![1.0; width]);
        let zeros = Operand::new(&[width], vec![0.0; width]);
        let mut expected = reference::norm(&x, eps, &ones, &zeros, n * t, |i| i / width);
        for (i, y) in expected.data.iter_mut().enumerate() {
            let at = i / (t * width) * width + i % width;
            *y = *y * (1.0 + scale.data[at]) + shift.data[at];
        }
        let got = x.tensor(device)?.modulated_norm(eps, &scale.tensor(device)?, &shift.tensor(device)?)?;
        cases.push(Case { name: format!("{n}x{t}x{width}"), got, expected });
    }
    Ok(cases)
}

pub(super) fn rms_norm(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (i, [n, t, width]) in SHAPES.into_iter().enumerate() {
        let dtype = WEIGHT_TYPES[i % 3];
        let mut x = random.array(&[n, t, width]);
        // Small rows, for which the epsilon matters.
        x.data.iter_mut().for_each(|x| *x *= [1.0, 1.0 / 512.0][i % 2]);
        let weight = random.weight(&[width], dtype);
        let eps = 1e-6;
        let row = |row: &[f64]| -> Vec<f64> {
            let square = row.iter().map(|x| x * x).sum::<f64>() / width as f64;
            row.iter().zip(&weight.data).map(|(x, w)| x / (square + eps).sqrt() * w).collect()
        };
        let expected = Operand::new(&x.shape, x.data.chunks(width).flat_map(row).collect());
        let got = x.tensor(device)?.rms_norm(eps, &weight.weight(device, dtype)?)?;
        cases.push(Case { name: format!("{n}x{t}x{width}, {dtype:?}"), got, expected });
    }
    Ok(cases)
}

pub(super) fn add_gated(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for [n, t, width] in SHAPES {
        let [residual, x] = [0; 2].map(|_| random.array(&[n, t, width]));
        let gate = random.array(&[n, width]);
        let sum = |i: usize| residual.data[i] + gate.data[i / (t * width) * width + i % width] * x.data[i];
        let expected = Operand::new(&x.shape, (0..x.data.len()).map(sum).collect());
        let got = residual.tensor(device)?.add_gated(&gate.tensor(device)?, &x.tensor(device)?)?;
        cases.push(Case { name: format!("{n}x{t}x{width}"), got, expected });
    }
    Ok(cases)
}

pub(super) fn rope(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    // Batch, tokens, heads and pairs of a head.
    for [n, t, heads, pairs] in [[1, 1, 1, 1], [2, 5, 3, 4], [1, 77, 2, 64], [2, 33, 3, 8], [1, 9, 24, 7]] {
        let x = random.array(&[n, t, heads * 2 * pairs]);
        let turns = random.array(&[t, pairs]);
        let parts = |turn: &f64| [(4.0 * turn).cos(), (4.0 * turn).sin()].map(|part| f64::from(part as f32));
        let angles = Operand::new(&[t, pairs, 2], turns.data.iter().flat_map(parts).collect());
        let turned = |(i, pair): (usize, &[f64])| {
            let at = (i / pairs / heads % t * pairs + i % pairs) * 2;
            let [cosine, sine] = [angles.data[at], angles.data[at + 1]];
            [pair[0] * cosine - pair[1] * sine, pair[0] * sine + pair[1] * cosine]
        };
        let expected = Operand::new(&x.shape, x.data.chunks(2).enumerate().flat_map(turned).collect());
        let got = x.tensor(device)?.rope(&angles.tensor(device)?)?;
        cases.push(Case { name: format!("{n}x{t}, {heads} heads of {pairs} pairs"), got, expected });
    }
    Ok(cases)
}
