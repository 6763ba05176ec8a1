//! Cases of the ops of networks.

use super::{Case, Operand, Random, WEIGHT_TYPES, reference};
use easel_inference::tensor::{Activation, Conv2d, Device, Epilogue};
use easel_inference::{DType, Result, Tensor};

/// `activation(x + residual)`.
fn finish(x: Operand, residual: Option<&Operand>, activation: Activation) -> Operand {
    let sum = |(i, x): (usize, &f64)| reference::activate(activation, x + residual.map_or(0.0, |r| r.data[i]));
    Operand::new(&x.shape, x.data.iter().enumerate().map(sum).collect())
}

pub(super) fn linear(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    // The axes before the last, then inputs and outputs.
    let mut shapes = vec![
        (vec![1], 1, 1),
        (vec![77], 768, 40),
        (vec![2, 77], 33, 65),
        (vec![1, 5, 7], 1, 3),
        (vec![2, 3, 3], 320, 1),
        (vec![300], 1280, 17),
    ];
    shapes.extend((0..8).map(|_| (vec![1 + random.below(70)], 1 + random.below(200), 1 + random.below(200))));
    let mut cases = Vec::new();
    for (i, (rows, inputs, outputs)) in shapes.into_iter().enumerate() {
        let dtype = WEIGHT_TYPES[i % 3];
        let activation = Activation::ALL[i % Activation::ALL.len()];
        let x = random.array(&[rows.as_slice(), &[inputs]].concat());
        let weight = random.weight(&[outputs, inputs], dtype);
        let bias = (i % 4 != 1).then(|| random.weight(&[outputs], dtype));
        let residual = (i % 2 == 0).then(|| random.array(&[rows.as_slice(), &[outputs]].concat()));
        let expected = finish(reference::linear(&x, &weight, bias.as_ref()), residual.as_ref(), activation);
        let residual = residual.map(|residual| residual.tensor(device)).transpose()?;
        let bias = bias.map(|bias| bias.weight(device, dtype)).transpose()?;
        let epilogue = Epilogue { residual: residual.as_ref(), activation };
        let got = x.tensor(device)?.linear(&weight.weight(device, dtype)?, bias.as_ref(), epilogue)?;
        let name = format!("{rows:?} x {inputs} to {outputs}, {dtype:?}, {activation:?}");
        cases.push(Case { name, got, expected });
    }
    Ok(cases)
}

pub(super) fn conv2d(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let same = Conv2d::padded(1);
    let pointwise = Conv2d::padded(0);
    let halve = Conv2d { stride: 2, ..same };
    let one_sided = Conv2d { stride: 2, padding_before: 0, padding_after: 1, stretch_to: None };
    let stretch = |h, w| Conv2d { stretch_to: Some([h, w]), ..same };
    // Batch, height, width, inputs, outputs, kernel, geometry.
    let mut shapes = vec![
        ([1, 1, 1, 1, 1], 1, pointwise),
        ([1, 1, 1, 5, 3], 3, same),
        ([2, 9, 13, 4, 16], 3, same),
        ([1, 7, 5, 1, 8], 3, halve),
        ([2, 60, 44, 3, 5], 3, one_sided),
        ([1, 5, 7, 3, 2], 3, one_sided),
        ([1, 1, 1, 2, 2], 3, stretch(2, 2)),
        ([2, 5, 7, 8, 4], 3, stretch(9, 13)),
        ([1, 3, 4, 6, 5], 3, stretch(7, 7)),
        ([1, 4, 4, 3, 3], 1, Conv2d { stretch_to: Some([8, 8]), ..pointwise }),
        ([2, 6, 5, 33, 65], 1, pointwise),
        ([1, 8, 8, 9, 4], 5, Conv2d::padded(2)),
        ([1, 4, 6, 2, 3], 3, Conv2d { stride: 3, padding_before: 2, padding_after: 0, stretch_to: None }),
        ([1, 17, 16, 160, 64], 3, same),
    ];
    for _ in 0..8 {
        let sizes = [0; 5].map(|_| 1 + random.below(12));
        shapes.push((sizes, 3, Conv2d { stride: 1 + random.below(2), ..same }));
    }
    let mut cases = Vec::new();
    for (i, ([n, h, w, inputs, outputs], kernel, conv)) in shapes.into_iter().enumerate() {
        let dtype = WEIGHT_TYPES[i % 3];
        let activation = Activation::ALL[i % 3];
        let x = random.array(&[n, h, w, inputs]);
        let weight = random.weight(&[outputs, kernel, kernel, inputs], dtype);
        let bias = (i % 4 != 1).then(|| random.weight(&[outputs], dtype));
        let plain = reference::conv2d(&x, &weight, bias.as_ref(), conv);
        let residual = (i % 2 == 0).then(|| random.array(&plain.shape));
        let expected = finish(plain, residual.as_ref(), activation);
        let residual = residual.map(|residual| residual.tensor(device)).transpose()?;
        let bias = bias.map(|bias| bias.weight(device, dtype)).transpose()?;
        let epilogue = Epilogue { residual: residual.as_ref(), activation };
        let got = x.tensor(device)?.conv2d(&weight.weight(device, dtype)?, bias.as_ref(), conv, epilogue)?;
        let name = format!("{n}x{h}x{w}, {inputs} to {outputs}, kernel {kernel}, {conv:?}, {dtype:?}");
        cases.push(Case { name, got, expected });
    }
    Ok(cases)
}

/// A dense convolution whose kernels are zero for all channels but their own gives the same.
pub(super) fn depthwise(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (i, ([n, h, w, channels], kernel, stride)) in [
        ([1, 1, 1, 1], 3, 1),
        ([2, 5, 7, 6], 3, 1),
        ([1, 8, 9, 36], 3, 2),
        ([2, 16, 15, 64], 3, 1),
        ([1, 6, 6, 8], 5, 2),
    ]
    .into_iter()
    .enumerate()
    {
        let dtype = WEIGHT_TYPES[i % 3];
        let activation = Activation::ALL[i % 4];
        let conv = Conv2d { stride, ..Conv2d::padded(kernel / 2) };
        let x = random.array(&[n, h, w, channels]);
        let weight = random.weight(&[kernel, kernel, channels], dtype);
        let bias = random.weight(&[channels], dtype);
        let taps = kernel * kernel * channels;
        let dense = |at: usize| if at / taps == at % channels { weight.data[at % taps] } else { 0.0 };
        let dense = Operand::new(&[channels, kernel, kernel, channels], (0..channels * taps).map(dense).collect());
        let expected = finish(reference::conv2d(&x, &dense, Some(&bias), conv), None, activation);
        let weight = weight.weight(device, dtype)?;
        let got = x.tensor(device)?.depthwise(&weight, &bias.weight(device, dtype)?, conv, activation)?;
        cases.push(Case { name: format!("{n}x{h}x{w}, {channels} channels, {conv:?}, {dtype:?}"), got, expected });
    }
    Ok(cases)
}

pub(super) fn attention(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    attention_scaled(device, random, [1.0, 4.0])
}

/// Scores in the hundreds: the exponential must not overflow. Rounding errors of scores become factors on the weights,
/// so larger scores make the result less exact.
pub(super) fn attention_large_scores(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    attention_scaled(device, random, [16.0, 64.0])
}

fn attention_scaled(device: &Device, random: &mut Random, scales: [f64; 2]) -> Result<Vec<Case>> {
    // Batch, queries, keys, heads, width, causal.
    let mut shapes = vec![
        (1, 1, 1, 1, 1, false),
        (2, 77, 77, 3, 40, true),
        (1, 77, 77, 2, 64, true),
        (2, 65, 77, 2, 80, false),
        (1, 130, 77, 1, 160, false),
        (1, 64, 64, 1, 512, false),
        (1, 3, 5, 2, 7, true),
        (3, 100, 1, 2, 4, false),
    ];
    for _ in 0..6 {
        let mut size = |limit| 1 + random.below(limit);
        shapes.push((size(3), size(90), size(90), size(4), size(33), false));
    }
    let mut cases = Vec::new();
    for (i, (n, queries, keys, heads, width, causal)) in shapes.into_iter().enumerate() {
        let mut q = random.array(&[n, queries, heads * width]);
        let scale = scales[i % 2];
        q.data.iter_mut().for_each(|x| *x *= scale);
        let [k, v] = [0; 2].map(|_| random.array(&[n, keys, heads * width]));
        let expected = reference::attention(&q, &k, &v, heads, causal);
        let got = q.tensor(device)?.attention(&k.tensor(device)?, &v.tensor(device)?, heads, causal)?;
        let name = format!("{n}x{queries}x{keys}, {heads} heads of {width}, causal {causal}, scale {scale}");
        cases.push(Case { name, got, expected });
    }
    Ok(cases)
}

pub(super) fn group_norm(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    // Shape and groups. The second to last has groups of one channel, the last of one element.
    let shapes = [
        (vec![1, 1, 1, 2], 1),
        (vec![2, 9, 13, 16], 8),
        (vec![1, 17, 19, 320], 32),
        (vec![2, 300, 24], 4),
        (vec![1, 5, 3, 1], 1),
        (vec![2, 4, 4, 6], 6),
        (vec![2, 1, 1, 3], 3),
    ];
    let mut cases = Vec::new();
    for (i, (shape, groups)) in shapes.into_iter().enumerate() {
        let channels = shape[shape.len() - 1];
        let dtype = WEIGHT_TYPES[i % 3];
        let eps = [1e-5, 1e-6][i % 2];
        let activation = Activation::ALL[i % 3];
        let mut x = random.array(&shape);
        // Numbers far from 0, and small ones for which the epsilon matters.
        let (scale, offset) = [(1.0, 0.0), (4.0, 16.0), (1.0 / 512.0, 0.0)][i % 3];
        x.data.iter_mut().for_each(|x| *x = f64::from((*x * scale + offset) as f32));
        let weight = random.weight(&[channels], dtype);
        let bias = random.weight(&[channels], dtype);
        let per_picture = x.data.len() / shape[0];
        let set = |i: usize| i / per_picture * groups + i % channels / (channels / groups);
        let expected = finish(reference::norm(&x, eps, &weight, &bias, shape[0] * groups, set), None, activation);
        let weight = weight.weight(device, dtype)?;
        let bias = bias.weight(device, dtype)?;
        let got = x.tensor(device)?.group_norm(groups, eps, &weight, &bias, activation)?;
        cases.push(Case { name: format!("{shape:?} in {groups}, {dtype:?}, epsilon {eps}"), got, expected });
    }
    Ok(cases)
}

pub(super) fn layer_norm(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let shapes = [vec![1, 2], vec![77, 768], vec![2, 77, 33], vec![1, 5, 7, 320], vec![3, 1]];
    let mut cases = Vec::new();
    for (i, shape) in shapes.into_iter().enumerate() {
        let width = shape[shape.len() - 1];
        let dtype = WEIGHT_TYPES[i % 3];
        let x = random.array(&shape);
        let weight = random.weight(&[width], dtype);
        let bias = random.weight(&[width], dtype);
        let expected = reference::norm(&x, 1e-5, &weight, &bias, x.data.len() / width, |i| i / width);
        let got = x.tensor(device)?.layer_norm(1e-5, &weight.weight(device, dtype)?, &bias.weight(device, dtype)?)?;
        cases.push(Case { name: format!("{shape:?}, {dtype:?}"), got, expected });
    }
    Ok(cases)
}

/// `left * gelu(right)` of the halves of the last axis.
fn gated(x: &Operand) -> Operand {
    let axes = x.shape.len() - 1;
    let width = x.shape[x.shape.len() - 1] / 2;
    let gate = |row: &[f64]| -> Vec<f64> {
        (0..width).map(|i| row[i] * reference::activate(Activation::Gelu, row[width + i])).collect()
    };
    let data = x.data.chunks(2 * width).flat_map(gate).collect();
    Operand::new(&[&x.shape[..axes], &[width]].concat(), data)
}

pub(super) fn geglu(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for shape in [vec![2], vec![1, 77, 66], vec![2, 9, 2560]] {
        let mut x = random.array(&shape);
        // A single gate must not be far below 0, where its result would consist of rounding errors.
        x.data.iter_mut().for_each(|x| *x *= if shape == [2] { 1.0 } else { 8.0 });
        cases.push(Case { name: format!("{shape:?}"), got: x.tensor(device)?.geglu()?, expected: gated(&x) });
    }
    Ok(cases)
}

pub(super) fn linear_geglu(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    // The last one has enough rows and outputs for three parts on the host.
    for (i, (rows, inputs, outputs)) in
        [(vec![1], 9, 2), (vec![2, 77], 64, 66), (vec![2, 145], 3, 16_000)].into_iter().enumerate()
    {
        let dtype = WEIGHT_TYPES[i % 3];
        let x = random.array(&[rows.as_slice(), &[inputs]].concat());
        let weight = random.weight(&[outputs, inputs], dtype);
        let bias = (i > 0).then(|| random.weight(&[outputs], dtype));
        let expected = gated(&reference::linear(&x, &weight, bias.as_ref()));
        let bias = bias.map(|bias| bias.weight(device, dtype)).transpose()?;
        let got = x.tensor(device)?.linear_geglu(&weight.weight(device, dtype)?, bias.as_ref())?;
        cases.push(Case { name: format!("{rows:?} x {inputs} to {outputs}, {dtype:?}"), got, expected });
    }
    Ok(cases)
}

pub(super) fn activation(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for activation in Activation::ALL {
        for (shape, scale) in [(vec![1], 1.0), (vec![3, 5, 7], 0.01), (vec![2, 40_000], 16.0)] {
            let mut x = random.array(&shape);
            x.data.iter_mut().for_each(|x| *x = f64::from((*x * scale) as f32));
            let expected = finish(x.clone(), None, activation);
            let got = x.tensor(device)?.activation(activation)?;
            cases.push(Case { name: format!("{activation:?} of {shape:?} up to {scale}"), got, expected });
        }
    }
    Ok(cases)
}

pub(super) fn embedding(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (dtype, entries, width, ids_shape) in
        [(DType::F32, 1, 1, vec![1]), (DType::F16, 100, 32, vec![4, 77]), (DType::Bf16, 9, 5, vec![2, 3, 2])]
    {
        let table = random.weight(&[entries, width], dtype);
        let ids: Vec<u32> = (0..ids_shape.iter().product()).map(|_| random.below(entries) as u32).collect();
        let rows = ids.iter().flat_map(|id| table.data[*id as usize * width..][..width].to_vec()).collect();
        let expected = Operand::new(&[ids_shape.as_slice(), &[width]].concat(), rows);
        let got = table.weight(device, dtype)?.embedding(&Tensor::from_ids(ids, &ids_shape, device)?)?;
        cases.push(Case { name: format!("{ids_shape:?} of {entries}x{width}, {dtype:?}"), got, expected });
    }
    Ok(cases)
}
