//! One test per shape error, on every device: the message names the op and what it expected.

use super::{Device, Result, Tensor, devices};
use easel_inference::tensor::{Activation, Conv2d, Epilogue};
use easel_inference::{DType, Error};

fn zeros(shape: &[usize], device: &Device) -> Tensor {
    Tensor::zeros(shape, device).unwrap()
}

/// Checks that `op` gives a shape error with this name on every device, with a message of one line that contains
/// `expected`.
fn shape_error<T>(name: &str, expected: &str, op: impl Fn(&Device) -> Result<T>) {
    for device in devices() {
        match op(&device).err() {
            Some(error @ Error::Shape { op, .. }) => {
                assert_eq!(op, name, "on {device}");
                let text = error.to_string();
                assert!(text.contains(expected) && !text.contains('\n'), "on {device}: {text:?} lacks {expected:?}");
            }
            Some(other) => panic!("{name} on {device}: {other}"),
            None => panic!("{name} on {device}: no error"),
        }
    }
}

#[test]
fn linear_input_width() {
    shape_error("linear", "[.., 4]", |d| zeros(&[2, 3], d).linear(&zeros(&[5, 4], d), None, Epilogue::default()));
}

#[test]
fn linear_weight_axes() {
    shape_error("linear", "2 axes", |d| zeros(&[2, 3], d).linear(&zeros(&[5], d), None, Epilogue::default()));
}

#[test]
fn linear_bias() {
    shape_error("linear", "a bias of shape [5]", |d| {
        zeros(&[2, 3], d).linear(&zeros(&[5, 3], d), Some(&zeros(&[3], d)), Epilogue::default())
    });
}

#[test]
fn linear_residual() {
    shape_error("linear", "a residual of shape [2, 5]", |d| {
        let residual = zeros(&[2, 3], d);
        zeros(&[2, 3], d).linear(&zeros(&[5, 3], d), None, Epilogue::residual(&residual))
    });
}

fn convolve(x: &[usize], weight: &[usize], conv: Conv2d, device: &Device) -> Result<Tensor> {
    zeros(x, device).conv2d(&zeros(weight, device), None, conv, Epilogue::default())
}

#[test]
fn conv2d_channels() {
    shape_error("conv2d", "[n, h, w, 3]", |d| convolve(&[1, 4, 4, 2], &[5, 3, 3, 3], Conv2d::padded(1), d));
}

#[test]
fn conv2d_axes() {
    shape_error("conv2d", "4 axes", |d| convolve(&[4, 4, 3], &[5, 3, 3, 3], Conv2d::padded(1), d));
}

#[test]
fn conv2d_picture_smaller_than_kernel() {
    shape_error("conv2d", "at least 3x3", |d| convolve(&[1, 2, 4, 3], &[5, 3, 3, 3], Conv2d::padded(0), d));
}

#[test]
fn conv2d_empty_picture() {
    shape_error("conv2d", "[n, h, w, 3]", |d| convolve(&[1, 0, 4, 3], &[5, 3, 3, 3], Conv2d::padded(2), d));
}

#[test]
fn conv2d_stride() {
    let conv = Conv2d { stride: 0, ..Conv2d::padded(1) };
    shape_error("conv2d", "[n, h, w, 3]", |d| convolve(&[1, 4, 4, 3], &[5, 3, 3, 3], conv, d));
}

fn attend(q: &[usize], k: &[usize], v: &[usize], heads: usize, device: &Device) -> Result<Tensor> {
    zeros(q, device).attention(&zeros(k, device), &zeros(v, device), heads, false)
}

#[test]
fn attention_heads() {
    shape_error("attention", "in 3 heads", |d| attend(&[1, 2, 8], &[1, 4, 8], &[1, 4, 8], 3, d));
    shape_error("attention", "in 0 heads", |d| attend(&[1, 2, 8], &[1, 4, 8], &[1, 4, 8], 0, d));
}

#[test]
fn attention_keys() {
    shape_error("attention", "[1, t, 6]", |d| attend(&[1, 2, 8], &[1, 4, 6], &[1, 4, 6], 2, d));
    shape_error("attention", "[2, t, 8]", |d| attend(&[1, 2, 8], &[2, 4, 8], &[2, 4, 8], 2, d));
    shape_error("attention", "[1, t, 8]", |d| attend(&[1, 2, 8], &[1, 0, 8], &[1, 0, 8], 2, d));
}

#[test]
fn attention_values() {
    shape_error("attention", "like the keys", |d| attend(&[1, 2, 8], &[1, 4, 8], &[1, 3, 8], 2, d));
}

#[test]
fn rope_angles() {
    let rope = |x: &[usize], angles: &[usize], d: &Device| zeros(x, d).rope(&zeros(angles, d));
    shape_error("rope", "3 axes", |d| rope(&[2, 8], &[2, 2, 2], d));
    shape_error("rope", "[n, 3, heads * 4]", |d| rope(&[1, 2, 8], &[3, 2, 2], d));
    shape_error("rope", "heads * 6", |d| rope(&[1, 2, 8], &[2, 3, 2], d));
    shape_error("rope", "angles [t, width / 2, 2] in F32", |d| rope(&[1, 2, 8], &[2, 2, 1], d));
    shape_error("rope", "angles [t, width / 2, 2] in F32", |d| {
        zeros(&[1, 2, 8], d).rope(&Tensor::from_ids(vec![0; 8], &[2, 2, 2], d)?)
    });
}

#[test]
fn group_norm_groups() {
    let norm = |groups| {
        move |d: &Device| {
            let weight = zeros(&[4], d);
            zeros(&[1, 2, 2, 4], d).group_norm(groups, 1e-5, &weight, &weight, Activation::None)
        }
    };
    shape_error("group_norm", "divisible by 3", norm(3));
    shape_error("group_norm", "divisible by 0", norm(0));
}

#[test]
fn group_norm_weight() {
    shape_error("group_norm", "[3]", |d| {
        let weight = zeros(&[3], d);
        zeros(&[1, 2, 2, 4], d).group_norm(2, 1e-5, &weight, &weight, Activation::None)
    });
}

#[test]
fn layer_norm_weight() {
    shape_error("layer_norm", "[3]", |d| zeros(&[2, 4], d).layer_norm(1e-5, &zeros(&[3], d), &zeros(&[3], d)));
}

#[test]
fn geglu_odd() {
    shape_error("geglu", "an even last axis", |d| zeros(&[2, 3], d).geglu());
}

#[test]
fn linear_geglu_shapes() {
    shape_error("linear_geglu", "[.., 3]", |d| zeros(&[2, 2], d).linear_geglu(&zeros(&[4, 3], d), None));
    shape_error("linear_geglu", "an even", |d| zeros(&[2, 3], d).linear_geglu(&zeros(&[5, 3], d), None));
    let bias = |d: &_| zeros(&[2], d);
    shape_error("linear_geglu", "[4]", |d| zeros(&[2, 3], d).linear_geglu(&zeros(&[4, 3], d), Some(&bias(d))));
}

#[test]
fn embedding_ids() {
    shape_error("embedding", "U32", |d| zeros(&[2, 3], d).embedding(&zeros(&[2], d)));
    shape_error("embedding", "2 axes", |d| zeros(&[2], d).embedding(&Tensor::from_ids(vec![0], &[1], d)?));
}

#[test]
fn arithmetic_shapes() {
    shape_error("add", "[2, 3]", |d| zeros(&[2, 3], d).add(&zeros(&[2], d)));
    shape_error("sub", "[2, 3]", |d| zeros(&[2, 3], d).sub(&zeros(&[1, 2, 3], d)));
    shape_error("mul", "[1, 3]", |d| zeros(&[1, 3], d).mul(&zeros(&[2, 3], d)));
    shape_error("div", "[2, 3]", |d| zeros(&[2, 3], d).div(&zeros(&[2, 4], d)));
    shape_error("combine", "shape [2, 3]", |d| zeros(&[2, 3], d).combine(1.0, &[(1.0, &zeros(&[1, 3], d))]));
}

#[test]
fn mean_and_std_of_one_element() {
    shape_error("mean_and_std", "at least two elements", |d| zeros(&[2, 1], d).mean_and_std());
}

#[test]
fn views() {
    shape_error("reshape", "[4]", |d| zeros(&[2, 3], d).reshape(&[4]));
    shape_error("narrow", "at least 4 entries on axis 1", |d| zeros(&[2, 3], d).narrow(1, 2, 2));
    shape_error("narrow", "on axis 1", |d| zeros(&[2, 3], d).narrow(1, usize::MAX, 2));
    shape_error("narrow", "on axis 2", |d| zeros(&[2, 3], d).narrow(2, 0, 1));
    shape_error("permute", "an order of 2 axes", |d| zeros(&[2, 3], d).permute(&[0, 0]));
    shape_error("permute", "an order of 2 axes", |d| zeros(&[2, 3], d).permute(&[0, 1, 2]));
    shape_error("to_channels_last", "4 axes", |d| zeros(&[2, 3], d).to_channels_last());
    shape_error("to_channels_first", "4 axes", |d| zeros(&[2, 3], d).to_channels_first());
}

#[test]
fn concat() {
    shape_error("concat", "at least one tensor", |_| Tensor::concat(&[], 0));
    shape_error("concat", "differ on axis 0 only", |d| Tensor::concat(&[&zeros(&[2, 3], d), &zeros(&[2, 4], d)], 0));
    shape_error("concat", "differ on axis 2 only", |d| Tensor::concat(&[&zeros(&[2, 3], d), &zeros(&[2, 3], d)], 2));
}

#[test]
fn constructors() {
    shape_error("from_vec", "2 elements", |d| Tensor::from_vec(vec![0.0; 2], &[3], d));
    shape_error("from_ids", "2 elements", |d| Tensor::from_ids(vec![0; 2], &[3], d));
    shape_error("from_bytes", "2 elements", |d| Tensor::from_bytes(&[0; 4], DType::F16, &[3], d));
    shape_error("from_bytes", "bytes", |d| Tensor::from_bytes(&[0; 5], DType::F16, &[2], d));
    shape_error("from_vec", "2 elements", |d| Tensor::from_vec(vec![0.0; 2], &[usize::MAX, 2, 2], d));
}

#[test]
fn embedding_of_an_id_outside_the_table() {
    for device in
        devices().into_iter().filter(|device| !matches!(device.to_string().as_str(), "cuda" | "gpu" | "metal"))
    {
        let ids = Tensor::from_ids(vec![1, 7], &[2], &device).unwrap();
        assert!(zeros(&[2, 3], &device).embedding(&ids).is_err(), "on {device}");
    }
}
