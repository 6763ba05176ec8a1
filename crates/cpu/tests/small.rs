//! Every kernel on shapes so small that an interpreter can run them: for Miri (the plain level) and the sanitizers.
//!
//!     cargo +nightly miri test -p easel-cpu --no-default-features --lib --test small
//!     MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-ignore-leaks" RAYON_NUM_THREADS=2 cargo +nightly miri test -p easel-cpu --test small
//!     RUSTFLAGS=-Zsanitizer=address cargo +nightly test -p easel-cpu --target x86_64-unknown-linux-gnu
//!     RUSTFLAGS=-Zsanitizer=thread cargo +nightly test -Zbuild-std -p easel-cpu --target x86_64-unknown-linux-gnu
//!
//! With threads, rayon's own queues need tree borrows, and its pool never ends, which Miri would call a leak.

use easel_cpu::attention::{AttentionShape, attention};
use easel_cpu::conv2d::{Conv2dShape, conv2d};
use easel_cpu::elementwise::{self, Binary};
use easel_cpu::linear::linear;
use easel_cpu::{Activation, BlockFormat, Floats, Level, PackedWeight, Weight, activation, layout, memory, norm};
use half::{bf16, f16};

/// A few numbers between -1 and 1, in memory that has nothing behind it.
fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect()
}

/// Runs `f` at every level of the machine; all results are those of the first, plain one, but for rounding.
fn agree(f: impl Fn() -> Vec<f32>) {
    let mut plain: Option<Vec<f32>> = None;
    for level in Level::available() {
        let got = level.with(&f);
        let plain = plain.get_or_insert_with(|| got.clone());
        let close = |(got, plain): (&f32, &f32)| (got - plain).abs() <= 1e-4 * plain.abs().max(1.0);
        assert!(got.len() == plain.len() && got.iter().zip(&*plain).all(close), "{level:?}: {got:?} {plain:?}");
    }
}

#[test]
fn products() {
    for [m, n, k] in [[1, 1, 1], [2, 3, 5], [5, 17, 33], [3, 9, 64]] {
        let x = values(m * k);
        let w = values(n * k);
        let b = values(n);
        let r = values(m * n);
        let halves: Vec<f16> = w.iter().map(|w| f16::from_f32(*w)).collect();
        let brains: Vec<bf16> = w.iter().map(|w| bf16::from_f32(*w)).collect();
        for weight in [Weight::F32(&w), Weight::F16(&halves), Weight::Bf16(&brains)] {
            for packed in [false, true] {
                agree(|| {
                    let mut out = vec![0.0; m * n];
                    let layer = PackedWeight::new(weight, [n, k]);
                    let bias = Some(b.as_slice());
                    let residual = Some(r.as_slice());
                    match packed {
                        true => linear(&x, [m, n, k], &layer, bias, residual, Activation::Silu, &mut out),
                        false => linear(&x, [m, n, k], weight, bias, residual, Activation::Silu, &mut out),
                    }
                    out
                });
            }
        }
    }
}

#[test]
fn products_in_fewer_bits() {
    let [m, n, k] = [5, 17, 64];
    let x = values(m * k);
    let w = values(n * k);
    agree(|| {
        let mut out = vec![0.0; m * n];
        let layer = PackedWeight::bf16(Weight::F32(&w), [n, k]);
        linear(&x, [m, n, k], &layer, None, None, Activation::Gelu, &mut out);
        out
    });
}

#[test]
fn products_in_integers() {
    for format in BlockFormat::ALL.iter().copied() {
        let [m, n, k] = [3, 5, format.length()];
        let x = values(m * k);
        // Of formats that are only read, zeros will do.
        let zeros = || vec![0; n * format.bytes()];
        let bytes = &format.quantise(&values(n * k)).unwrap_or_else(zeros);
        agree(|| {
            let mut out = vec![0.0; m * n];
            let layer = PackedWeight::integers(Weight::Blocks { format, bytes }, [n, k]);
            linear(&x, [m, n, k], &layer, None, None, Activation::Gelu, &mut out);
            out
        });
    }
}

#[test]
fn convolutions() {
    let shape = |channels: [usize; 2], kernel: usize, stride: usize, stretch: usize| {
        let input = [5, 4];
        let padding = kernel / 2;
        let stretched = input.map(|size| size * stretch);
        let output = stretched.map(|size| (size + 2 * padding - kernel) / stride + 1);
        let [in_channels, out_channels] = channels;
        let kernel = [kernel; 2];
        let padding_before = [padding; 2];
        Conv2dShape { batch: 2, input, stretched, in_channels, out_channels, kernel, stride, padding_before, output }
    };
    let mut shapes =
        vec![shape([3, 4], 3, 1, 1), shape([4, 9], 3, 2, 1), shape([17, 6], 3, 1, 2), shape([4, 8], 1, 1, 1)];
    // Winograd's way is for pictures that take an interpreter too long; its own test has a smaller one.
    if !cfg!(miri) {
        shapes.push(Conv2dShape { input: [33, 32], stretched: [33, 32], output: [33, 32], ..shape([32, 40], 3, 1, 1) });
    }
    for shape in shapes {
        let k = shape.kernel[0] * shape.kernel[1] * shape.in_channels;
        let x = values(shape.batch * shape.input[0] * shape.input[1] * shape.in_channels);
        let w = values(shape.out_channels * k);
        agree(|| {
            let mut out = vec![0.0; shape.batch * shape.output[0] * shape.output[1] * shape.out_channels];
            conv2d(&x, &shape, Weight::F32(&w), None, None, Activation::None, &mut out);
            out
        });
    }
}

#[test]
fn attention_and_norms() {
    for (queries, keys, causal) in [(3, 5, false), (7, 7, true)] {
        let shape = AttentionShape { batch: 2, queries, keys, heads: 2, width: 5, scale: 0.4, causal };
        let q = values(2 * queries * 10);
        let k = values(2 * keys * 10);
        agree(|| {
            let mut out = vec![0.0; q.len()];
            attention(&q, &k, &k, &shape, &mut out);
            out
        });
    }
    let x = values(2 * 5 * 12);
    let w = values(12);
    agree(|| {
        let mut group = vec![0.0; x.len()];
        let mut layer = vec![0.0; x.len()];
        norm::group_norm(&x, [2, 5, 12], 4, 1e-5, &w, &w, Activation::Silu, &mut group);
        norm::layer_norm(&x, 12, 1e-5, Some(&w), None, &mut layer);
        [group, layer].concat()
    });
}

#[test]
fn elementwise_and_layout() {
    let x = values(2 * 3 * 7);
    agree(|| {
        let mut outs = vec![vec![0.0; x.len()]; 5];
        elementwise::binary(Binary::Div, &x, &[2, 3, 7], &[2.0, 4.0, 8.0], &[3, 1], &mut outs[0]);
        elementwise::affine(&x, 2.0, 1.0, &mut outs[1]);
        elementwise::clamp(&x, -0.3, 0.3, &mut outs[2]);
        elementwise::exp(&x, &mut outs[3]);
        Activation::Tanh.apply_to(&x, &mut outs[4]);
        elementwise::add_scaled(&mut outs[4], 0.5, &x);
        let mut gated = vec![0.0; x.len() / 2];
        activation::geglu(&x, 7, &mut gated);
        outs.push(gated);
        outs.concat()
    });
    let mut turned = vec![0.0; x.len()];
    layout::permute(&x, &[2, 3, 7], &[2, 0, 1], &mut turned);
    assert_eq!(turned[1], x[7]);
    let first = Floats::copy(&x);
    drop(first);
    assert_eq!(Floats::zeros(x.len()).iter().sum::<f32>(), 0.0);
    memory::release_idle();
}
