//! Stored bytes to the numbers of a weight, piece by piece: widening or narrowing, the layout of convolutions, and the
//! check that every number is finite.

use super::view::StoredType;
use crate::tensor::Data;
use crate::{DType, Error, Result};
use half::{bf16, f16};

/// The finished part of one weight.
pub(super) struct Decoder {
    name: String,
    from: StoredType,
    data: Data,
    place: Place,
}

impl Decoder {
    /// For a tensor of this shape in the file, stored as `from` and wanted as `to`; four axes are a convolution.
    pub(super) fn new(name: &str, from: StoredType, to: DType, shape: &[usize]) -> Self {
        let place = match *shape {
            [_, inputs, height, width] if height * width > 1 => Place::kernel(inputs, height * width),
            _ => Place::default(),
        };
        Self { name: name.to_owned(), from, data: Data::zeros(to, shape.iter().product()), place }
    }

    /// The next bytes, which hold whole elements.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let place = &mut self.place;
        let finite = match (&mut self.data, self.from) {
            (Data::F32(data), StoredType::F64) => fill::<f64, 8, _>(bytes, data, place, |x| x as f32),
            (Data::F32(data), StoredType::F32) => fill::<f32, 4, _>(bytes, data, place, |x| x),
            (Data::F32(data), StoredType::F16) => fill::<f16, 2, _>(bytes, data, place, f16::to_f32),
            (Data::F32(data), StoredType::Bf16) => fill::<bf16, 2, _>(bytes, data, place, bf16::to_f32),
            (Data::F16(data), StoredType::F64) => fill::<f64, 8, _>(bytes, data, place, f16::from_f64),
            (Data::F16(data), StoredType::F32) => fill::<f32, 4, _>(bytes, data, place, f16::from_f32),
            (Data::F16(data), StoredType::F16) => fill::<f16, 2, _>(bytes, data, place, |x| x),
            (Data::F16(data), StoredType::Bf16) => {
                fill::<bf16, 2, _>(bytes, data, place, |x| f16::from_f32(x.to_f32()))
            }
            (Data::Bf16(data), StoredType::F64) => fill::<f64, 8, _>(bytes, data, place, bf16::from_f64),
            (Data::Bf16(data), StoredType::F32) => fill::<f32, 4, _>(bytes, data, place, bf16::from_f32),
            (Data::Bf16(data), StoredType::F16) => {
                fill::<f16, 2, _>(bytes, data, place, |x| bf16::from_f32(x.to_f32()))
            }
            (Data::Bf16(data), StoredType::Bf16) => fill::<bf16, 2, _>(bytes, data, place, |x| x),
            // Token ids and other integers are never decoded.
            _ => true,
        };
        if finite { Ok(()) } else { Err(self.not_finite()) }
    }

    pub(super) fn finish(self) -> Data {
        self.data
    }

    fn not_finite(&self) -> Error {
        let narrowed = matches!(self.data, Data::F16(_)) && self.from != StoredType::F16;
        let hint = if narrowed { " (or is too large for f16: try bf16 or f32)" } else { "" };
        Error::NotFinite { what: format!("tensor {}", self.name), hint }
    }
}

/// A number as it lies in a file and as it lies in memory.
trait Number: Copy {
    fn finite(self) -> bool;
}

trait Stored<const SIZE: usize>: Number {
    fn read(bytes: [u8; SIZE]) -> Self;
}

macro_rules! number {
    ($($type:ty: $size:literal),*) => {$(
        impl Number for $type {
            fn finite(self) -> bool {
                self.is_finite()
            }
        }

        impl Stored<$size> for $type {
            fn read(bytes: [u8; $size]) -> Self {
                Self::from_le_bytes(bytes)
            }
        }
    )*};
}

number!(f64: 8, f32: 4, f16: 2, bf16: 2);

/// Converts all elements of `bytes` and puts each in its place. Returns whether every one is finite.
fn fill<S: Stored<SIZE>, const SIZE: usize, T: Number>(
    bytes: &[u8],
    data: &mut [T],
    place: &mut Place,
    convert: impl Fn(S) -> T,
) -> bool {
    let numbers = bytes.as_chunks::<SIZE>().0.iter().map(|bytes| convert(S::read(*bytes)));
    let mut finite = true;
    if place.kernel == 1 {
        let rest = data.get_mut(place.start..).unwrap_or_default();
        place.start += numbers.len();
        for (to, number) in rest.iter_mut().zip(numbers) {
            finite &= number.finite();
            *to = number;
        }
    } else {
        for number in numbers {
            finite &= number.finite();
            if let Some(to) = data.get_mut(place.next()) {
                *to = number;
            }
        }
    }
    finite
}

/// Where the next element goes: to the next position, or, for a convolution, from `[out, in, kh, kw]` to
/// `[out, kh, kw, in]`.
struct Place {
    inputs: usize,
    /// Elements of one kernel, `kh * kw`; 1 where elements keep their order.
    kernel: usize,
    /// Where the present output's elements start.
    start: usize,
    input: usize,
    tap: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self::kernel(1, 1)
    }
}

impl Place {
    fn kernel(inputs: usize, kernel: usize) -> Self {
        Self { inputs, kernel, start: 0, input: 0, tap: 0 }
    }

    fn next(&mut self) -> usize {
        let place = self.start + self.tap * self.inputs + self.input;
        self.tap += 1;
        if self.tap == self.kernel {
            self.tap = 0;
            self.input += 1;
        }
        if self.input == self.inputs {
            self.input = 0;
            self.start += self.inputs * self.kernel;
        }
        place
    }
}
