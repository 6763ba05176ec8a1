//! Cases of the elementwise ops and of the shape ops.

use super::{Case, Operand, Random, WEIGHT_TYPES};
use easel_inference::tensor::Device;
use easel_inference::{DType, Result, Tensor};

/// The position in an array of `shape` that is broadcast to position `i` of an array of `full`.
fn repeated(full: &[usize], shape: &[usize], mut i: usize) -> usize {
    let mut at = 0;
    let mut stride = 1;
    for axis in (0..full.len()).rev() {
        let size = (axis + shape.len()).checked_sub(full.len()).map_or(1, |axis| shape[axis]);
        at += if size == 1 { 0 } else { i % full[axis] * stride };
        stride *= size;
        i /= full[axis];
    }
    at
}

fn elementwise(x: &Operand, f: impl Fn(usize, f64) -> f64) -> Operand {
    Operand::new(&x.shape, x.data.iter().enumerate().map(|(i, x)| f(i, *x)).collect())
}

pub(super) fn binary(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    type Op = (&'static str, fn(&Tensor, &Tensor) -> Result<Tensor>, fn(f64, f64) -> f64);
    let ops: [Op; 4] = [
        ("add", Tensor::add, |x, y| x + y),
        ("sub", Tensor::sub, |x, y| x - y),
        ("mul", Tensor::mul, |x, y| x * y),
        ("div", Tensor::div, |x, y| x / y),
    ];
    let shapes = [
        (vec![1], vec![1]),
        (vec![2, 9, 13, 16], vec![2, 9, 13, 16]),
        (vec![2, 9, 13, 16], vec![2, 1, 1, 16]),
        (vec![2, 9, 13, 16], vec![1, 1, 1, 16]),
        (vec![2, 9, 13, 4], vec![2, 1, 1, 1]),
        (vec![2, 9, 13, 4], vec![1, 9, 1, 1]),
        (vec![2, 9, 13, 4], vec![1, 1, 13, 1]),
        (vec![4, 77, 32], vec![1, 77, 32]),
        (vec![3, 5], vec![5]),
        (vec![3, 5], vec![1]),
        (vec![70_000], vec![70_000]),
    ];
    let mut cases = Vec::new();
    for (shape, other) in shapes {
        let x = random.array(&shape);
        let mut y = random.array(&other);
        // Away from 0, because one of the ops divides.
        y.data.iter_mut().for_each(|y| *y = f64::from((y.abs() + 0.5) as f32));
        for (name, op, f) in ops {
            let expected = elementwise(&x, |i, x| f(x, y.data[repeated(&shape, &other, i)]));
            let got = op(&x.tensor(device)?, &y.tensor(device)?)?;
            cases.push(Case { name: format!("{name} of {shape:?} and {other:?}"), got, expected });
        }
    }
    Ok(cases)
}

pub(super) fn affine(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for shape in [vec![1], vec![2, 5, 7, 4]] {
        let x = random.array(&shape);
        let expected = elementwise(&x, |_, x| x * 2.5 - 0.75);
        cases.push(Case { name: format!("affine {shape:?}"), got: x.tensor(device)?.affine(2.5, -0.75)?, expected });
        let expected = elementwise(&x, |_, x| x * 0.18215);
        cases.push(Case { name: format!("scale {shape:?}"), got: x.tensor(device)?.scale(0.18215)?, expected });
    }
    Ok(cases)
}

pub(super) fn clamp(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let x = random.array(&[3, 5, 7]);
    let expected = elementwise(&x, |_, x| x.clamp(-0.5, 0.25));
    Ok(vec![Case { name: "3x5x7".into(), got: x.tensor(device)?.clamp(-0.5, 0.25)?, expected }])
}

pub(super) fn exp(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut x = random.array(&[3, 5, 7]);
    x.data.iter_mut().for_each(|x| *x *= 16.0);
    let expected = elementwise(&x, |_, x| x.exp());
    Ok(vec![Case { name: "3x5x7".into(), got: x.tensor(device)?.exp()?, expected }])
}

pub(super) fn combine(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let shape = [2, 9, 13, 4];
    let [x, y, z] = [0; 3].map(|_| random.array(&shape));
    let expected = elementwise(&x, |i, x| x * 0.5 - 1.25 * y.data[i] + 3.5 * z.data[i]);
    let y = y.tensor(device)?;
    let z = z.tensor(device)?;
    let got = x.tensor(device)?.combine(0.5, &[(-1.25, &y), (3.5, &z)])?;
    let alone = Case {
        name: "no terms".into(),
        got: x.tensor(device)?.combine(0.5, &[])?,
        expected: elementwise(&x, |_, x| x * 0.5),
    };
    Ok(vec![Case { name: "two terms".into(), got, expected }, alone])
}

pub(super) fn mean_and_std(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for shape in [vec![1, 2], vec![3, 9, 13, 4]] {
        let x = random.array(&shape);
        let keep = [&shape[..1], vec![1; shape.len() - 1].as_slice()].concat();
        let count = x.data.len() / shape[0];
        let mean = |x: &[f64]| x.iter().sum::<f64>() / count as f64;
        let std = |x: &[f64]| {
            let squares: f64 = x.iter().map(|y| (y - mean(x)).powi(2)).sum();
            (squares / (count - 1) as f64).sqrt()
        };
        let (got_mean, got_std) = x.tensor(device)?.mean_and_std()?;
        let expected = Operand::new(&keep, x.data.chunks(count).map(mean).collect());
        cases.push(Case { name: format!("mean {shape:?}"), got: got_mean, expected });
        let expected = Operand::new(&keep, x.data.chunks(count).map(std).collect());
        cases.push(Case { name: format!("std {shape:?}"), got: got_std, expected });
    }
    Ok(cases)
}

/// `x` with its axes in the order `axes`.
fn permuted(x: &Operand, axes: &[usize]) -> Operand {
    let strides: Vec<usize> = (0..axes.len()).map(|axis| x.shape[axis + 1..].iter().product()).collect();
    let shape: Vec<usize> = axes.iter().map(|axis| x.shape[*axis]).collect();
    let at = |mut i: usize| {
        axes.iter().rev().fold(0, |at, axis| {
            let index = i % x.shape[*axis];
            i /= x.shape[*axis];
            at + index * strides[*axis]
        })
    };
    Operand::new(&shape, (0..x.data.len()).map(|i| x.data[at(i)]).collect())
}

pub(super) fn views(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let x = random.array(&[2, 5, 7, 3]);
    let tensor = x.tensor(device)?;
    let narrowed: Vec<f64> = (0..2 * 5).flat_map(|i| x.data[i * 21 + 6..][..9].to_vec()).collect();
    let case = |name: &str, got, expected| Case { name: name.into(), got, expected };
    let permuted_view = tensor.permute(&[2, 0, 3, 1])?;
    Ok(vec![
        case("reshape", tensor.reshape(&[2, 35, 3])?, Operand::new(&[2, 35, 3], x.data.clone())),
        case("permute", permuted_view.clone(), permuted(&x, &[2, 0, 3, 1])),
        case("to_channels_first", tensor.to_channels_first()?, permuted(&x, &[0, 3, 1, 2])),
        case("to_channels_last", tensor.to_channels_last()?, permuted(&x, &[0, 2, 3, 1])),
        case("narrow", tensor.narrow(2, 2, 3)?, Operand::new(&[2, 5, 3, 3], narrowed)),
        // An op after a view must see the view's order, not the memory's.
        case(
            "permute, then affine",
            permuted_view.affine(2.0, 0.0)?,
            elementwise(&permuted(&x, &[2, 0, 3, 1]), |_, x| 2.0 * x),
        ),
    ])
}

pub(super) fn concat(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for axis in 0..4 {
        let mut shapes = [[2, 3, 5, 4]; 2];
        shapes[1][axis] = 1;
        let [x, y] = shapes.map(|shape| random.array(&shape));
        let outer: usize = shapes[0][..axis].iter().product();
        let rows = |x: &Operand, i: usize| {
            let length = x.data.len() / outer;
            x.data[i * length..][..length].to_vec()
        };
        let data = (0..outer).flat_map(|i| [rows(&x, i), rows(&y, i)].concat()).collect();
        let mut shape = shapes[0];
        shape[axis] += 1;
        let got = Tensor::concat(&[&x.tensor(device)?, &y.tensor(device)?], axis)?;
        cases.push(Case { name: format!("axis {axis}"), got, expected: Operand::new(&shape, data) });
    }
    let x = random.array(&[2, 3]);
    let expected = Operand::new(&[6, 3], x.data.repeat(3));
    cases.push(Case { name: "repeat".into(), got: x.tensor(device)?.repeat(3)?, expected });
    Ok(cases)
}

pub(super) fn transfers(device: &Device, random: &mut Random) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for dtype in WEIGHT_TYPES {
        let x = random.weight(&[3, 7], dtype);
        // GPU kernels read all types. They never write bfloat16, and half precision only if the device supports it.
        let written = match device {
            Device::Gpu(gpu) => dtype == DType::F32 || dtype == DType::F16 && gpu.context().capabilities().f16,
            _ => true,
        };
        if written {
            let cast = x.tensor(device)?.cast(dtype)?;
            assert_eq!(cast.dtype(), dtype);
            cases.push(Case { name: format!("cast to {dtype:?}"), got: cast, expected: x.clone() });
        }
        let weight = x.weight(device, dtype)?;
        assert_eq!(weight.dtype(), dtype);
        cases.push(Case {
            name: format!("{dtype:?} to the host"),
            got: pollster::block_on(weight.to_host())?,
            expected: x,
        });
    }
    let zeros = Operand::new(&[2, 3], vec![0.0; 6]);
    cases.push(Case { name: "zeros".into(), got: Tensor::zeros(&[2, 3], device)?, expected: zeros });
    Ok(cases)
}
