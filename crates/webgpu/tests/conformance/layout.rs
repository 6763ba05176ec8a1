//! Copies: they do not change elements of any format.

use easel_webgpu::shader::Format;
use easel_webgpu::{Array, Context, ops};

const FORMATS: [Format; 4] = [Format::F32, Format::F16, Format::Bf16, Format::U32];

/// An array whose elements are their own positions, as raw bits.
fn places(context: &Context, shape: &[usize], start: u32, format: Format) -> Array {
    let count: usize = shape.iter().product();
    // Small integers are denormal floats, which some devices flush when they compute; so the bits of 1.0 and up.
    let bits = |i: usize| i as u32 + start;
    let bytes: Vec<u8> = match format.size() {
        4 => (0..count).flat_map(|i| (bits(i) + 0x3f80_0000).to_le_bytes()).collect(),
        _ => (0..count).flat_map(|i| (bits(i) as u16 + 0x3c00).to_le_bytes()).collect(),
    };
    Array::from_bytes(context, &bytes, shape, format).unwrap()
}

/// The original positions of an array's elements.
async fn read(context: &Context, array: &Array) -> Vec<u32> {
    let bytes = context.read(array.buffer(), ..).await.unwrap();
    match array.format().size() {
        4 => bytes.chunks_exact(4).map(|x| u32::from_le_bytes([x[0], x[1], x[2], x[3]]) - 0x3f80_0000).collect(),
        _ => bytes.chunks_exact(2).map(|x| u32::from(u16::from_le_bytes([x[0], x[1]]) - 0x3c00)).collect(),
    }
}

/// Every index of a shape, in order.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let count: usize = shape.iter().product();
    let index = |mut i: usize| {
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = i % shape[axis];
            i /= shape[axis];
        }
        index
    };
    (0..count).map(index).collect()
}

fn place(index: &[usize], shape: &[usize]) -> u32 {
    index.iter().zip(shape).fold(0, |at, (i, size)| at * size + i) as u32
}

pub(crate) async fn permute_in_every_format(context: &Context) {
    let cases: [(&[usize], &[usize]); 8] = [
        (&[5], &[0]),
        (&[3, 5], &[1, 0]),
        (&[2, 3, 4], &[0, 2, 1]),
        (&[2, 4, 3, 5], &[0, 2, 3, 1]),
        (&[2, 3, 5, 4], &[0, 3, 1, 2]),
        (&[3, 4, 2, 8], &[2, 0, 1, 3]),
        (&[2, 2, 3, 2, 2, 3], &[5, 3, 1, 0, 2, 4]),
        (&[1, 7, 1, 3], &[3, 2, 1, 0]),
    ];
    for (shape, order) in cases {
        for format in FORMATS {
            let y = ops::permute(context, &places(context, shape, 0, format), order).unwrap();
            let permuted: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
            let source = |index: &Vec<usize>| {
                let mut from = vec![0; shape.len()];
                order.iter().zip(index).for_each(|(&axis, &i)| from[axis] = i);
                place(&from, shape)
            };
            let want: Vec<u32> = indices(&permuted).iter().map(source).collect();
            assert_eq!((y.shape(), read(context, &y).await), (&permuted[..], want), "{shape:?} {order:?} {format:?}");
        }
    }
}

pub(crate) async fn narrow_in_every_format(context: &Context) {
    let cases: [(&[usize], usize, usize, usize); 6] = [
        (&[9], 0, 2, 5),
        (&[3, 8], 1, 4, 4),
        (&[3, 8], 1, 3, 4),
        (&[4, 3, 5], 1, 1, 2),
        (&[6, 4], 0, 5, 1),
        (&[2, 3], 1, 3, 0),
    ];
    for (shape, axis, start, length) in cases {
        for format in FORMATS {
            let y = ops::narrow(context, &places(context, shape, 0, format), axis, start, length).unwrap();
            let mut narrowed = shape.to_vec();
            narrowed[axis] = length;
            let source = |index: &Vec<usize>| {
                let mut from = index.clone();
                from[axis] += start;
                place(&from, shape)
            };
            let want: Vec<u32> = indices(&narrowed).iter().map(source).collect();
            assert_eq!(
                (y.shape(), read(context, &y).await),
                (&narrowed[..], want),
                "{shape:?} {axis} {start} {format:?}"
            );
        }
    }
}

pub(crate) async fn concat_along_every_axis(context: &Context) {
    for shape in [[2, 3, 4], [3, 1, 5], [2, 8, 8]] {
        for axis in 0..3 {
            for format in [Format::F32, Format::U32, Format::F16] {
                if format == Format::F16 && !context.capabilities().f16 {
                    continue;
                }
                let sizes = [shape[axis], 1, 4];
                let mut start = 0;
                let parts = sizes.map(|size| {
                    let mut part = shape;
                    part[axis] = size;
                    let array = places(context, &part, start, format);
                    start += array.elements() as u32;
                    array
                });
                let y = ops::concat(context, &[&parts[0], &parts[1], &parts[2]], axis).unwrap();
                let mut whole = shape;
                whole[axis] = sizes.iter().sum();
                let source = |index: &Vec<usize>| {
                    let mut from = index.clone();
                    let mut start = 0;
                    let mut part = 0;
                    while from[axis] >= sizes[part] {
                        from[axis] -= sizes[part];
                        start += parts[part].elements() as u32;
                        part += 1;
                    }
                    start + place(&from, parts[part].shape())
                };
                let want: Vec<u32> = indices(&whole).iter().map(source).collect();
                assert_eq!((y.shape(), read(context, &y).await), (&whole[..], want), "{shape:?} on {axis} {format:?}");
            }
        }
    }
}

pub(crate) async fn repeat_in_every_format(context: &Context) {
    for shape in [[1, 4], [3, 5]] {
        for format in FORMATS {
            let x = places(context, &shape, 0, format);
            let y = ops::repeat(context, &x, 3).unwrap();
            let want = read(context, &x).await.repeat(3);
            assert_eq!(
                (y.shape(), read(context, &y).await),
                (&[shape[0] * 3, shape[1]][..], want),
                "{shape:?} {format:?}"
            );
        }
    }
}
