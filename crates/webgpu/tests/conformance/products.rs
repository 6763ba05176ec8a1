//! `linear` and `conv2d`.

use super::{Expected, Stored, activate, activations, assert_near, random};
use easel_cpu::BlockFormat;
use easel_webgpu::ops::{self, Activation, Conv2d, Epilogue};
use easel_webgpu::shader::Format;
use easel_webgpu::{Array, Context};

const TOLERANCE: f64 = 2e-6;

const WEIGHTS: [Format; 4] = [Format::F32, Format::F16, Format::Bf16, Format::Blocks(BlockFormat::Q8_0)];

/// The formats that a weight with rows of `k` can have.
fn weights(k: usize) -> &'static [Format] {
    if k.is_multiple_of(32) { &WEIGHTS } else { &WEIGHTS[..3] }
}

/// One row of a product: the terms, then `activation(sum + bias + residual)`.
pub(super) fn finish(terms: impl Iterator<Item = (f32, f32)>, added: [f32; 2], activation: Activation) -> Expected {
    let mut sum = 0.0;
    let mut magnitude = 0.0;
    for (a, b) in terms {
        let product = f64::from(a) * f64::from(b);
        sum += product;
        magnitude += product.abs();
    }
    for value in added {
        sum += f64::from(value);
        magnitude += f64::from(value).abs();
    }
    (activate(activation, sum), magnitude)
}

/// Optional bias and residual of a product with `n` columns, and their sum for an element.
struct Added {
    bias: Option<Stored>,
    residual: Option<Stored>,
}

impl Added {
    fn new(context: &Context, shape: &[usize], formats: [Format; 2], present: bool) -> Self {
        let last = &shape[shape.len() - 1..];
        let [bias, residual] = [(last, formats[0]), (shape, formats[1])]
            .map(|(shape, format)| present.then(|| random(context, shape, 7, format)));
        Self { bias, residual }
    }

    fn at(&self, row: usize, column: usize, n: usize) -> [f32; 2] {
        let value = |stored: &Option<Stored>, at: usize| stored.as_ref().map_or(0.0, |stored| stored.values[at]);
        [value(&self.bias, column), value(&self.residual, row * n + column)]
    }

    fn epilogue(&self, activation: Activation) -> Epilogue<'_> {
        Epilogue { residual: self.residual.as_ref().map(|stored| &stored.array), activation }
    }

    fn bias(&self) -> Option<&Array> {
        self.bias.as_ref().map(|stored| &stored.array)
    }
}

async fn check_linear(
    context: &Context,
    [m, n, k]: [usize; 3],
    format: Format,
    weight: Format,
    activation: Activation,
) {
    let x = random(context, &[m, k], 1, format);
    let w = random(context, &[n, k], 2, weight);
    let plain = if weight == WEIGHTS[3] { Format::F32 } else { weight };
    let added = Added::new(context, &[m, n], [plain, format], activation != Activation::None);
    let y = ops::linear(context, &x.array, &[w.array], added.bias(), added.epilogue(activation)).unwrap();
    let mut want = Vec::new();
    for (row, x) in x.values.chunks(k).enumerate() {
        for (column, w) in w.values.chunks(k).enumerate() {
            let terms = x.iter().copied().zip(w.iter().copied());
            want.push(finish(terms, added.at(row, column, n), activation));
        }
    }
    let what = format!("linear {m}x{n}x{k} {format:?} {weight:?} {activation:?}");
    assert_near(context, &y, &[m, n], &want, TOLERANCE, &what).await;
}

pub(crate) async fn linear_at_every_tile_and_tail(context: &Context) {
    // On lavapipe the last four take the four tiles, from the smallest to the largest.
    let shapes = [
        [1, 1, 1],
        [1, 7, 5],
        [2, 130, 36],
        [3, 9, 64],
        [8, 33, 96],
        [9, 33, 31],
        [77, 40, 32],
        [33, 50, 64],
        [100, 101, 36],
        [120, 250, 32],
        [250, 251, 20],
    ];
    for shape in shapes {
        for &format in activations(context) {
            check_linear(context, shape, format, format, Activation::None).await;
        }
        for &weight in weights(shape[2]) {
            check_linear(context, shape, Format::F32, weight, Activation::Silu).await;
        }
    }
}

pub(crate) async fn linear_with_every_activation(context: &Context) {
    for activation in Activation::ALL {
        check_linear(context, [40, 33, 32], Format::F32, Format::F32, activation).await;
    }
}

pub(crate) async fn a_weight_in_parts_is_one_weight(context: &Context) {
    for m in [2, 20] {
        let x = random(context, &[m, 1, 12], 1, Format::F32).array;
        let parts = [5, 40, 1].map(|n| random(context, &[n, 12], n as u32, Format::F16));
        let whole: Vec<f32> = parts.iter().flat_map(|part| part.values.clone()).collect();
        let whole = super::store(context, &whole, &[46, 12], Format::F16).array;
        let bias = random(context, &[46], 3, Format::F32).array;
        let parts = parts.map(|part| part.array);
        let run = async |weight: &[Array]| {
            let y = ops::linear(context, &x, weight, Some(&bias), Epilogue::default()).unwrap();
            assert_eq!(y.shape(), [m, 1, 46]);
            super::read(context, &y).await
        };
        let together = run(&[whole]).await;
        let apart = run(&parts).await;
        assert!(together.iter().zip(&apart).all(|(a, b)| (a - b).abs() < 1e-5), "{m} rows");
    }
}

/// The stored pixel of an upsampled coordinate, rounded as in PyTorch's `nearest`.
fn nearest(at: usize, from: usize, to: usize) -> usize {
    ((at as f32 * (from as f32 / to as f32)) as usize).min(from - 1)
}

struct Case {
    /// Batch, height, width, channels.
    x: [usize; 4],
    /// Output channels, kernel height and width.
    kernel: [usize; 3],
    conv: Conv2d,
}

impl Case {
    fn output(&self) -> [usize; 2] {
        let [_, h, w, _] = self.x;
        let stretched = self.conv.stretch_to.unwrap_or([h, w]);
        let padding = self.conv.padding_before + self.conv.padding_after;
        [0, 1].map(|axis| (stretched[axis] + padding - self.kernel[axis + 1]) / self.conv.stride + 1)
    }

    /// Pairs of numbers that are multiplied for one element of the result.
    fn terms<'a>(&'a self, x: &'a [f32], w: &'a [f32], at: [usize; 4]) -> impl Iterator<Item = (f32, f32)> + 'a {
        let [_, h, width, channels] = self.x;
        let [_, kh, kw] = self.kernel;
        let [image, row, column, out] = at;
        let stretched = self.conv.stretch_to.unwrap_or([h, width]);
        let source = move |at: usize, tap: usize, axis: usize| {
            let place = (at * self.conv.stride + tap).checked_sub(self.conv.padding_before);
            let place = place.filter(|place| *place < stretched[axis]);
            place.map(|place| nearest(place, [h, width][axis], stretched[axis]))
        };
        (0..kh * kw).flat_map(move |tap| {
            let pixel = source(row, tap / kw, 0).zip(source(column, tap % kw, 1));
            (0..channels).filter_map(move |c| {
                let (y, z) = pixel?;
                Some((x[((image * h + y) * width + z) * channels + c], w[(out * kh * kw + tap) * channels + c]))
            })
        })
    }
}

async fn check_conv(context: &Context, case: &Case, format: Format, weight: Format, activation: Activation) {
    let [batch, .., channels] = case.x;
    let [out, kh, kw] = case.kernel;
    let [oh, ow] = case.output();
    let x = random(context, &case.x, 1, format);
    let w = random(context, &[out, kh, kw, channels], 2, weight);
    let shape = [batch, oh, ow, out];
    let added = Added::new(context, &shape, [Format::F32, format], activation != Activation::None);
    let weight_array = std::slice::from_ref(&w.array);
    let y = ops::conv2d(context, &x.array, weight_array, added.bias(), case.conv, added.epilogue(activation)).unwrap();
    let want: Vec<Expected> = (0..batch * oh * ow * out)
        .map(|i| {
            let at = [i / (oh * ow * out), i / (ow * out) % oh, i / out % ow, i % out];
            finish(case.terms(&x.values, &w.values, at), added.at(i / out, i % out, out), activation)
        })
        .collect();
    let what = format!("conv2d {:?} {:?} {:?} {format:?} {weight:?}", case.x, case.kernel, case.conv);
    assert_near(context, &y, &shape, &want, TOLERANCE, &what).await;
}

pub(crate) async fn conv2d_of_every_kind(context: &Context) {
    let kinds = [
        Conv2d::padded(1),
        Conv2d { stride: 2, ..Conv2d::padded(1) },
        Conv2d { stretch_to: Some([10, 12]), ..Conv2d::padded(1) },
    ];
    for conv in kinds {
        let case = Case { x: [2, 5, 6, 8], kernel: [7, 3, 3], conv };
        check_conv(context, &case, Format::F32, Format::F32, Activation::None).await;
    }
}

pub(crate) async fn conv2d_in_every_geometry(context: &Context) {
    let padded = Conv2d::padded;
    let half = Conv2d { stride: 2, ..padded(1) };
    let uneven = Conv2d { stride: 2, padding_before: 0, padding_after: 1, stretch_to: None };
    let stretched = |h, w| Conv2d { stretch_to: Some([h, w]), ..padded(1) };
    let cases = [
        Case { x: [1, 1, 1, 1], kernel: [1, 1, 1], conv: padded(0) },
        Case { x: [1, 1, 1, 1], kernel: [1, 3, 3], conv: padded(1) },
        Case { x: [2, 5, 4, 3], kernel: [6, 3, 3], conv: padded(1) },
        Case { x: [1, 7, 9, 4], kernel: [5, 3, 3], conv: padded(1) },
        Case { x: [2, 8, 6, 20], kernel: [33, 3, 3], conv: half },
        Case { x: [1, 9, 7, 8], kernel: [34, 3, 3], conv: uneven },
        Case { x: [1, 6, 6, 32], kernel: [4, 1, 1], conv: padded(0) },
        Case { x: [1, 5, 6, 36], kernel: [7, 1, 5], conv: padded(2) },
        Case { x: [1, 4, 3, 8], kernel: [9, 3, 3], conv: stretched(8, 6) },
        Case { x: [2, 3, 5, 5], kernel: [3, 3, 3], conv: stretched(7, 9) },
        Case { x: [1, 16, 17, 12], kernel: [250, 3, 3], conv: padded(1) },
        Case { x: [1, 13, 9, 8], kernel: [120, 4, 4], conv: Conv2d { stride: 1, ..padded(0) } },
        Case { x: [1, 8, 8, 3], kernel: [16, 8, 8], conv: Conv2d { stride: 8, ..padded(0) } },
    ];
    for case in &cases {
        for &format in activations(context) {
            check_conv(context, case, format, Format::F16, Activation::None).await;
        }
        for &weight in weights(case.x[3]) {
            check_conv(context, case, Format::F32, weight, Activation::Relu).await;
        }
    }
}

/// A product of more work than one dispatch may do: tiles continue where the last dispatch stopped.
pub(crate) async fn a_long_product_is_cut(context: &Context) {
    if !context.capabilities().is_software() {
        println!("skipped: only a software rasteriser cuts at this size");
        return;
    }
    let k = 20_000;
    let x = super::store(context, &vec![0.5; 256 * k], &[256, k], Format::F32).array;
    let row = |n: usize| vec![n as f32; k];
    let w = super::store(context, &(0..256).flat_map(row).collect::<Vec<_>>(), &[256, k], Format::F32).array;
    let y = ops::linear(context, &x, &[w], None, Epilogue::default()).unwrap();
    let want: Vec<Expected> = (0..256 * 256).map(|i| ((i % 256 * k / 2) as f64, (i % 256 * k / 2) as f64)).collect();
    assert_near(context, &y, &[256, 256], &want, 1e-5, "long linear").await;
}
