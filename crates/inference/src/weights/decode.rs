//! Decodes stored bytes to the numbers of a weight, piece by piece: widens or narrows them, changes the layout of
//! convolutions, and checks that every number is finite.

use super::jobs::is_kernel;
use super::view::StoredType;
use crate::tensor::{BlockFormat, Data};
use crate::{DType, Error, Result};
use half::{bf16, f16};

/// The decoder of one weight, with the part that is finished.
pub(super) struct Decoder {
    name: String,
    from: StoredType,
    data: Data,
    place: Place,
    /// What floats of eight bits are multiplied by.
    scale: f32,
}

impl Decoder {
    /// For a tensor with this shape in the file, stored as `from` and decoded to `to`.
    pub(super) fn new(name: &str, from: StoredType, to: DType, shape: &[usize]) -> Self {
        let place = match *shape {
            [_, inputs, height, width] if height * width > 1 && is_kernel(name) => {
                Place::kernel(inputs, height * width)
            }
            _ => Place::default(),
        };
        Self { name: name.to_owned(), from, data: Data::zeros(to, shape.iter().product()), place, scale: 1.0 }
    }

    /// The same for floats of eight bits that are multiplied by a number.
    pub(super) fn scaled(self, scale: Option<f32>) -> Self {
        Self { scale: scale.unwrap_or(1.0), ..self }
    }

    /// Decodes the next bytes, which must be whole elements or blocks.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if let StoredType::Blocks(format) = self.from {
            return self.push_blocks(format, bytes);
        }
        let from = self.from;
        if self.fill(bytes, from) { Ok(()) } else { Err(self.not_finite()) }
    }

    /// Keeps blocks as they are, or widens some at a time.
    fn push_blocks(&mut self, format: BlockFormat, bytes: &[u8]) -> Result<()> {
        /// Blocks that are widened at a time.
        const CHUNK: usize = 1024;
        if !format.is_finite(bytes) {
            return Err(self.not_finite());
        }
        if let Data::Blocks(_, data) = &mut self.data {
            if let Some(data) = data.get_mut(self.place.start..self.place.start + bytes.len()) {
                data.copy_from_slice(bytes);
            }
            self.place.start += bytes.len();
            return Ok(());
        }
        for blocks in bytes.chunks(CHUNK * format.bytes()) {
            if !self.fill(bytemuck::cast_slice(&widened(format, blocks)), StoredType::F32) {
                return Err(self.not_finite());
            }
        }
        Ok(())
    }

    /// Converts elements and puts each in its place. Returns whether all are finite.
    fn fill(&mut self, bytes: &[u8], from: StoredType) -> bool {
        let scale = self.scale;
        let place = &mut self.place;
        match (&mut self.data, from) {
            (Data::F32(data), StoredType::F64) => fill::<f64, 8, _>(bytes, data, place, |x| x as f32),
            (Data::F32(data), StoredType::F32) => fill::<f32, 4, _>(bytes, data, place, |x| x),
            (Data::F32(data), StoredType::F16) => fill::<f16, 2, _>(bytes, data, place, f16::to_f32),
            (Data::F32(data), StoredType::Bf16) => fill::<bf16, 2, _>(bytes, data, place, bf16::to_f32),
            (Data::F32(data), StoredType::F8E4M3) => fill::<E4M3, 1, _>(bytes, data, place, |x| x.to_f32() * scale),
            (Data::F32(data), StoredType::F8E5M2) => fill::<E5M2, 1, _>(bytes, data, place, |x| x.to_f32() * scale),
            (Data::F16(data), StoredType::F64) => fill::<f64, 8, _>(bytes, data, place, f16::from_f64),
            (Data::F16(data), StoredType::F32) => fill::<f32, 4, _>(bytes, data, place, f16::from_f32),
            (Data::F16(data), StoredType::F16) => fill::<f16, 2, _>(bytes, data, place, |x| x),
            (Data::F16(data), StoredType::Bf16) => {
                fill::<bf16, 2, _>(bytes, data, place, |x| f16::from_f32(x.to_f32()))
            }
            (Data::F16(data), StoredType::F8E4M3) => {
                fill::<E4M3, 1, _>(bytes, data, place, |x| f16::from_f32(x.to_f32() * scale))
            }
            (Data::F16(data), StoredType::F8E5M2) => {
                fill::<E5M2, 1, _>(bytes, data, place, |x| f16::from_f32(x.to_f32() * scale))
            }
            (Data::Bf16(data), StoredType::F64) => fill::<f64, 8, _>(bytes, data, place, bf16::from_f64),
            (Data::Bf16(data), StoredType::F32) => fill::<f32, 4, _>(bytes, data, place, bf16::from_f32),
            (Data::Bf16(data), StoredType::F16) => {
                fill::<f16, 2, _>(bytes, data, place, |x| bf16::from_f32(x.to_f32()))
            }
            (Data::Bf16(data), StoredType::Bf16) => fill::<bf16, 2, _>(bytes, data, place, |x| x),
            (Data::Bf16(data), StoredType::F8E4M3) => {
                fill::<E4M3, 1, _>(bytes, data, place, |x| bf16::from_f32(x.to_f32() * scale))
            }
            (Data::Bf16(data), StoredType::F8E5M2) => {
                fill::<E5M2, 1, _>(bytes, data, place, |x| bf16::from_f32(x.to_f32() * scale))
            }
            // Token ids and other integers are never decoded.
            _ => true,
        }
    }

    pub(super) fn finish(self) -> Data {
        self.data
    }

    fn not_finite(&self) -> Error {
        let wider = matches!(self.from, StoredType::F64 | StoredType::F32 | StoredType::Bf16);
        let narrowed = wider && matches!(self.data, Data::F16(_));
        let hint = if narrowed { " (or is too large for f16: try bf16 or f32)" } else { "" };
        Error::NotFinite { what: format!("tensor {}", self.name), hint }
    }
}

/// The numbers of whole blocks.
pub(super) fn widened(format: BlockFormat, blocks: &[u8]) -> Vec<f32> {
    let mut wide = vec![0.0_f32; blocks.len() / format.bytes() * format.length()];
    format.widen(blocks, &mut wide);
    wide
}

/// An 8-bit float: sign, four bits of exponent with bias 7, three of mantissa. All ones is NaN; there is no infinity
/// (<https://arxiv.org/abs/2209.05433>).
#[derive(Clone, Copy)]
struct E4M3(u8);

impl E4M3 {
    fn to_f32(self) -> f32 {
        let magnitude = self.0 & 0x7f;
        if magnitude == 0x7f {
            return f32::NAN;
        }
        // Exponent and mantissa shifted to their places in an f16 give a number 2^8 times too small.
        let sign = u16::from(self.0 & 0x80) << 8;
        f16::from_bits(sign | u16::from(magnitude) << 7).to_f32() * 256.0
    }
}

/// An 8-bit float that is the upper half of an `f16`.
#[derive(Clone, Copy)]
struct E5M2(u8);

impl E5M2 {
    fn to_f32(self) -> f32 {
        f16::from_bits(u16::from(self.0) << 8).to_f32()
    }
}

impl Stored<1> for E4M3 {
    fn read([byte]: [u8; 1]) -> Self {
        Self(byte)
    }
}

impl Stored<1> for E5M2 {
    fn read([byte]: [u8; 1]) -> Self {
        Self(byte)
    }
}

/// A number in memory.
trait Number: Copy {
    fn finite(self) -> bool;
}

/// A number in a file.
trait Stored<const SIZE: usize>: Copy {
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

/// Converts all elements of `bytes` and puts each in its place. Returns whether all are finite.
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

/// Where the next element goes: to the next position, or for a convolution from `[out, in, kh, kw]` to `[out, kh, kw,
/// in]`.
struct Place {
    inputs: usize,
    /// Elements of one kernel, `kh * kw`; 1 if elements keep their order.
    kernel: usize,
    /// Where the current output's elements start.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(from: StoredType, to: DType, bytes: &[u8]) -> Result<Data> {
        let mut decoder = Decoder::new("q", from, to, &[bytes.len()]);
        decoder.push(bytes)?;
        Ok(decoder.finish())
    }

    #[test]
    fn floats_of_eight_bits_are_exact() {
        for byte in (0..=u8::MAX).filter(|byte| byte & 0x7f != 0x7f) {
            let exponent = i32::from(byte >> 3 & 15);
            let mantissa = f32::from(byte & 7) / 8.0;
            let magnitude = if exponent == 0 { mantissa / 64.0 } else { (1.0 + mantissa) * 2_f32.powi(exponent - 7) };
            let expected = if byte < 0x80 { magnitude } else { -magnitude };
            assert_eq!(decoded(StoredType::F8E4M3, DType::F32, &[byte]).unwrap(), Data::F32(vec![expected]));
            let half = Data::F16(vec![f16::from_f32(expected)]);
            assert_eq!(decoded(StoredType::F8E4M3, DType::F16, &[byte]).unwrap(), half);
        }
        for byte in (0..=u8::MAX).filter(|byte| byte & 0x7c != 0x7c) {
            let expected = f16::from_bits(u16::from(byte) << 8);
            assert_eq!(decoded(StoredType::F8E5M2, DType::F16, &[byte]).unwrap(), Data::F16(vec![expected]));
            let wide = Data::F32(vec![expected.to_f32()]);
            assert_eq!(decoded(StoredType::F8E5M2, DType::F32, &[byte]).unwrap(), wide);
        }
    }

    #[test]
    fn tensors_with_values_that_are_not_finite_are_named() {
        let mut half_scale = vec![0_u8; 18];
        half_scale[1] = 0x7c;
        let cases: [(StoredType, &[u8]); 5] = [
            (StoredType::F8E4M3, &[0x38, 0x7f]),
            (StoredType::F8E4M3, &[0xff]),
            (StoredType::F8E5M2, &[0x7c]),
            (StoredType::F8E5M2, &[0xfe, 0]),
            (StoredType::Blocks(BlockFormat::Q4_0), &half_scale),
        ];
        for (from, bytes) in cases {
            let problem = decoded(from, DType::F16, bytes).unwrap_err().to_string();
            assert_eq!(problem, "tensor q holds a value that is not a finite number");
        }
    }
}
