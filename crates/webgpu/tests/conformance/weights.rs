//! Weights in every format, read by an op that does nothing else: `cast`, `embedding`.

use super::{assert_near, exactly, random, read, store, values};
use easel_cpu::BlockFormat;
use easel_webgpu::shader::Format;
use easel_webgpu::{Array, Context, ops};
use half::f16;

/// A GGUF file's blocks of random quants and small scales, and the numbers that they stand for.
pub(crate) fn blocks(format: BlockFormat, count: usize, seed: u32) -> (Vec<u8>, Vec<f32>) {
    let blocks = count / format.length();
    // The middle bits of the random numbers are as good as random bytes.
    let bytes = values(blocks * format.bytes(), seed, 0.0).into_iter().map(|x| (x.to_bits() >> 8) as u8);
    let mut file: Vec<u8> = bytes.collect();
    let scales = values(2 * blocks, seed + 1, 0.0);
    for (block, scales) in file.chunks_exact_mut(format.bytes()).zip(scales.chunks_exact(2)) {
        for (at, scale) in format.halves().iter().zip(scales) {
            block[*at..at + 2].copy_from_slice(&f16::from_f32(scale / 1000.0).to_le_bytes());
        }
    }
    let mut numbers = vec![0.0; count];
    format.widen(&file, &mut numbers);
    (file, numbers)
}

pub(crate) async fn every_format_is_read_exactly(context: &Context) {
    for format in [Format::F16, Format::Bf16] {
        for rows in [1, 2, 3] {
            let mut numbers = values(rows * 32, 1, 0.0);
            // Zero, the smallest subnormal and the largest half.
            numbers[..6].copy_from_slice(&[0.0, -0.0, 5.9604645e-8, -3.0e-6, 65504.0, -65504.0]);
            let weight = store(context, &numbers, &[rows, 32], format);
            let wide = ops::cast(context, &weight.array, Format::F32).unwrap();
            assert_eq!(read(context, &wide).await, weight.values, "{format:?}, {rows} rows");
        }
    }
    for format in [Format::F16, Format::Bf16] {
        let weight = random(context, &[3, 5], 1, format);
        let wide = ops::cast(context, &weight.array, Format::F32).unwrap();
        assert_eq!(read(context, &wide).await, weight.values, "{format:?}, odd length");
    }
}

pub(crate) async fn casts_round_to_nearest(context: &Context) {
    if !context.capabilities().f16 {
        return;
    }
    let x = random(context, &[7, 3], 4, Format::F32);
    let y = ops::cast(context, &x.array, Format::F16).unwrap();
    let want = exactly(x.values.iter().map(|&x| f64::from(f16::from_f32(x).to_f32())));
    assert_near(context, &y, &[7, 3], &want, 0.0, "cast to f16").await;
    let same = ops::cast(context, &y, Format::F16).unwrap();
    assert_eq!(read(context, &same).await, read(context, &y).await);
}

pub(crate) async fn embedding_looks_rows_up(context: &Context) {
    let [small, large] = [BlockFormat::Q8_0, BlockFormat::Q6K].map(Format::Blocks);
    for width in [1, 7, 32, 256] {
        for format in [Format::F32, Format::F16, Format::Bf16, small, large] {
            if format == small && width < 32 || format == large && width < 256 {
                continue;
            }
            let parts = [4, 1, 6].map(|entries| random(context, &[entries, width], entries as u32, format));
            let table: Vec<f32> = parts.iter().flat_map(|part| part.values.clone()).collect();
            let ids = [0_u32, 10, 4, 3, 5, 9, 11, u32::MAX];
            let ids_array = Array::from_bytes(context, bytemuck::cast_slice(&ids), &[2, 4], Format::U32).unwrap();
            let parts = parts.map(|part| part.array);
            let y = ops::embedding(context, &parts, &ids_array, Format::F32).unwrap();
            let row = |id: &u32| match *id as usize {
                id if id < 11 => table[id * width..][..width].to_vec(),
                _ => vec![0.0; width],
            };
            let want: Vec<f32> = ids.iter().flat_map(row).collect();
            assert_eq!((y.shape(), read(context, &y).await), (&[2, 4, width][..], want), "{width} {format:?}");
        }
    }
}
