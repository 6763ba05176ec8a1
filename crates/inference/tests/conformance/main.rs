//! The conformance table: every op on every device against plain loops in `f64`, with a stated tolerance for each op.
//!
//! The metric is `max|got - reference| / max|reference|`. Shapes are random and adversarial: pictures of one pixel, one
//! channel, odd sizes, groups of one, 77 tokens, the head widths of real models, strides, one-sided padding, odd
//! stretching, weights in every type.

mod arithmetic;
mod errors;
mod networks;
mod reference;
mod transformers;

use easel_inference::tensor::{Device, DeviceKind, GpuOptions};
use easel_inference::{DType, Result, Tensor};
use half::{bf16, f16};

/// A function that computes the cases of one op on one device.
type Cases = fn(&Device, &mut Random) -> Result<Vec<Case>>;

/// The table: op, tolerance, cases.
const OPS: &[(&str, f64, Cases)] = &[
    ("linear", 2e-6, networks::linear),
    ("conv2d", 2e-6, networks::conv2d),
    ("depthwise", 2e-6, networks::depthwise),
    ("attention", 3e-6, networks::attention),
    ("attention, large scores", 5e-5, networks::attention_large_scores),
    ("attention, scale and bias", 5e-6, transformers::attention_scored),
    ("attention, relative positions", 5e-6, transformers::attention_relative),
    ("rope", 3e-7, transformers::rope),
    ("group_norm", 2e-6, networks::group_norm),
    ("layer_norm", 1e-6, networks::layer_norm),
    ("modulated_norm", 1e-6, transformers::modulated_norm),
    ("rms_norm", 1e-6, transformers::rms_norm),
    ("add_gated", 2e-7, transformers::add_gated),
    ("geglu", 1e-6, networks::geglu),
    ("linear_geglu", 2e-6, networks::linear_geglu),
    ("activation", 1e-6, networks::activation),
    ("embedding", 0.0, networks::embedding),
    ("add, sub, mul, div", 1e-7, arithmetic::binary),
    ("affine, scale", 2e-7, arithmetic::affine),
    ("clamp", 0.0, arithmetic::clamp),
    ("exp", 3e-7, arithmetic::exp),
    ("combine", 4e-7, arithmetic::combine),
    ("mean_and_std", 2e-6, arithmetic::mean_and_std),
    ("reshape, permute, narrow", 0.0, arithmetic::views),
    ("concat, repeat", 0.0, arithmetic::concat),
    ("cast, from_bytes, to_device, zeros", 0.0, arithmetic::transfers),
];

/// The result of an op, and the expected one.
struct Case {
    name: String,
    got: Tensor,
    expected: Operand,
}

/// An array in host memory. All references compute in `f64`.
#[derive(Clone)]
struct Operand {
    shape: Vec<usize>,
    data: Vec<f64>,
}

impl Operand {
    fn new(shape: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Self { shape: shape.to_vec(), data }
    }

    fn tensor(&self, device: &Device) -> Result<Tensor> {
        Tensor::from_vec(self.data.iter().map(|x| *x as f32).collect(), &self.shape, device)
    }

    /// The array as a weight of `dtype`. Its numbers must be exact in that type (see [`Random::weight`]).
    fn weight(&self, device: &Device, dtype: DType) -> Result<Tensor> {
        Tensor::from_bytes(&self.bytes(dtype), dtype, &self.shape, device)
    }

    fn bytes(&self, dtype: DType) -> Vec<u8> {
        let bytes = |x: &f64| match dtype {
            DType::F32 => (*x as f32).to_le_bytes().to_vec(),
            DType::F16 => f16::from_f64(*x).to_le_bytes().to_vec(),
            DType::Bf16 => bf16::from_f64(*x).to_le_bytes().to_vec(),
            DType::U32 => (*x as u32).to_le_bytes().to_vec(),
            DType::Blocks(_) => panic!("blocks have no bytes of single elements"),
        };
        self.data.iter().flat_map(bytes).collect()
    }
}

/// Numbers that are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in -1..1, exact in `f32`.
    fn number(&mut self) -> f64 {
        f64::from((self.bits() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.bits() as usize % limit
    }

    fn array(&mut self, shape: &[usize]) -> Operand {
        Operand::new(shape, (0..shape.iter().product()).map(|_| self.number()).collect())
    }

    /// An array whose numbers are exact in `dtype`.
    fn weight(&mut self, shape: &[usize], dtype: DType) -> Operand {
        let mut array = self.array(shape);
        for x in &mut array.data {
            *x = match dtype {
                DType::F16 => f16::from_f64(*x).to_f64(),
                DType::Bf16 => bf16::from_f64(*x).to_f64(),
                _ => *x,
            };
        }
        array
    }
}

/// The types that weights are stored in.
const WEIGHT_TYPES: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

/// All available devices. The others are printed with the reason.
fn devices() -> Vec<Device> {
    let mut devices = vec![Device::Cpu];
    #[cfg(feature = "candle")]
    devices.push(Device::candle_cpu());
    #[cfg(not(feature = "candle"))]
    println!("not tested: candle (cargo feature `candle`)");
    // The tolerances are for f32; only the order of additions differs.
    let plain = GpuOptions { float: Some(DType::F32), ..GpuOptions::default() };
    let guaranteed = GpuOptions { guaranteed_only: true, ..plain.clone() };
    let gpus = [(DeviceKind::Gpu, &plain), (DeviceKind::Gpu, &guaranteed)];
    let others = [DeviceKind::Cuda, DeviceKind::Metal].map(|kind| (kind, &plain));
    for (kind, options) in gpus.into_iter().chain(others) {
        match pollster::block_on(Device::open(kind, options)) {
            Ok(device) => devices.push(device),
            Err(error) if kind == DeviceKind::Gpu && std::env::var_os("EASEL_REQUIRE_GPU").is_some() => {
                panic!("EASEL_REQUIRE_GPU is set: {error}")
            }
            Err(error) => println!("not tested: {error}"),
        }
    }
    devices
}

fn error_of(case: &Case) -> f64 {
    let got = pollster::block_on(case.got.to_vec()).unwrap();
    if case.got.shape() != case.expected.shape || got.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let largest = case.expected.data.iter().fold(0.0_f64, |max, x| max.max(x.abs()));
    let pairs = got.iter().zip(&case.expected.data);
    let error = pairs.fold(0.0_f64, |max, (got, x)| max.max((f64::from(*got) - x).abs()));
    if largest == 0.0 { error } else { error / largest }
}

#[test]
fn every_op_on_every_device() {
    let mut failures = Vec::new();
    for device in devices() {
        for (op, tolerance, cases) in OPS {
            let cases = cases(&device, &mut Random(7)).unwrap_or_else(|error| panic!("{op} on {device}: {error}"));
            assert!(!cases.is_empty(), "{op} has no cases");
            let errors: Vec<f64> = cases.iter().map(error_of).collect();
            let worst = errors.iter().copied().fold(0.0, f64::max);
            println!("{device:>10}  {op:<36} {:>3} cases  {worst:.1e} (tolerance {tolerance:.0e})", cases.len());
            let over = cases.iter().zip(&errors).filter(|(_, error)| *error > tolerance);
            failures.extend(over.map(|(case, error)| format!("{device}: {op}: {}: {error:.1e}", case.name)));
        }
    }
    assert!(failures.is_empty(), "over the tolerance:\n{}", failures.join("\n"));
}

#[test]
fn the_metric_sees_a_wrong_number_a_wrong_shape_and_a_nan() {
    let expected = Operand::new(&[2], vec![1.0, -4.0]);
    let case = |data: Vec<f32>, shape: &[usize]| Case {
        name: String::new(),
        got: Tensor::from_vec(data, shape, &Device::Cpu).unwrap(),
        expected: expected.clone(),
    };
    assert_eq!(error_of(&case(vec![1.0, -4.0], &[2])), 0.0);
    assert_eq!(error_of(&case(vec![2.0, -4.0], &[2])), 0.25);
    assert_eq!(error_of(&case(vec![1.0, -4.0], &[1, 2])), f64::INFINITY);
    assert_eq!(error_of(&case(vec![1.0, f32::NAN], &[2])), f64::INFINITY);
}
