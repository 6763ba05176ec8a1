//! Streams the tensors of an index onto a device, in the order of their files.
//!
//! Neighbours are read together, large tensors in several pieces, never more than [`PIECE`] bytes at a time; each piece
//! is decoded straight into the weight's memory. At its peak, loading needs memory for the model and one piece; with a
//! GPU, the model is there, and the host holds a piece, its decoded numbers and the driver's pending uploads.

use super::decode::{Decoder, widened};
use super::index::TensorIndex;
use super::jobs::{Job, groups};
use super::source::Source;
use super::view::{StoredType, TensorView};
use crate::tensor::Upload;
use crate::weights::Weights;
use crate::{DType, Device, Error, Result, Tensor};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// The most bytes that are read at a time: 32 MiB.
pub const PIECE: u64 = 32 << 20;

impl TensorIndex {
    /// Loads every weight: as it is stored (`f64` as `f32`, 8-bit floats as `f16`), or as `dtype`. Matrices in
    /// quantised blocks stay in them if the device can multiply with them; other blocks are widened to `f16`. A `dtype`
    /// with blocks applies only to matrices; the rest stays as it is stored. Convolution kernels, all tensors
    /// with four axes but position embeddings, are rearranged from `[out, in, kh, kw]` to `[out, kh, kw, in]`, as
    /// [`Weights::conv`] expects. Integers are skipped.
    ///
    /// Fails with [`Error::NotFinite`] for a NaN or an infinity, naming file and tensor, with [`Error::TensorType`] for
    /// unsupported floats, and with the source's error if it cannot be read.
    pub async fn load(&self, device: &Device, dtype: Option<DType>) -> Result<Weights> {
        if dtype == Some(DType::U32) {
            return Err(Error::invalid("dtype", "weights are f32, f16 or bf16, not u32"));
        }
        let mut tensors = BTreeMap::new();
        for group in groups(self.jobs(device, dtype)?) {
            let Some(source) = group.first().and_then(|job| self.sources.get(job.view.source())) else { continue };
            load_group(&**source, &group, device, &mut tensors).await?;
        }
        Ok(Weights::new(&*self.file, tensors))
    }

    /// Loads one weight, as [`load`](Self::load) does; `None` if there is none of this name.
    #[cfg(feature = "native")]
    pub(super) async fn load_one(&self, name: &str, device: &Device, dtype: Option<DType>) -> Result<Option<Tensor>> {
        let Some(view) = self.tensors.get(name) else { return Ok(None) };
        let Some(job) = self.job(name, view, device, dtype)? else { return Ok(None) };
        if let Device::Outline(device) = device {
            return Ok(Some(Tensor::outlined(job.keep, &job.shape(), device)));
        }
        let Some(source) = self.sources.get(view.source()) else { return Ok(None) };
        let mut tensors = BTreeMap::new();
        load_group(&**source, &[job], device, &mut tensors).await?;
        Ok(tensors.remove(name))
    }
}

/// Reads and decodes a group: at once if it fits into a piece, else (a single large tensor) piece by piece.
async fn load_group(
    source: &dyn Source,
    group: &[Job<'_>],
    device: &Device,
    tensors: &mut BTreeMap<String, Tensor>,
) -> Result<()> {
    let start = group.iter().map(|job| job.view.range().start).min().unwrap_or(0);
    let end = group.iter().map(|job| job.view.range().end).max().unwrap_or(start);
    let whole = if end - start <= PIECE { Some(read_exact(source, start..end).await?) } else { None };
    for job in group {
        let range = job.view.range();
        // Within the piece that was read, and therefore within `usize`.
        let whole = whole.as_ref().map(|bytes| &bytes[(range.start - start) as usize..(range.end - start) as usize]);
        let loaded = match whole {
            Some(bytes) if job.view.is_whole() => Some(Cow::Borrowed(bytes)),
            Some(bytes) => Some(Cow::Owned(gather(job.view, bytes))),
            None if job.view.is_whole() => None,
            None => {
                let mut bytes = Vec::new();
                for range in pieces(range, 1) {
                    bytes.extend_from_slice(&read_exact(source, range).await?);
                }
                Some(Cow::Owned(gather(job.view, &bytes)))
            }
        };
        let loaded = job.load(source, loaded.as_deref(), device).await;
        tensors.insert(job.name.to_owned(), loaded.map_err(|error| within(source.name(), error))?);
    }
    Ok(())
}

/// The error with the file of a tensor that is not finite.
fn within(file: &str, error: Error) -> Error {
    match error {
        Error::NotFinite { what, hint } => Error::NotFinite { what: format!("{file}: {what}"), hint },
        error => error,
    }
}

impl Job<'_> {
    /// Decodes the weight and passes it to the device, run by run: from its bytes in row-major order if they were read
    /// already, else from the file.
    async fn load(&self, source: &dyn Source, loaded: Option<&[u8]>, device: &Device) -> Result<Tensor> {
        let stored = self.view.shape();
        let shape = self.shape();
        let inner = stored.get(1..).unwrap_or_default();
        let from = gathered(self.view);
        // Whole blocks. Views whose rows do not consist of whole blocks are gathered, into a type without blocks.
        let row = from.bytes_of(inner.iter().product::<usize>() as u64).unwrap_or(0);
        let mut upload = Upload::new(self.keep, &shape, device)?;
        for rows in upload.runs() {
            let run = if stored.is_empty() { Vec::new() } else { [&[rows.len()], inner].concat() };
            let mut decoder = Decoder::new(self.name, from, self.read, &run).scaled(self.view.scale());
            let bytes = rows.start as u64 * row..rows.end as u64 * row;
            match loaded {
                Some(all) => decoder.push(&all[bytes.start as usize..bytes.end as usize])?,
                None => {
                    let start = self.view.range().start;
                    for piece in pieces(start + bytes.start..start + bytes.end, from.unit()) {
                        decoder.push(&read_exact(source, piece).await?)?;
                    }
                }
            }
            upload.push(rows, decoder.finish()).await?;
        }
        upload.finish()
    }
}

/// Reads bytes of a source. Sources may be foreign code, so the length of the result is checked.
pub(super) async fn read_exact(source: &dyn Source, range: Range<u64>) -> Result<Bytes> {
    let bytes = source.read(range.clone()).await?;
    if bytes.len() as u64 == range.end - range.start {
        return Ok(bytes);
    }
    let reason = format!("expected bytes {} to {}, got {} bytes", range.start, range.end, bytes.len());
    Err(Error::format(source.name(), reason))
}

/// A range in pieces, each a multiple of `unit` bytes.
pub(super) fn pieces(range: Range<u64>, unit: u64) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    let piece = PIECE / unit * unit;
    (range.start..end).step_by(piece as usize).map(move |start| start..end.min(start + piece))
}

/// The type of a view's elements after [`gather`], if it needs gathering.
pub(super) fn gathered(view: &TensorView) -> StoredType {
    match view.dtype() {
        StoredType::Blocks(_) if !view.is_whole() => StoredType::F32,
        dtype => dtype,
    }
}

/// The elements of a view that is not whole, in row-major order; `bytes` go from its first to its last element. Blocks
/// are widened first.
pub(super) fn gather(view: &TensorView, bytes: &[u8]) -> Vec<u8> {
    let wide = match view.dtype() {
        StoredType::Blocks(format) => widened(format, bytes),
        _ => Vec::new(),
    };
    let bytes = if wide.is_empty() { bytes } else { bytemuck::cast_slice(&wide) };
    let size = gathered(view).unit() as usize;
    let mut gathered = Vec::with_capacity(view.elements() * size);
    let mut position = vec![0; view.shape().len()];
    for _ in 0..view.elements() {
        let element = view.element(&position);
        gathered.extend_from_slice(bytes.get(element * size..(element + 1) * size).unwrap_or_default());
        for (index, size) in position.iter_mut().zip(view.shape()).rev() {
            *index += 1;
            if *index < *size {
                break;
            }
            *index = 0;
        }
    }
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{MemorySource, Source};
    use half::{bf16, f16};
    use pollster::block_on;
    use std::sync::{Arc, Mutex};

    fn index(tensors: &[(&str, StoredType, &[usize], u64)], data: Vec<u8>) -> TensorIndex {
        let view = |(name, dtype, shape, offset): &(&str, StoredType, &[usize], u64)| {
            ((*name).to_owned(), TensorView::new(*dtype, shape.to_vec(), *offset).unwrap())
        };
        TensorIndex::new(Arc::new(MemorySource::new("x.bin", data)), tensors.iter().map(view).collect())
    }

    fn floats(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        block_on(tensor.to_vec()).unwrap()
    }

    const INTEGER: StoredType = StoredType::Integer { name: "I64", bits: 64 };

    #[test]
    fn types_are_kept_or_cast() {
        let numbers = [1.5_f32, -2.0, 65536.0];
        let mut data: Vec<u8> = numbers.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect();
        data.extend(floats(&numbers));
        data.extend(numbers.iter().flat_map(|x| f16::from_f32(x.min(9.0)).to_le_bytes()));
        data.extend(numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()));
        data.extend([9; 8]);
        let all: [(&str, StoredType, &[usize], u64); 5] = [
            ("f64", StoredType::F64, &[3], 0),
            ("f32", StoredType::F32, &[3], 24),
            ("f16", StoredType::F16, &[3], 36),
            ("bf16", StoredType::Bf16, &[3], 42),
            ("i64", INTEGER, &[1], 48),
        ];
        let index = index(&all, data);
        let kept = block_on(index.load(&Device::Cpu, None)).unwrap();
        let types = [("f64", DType::F32), ("f32", DType::F32), ("f16", DType::F16), ("bf16", DType::Bf16)];
        for (name, dtype) in types {
            let tensor = kept.get(name, &[3]).unwrap();
            assert_eq!((tensor.dtype(), &values(&tensor)[..2]), (dtype, &numbers[..2]), "{name}");
        }
        assert!(!kept.contains("i64"));
        for dtype in [DType::F32, DType::Bf16] {
            let cast = block_on(index.load(&Device::Cpu, Some(dtype))).unwrap();
            for (name, _) in types {
                let tensor = cast.get(name, &[3]).unwrap();
                assert_eq!((tensor.dtype(), &values(&tensor)[..2]), (dtype, &numbers[..2]), "{name}");
            }
        }
        let error = block_on(index.load(&Device::Cpu, Some(DType::F16))).err().unwrap().to_string();
        let expected =
            "x.bin: tensor f64 holds a value that is not a finite number (or is too large for f16: try bf16 or f32)";
        assert_eq!(error, expected);
        let kept = block_on(index.load(&Device::Cpu, Some(DType::Q8_0))).unwrap();
        assert_eq!(kept.get("f16", &[3]).unwrap().dtype(), DType::F16, "not a matrix");
        let error = block_on(index.load(&Device::Cpu, Some(DType::U32))).err().unwrap();
        assert!(matches!(error, Error::Invalid { field: "dtype", .. }));
    }

    #[test]
    fn matrices_in_blocks() {
        let numbers: Vec<f32> = (0..3 * 64).map(|i| (i as f32).sin()).collect();
        let all: [(&str, StoredType, &[usize], u64); 2] =
            [("m", StoredType::F32, &[3, 64], 0), ("odd", StoredType::F32, &[4, 48], 0)];
        let weights = block_on(index(&all, floats(&numbers)).load(&Device::Cpu, Some(DType::Q8_0))).unwrap();
        let matrix = weights.get("m", &[3, 64]).unwrap();
        assert_eq!((matrix.dtype(), weights.get("odd", &[4, 48]).unwrap().dtype()), (DType::Q8_0, DType::F32));
        assert!(values(&matrix).iter().zip(&numbers).all(|(got, x)| (got - x).abs() < 5e-3));
        let x = Tensor::from_vec(numbers[..64].to_vec(), &[1, 64], &Device::Cpu).unwrap();
        let product = |weight: &Tensor| values(&x.linear(weight, None, crate::tensor::Epilogue::default()).unwrap());
        let prepared = weights.prepared("m", &[3, 64]).unwrap();
        assert_eq!(prepared.dtype(), DType::Q8_0);
        for (got, x) in product(&prepared).iter().zip(product(&matrix)) {
            assert!((got - x).abs() < 0.05, "{got} {x}");
        }
        let rows = matrix.embedding(&Tensor::from_ids(vec![2], &[1], &Device::Cpu).unwrap()).unwrap();
        assert_eq!(values(&rows), values(&matrix)[128..]);
        #[cfg(feature = "candle")]
        assert_eq!(matrix.to_device(&Device::candle_cpu()).unwrap().dtype(), DType::F16);
        assert!(
            matrix.permute(&[1, 0]).is_err()
                && matrix.reshape(&[24, 8]).unwrap().narrow(0, 1, 1).unwrap().cast(DType::F32).is_err()
        );
    }

    #[test]
    fn kernels_are_rearranged_and_views_gathered() {
        let o = 3;
        let i = 2;
        let k = 6;
        let numbers: Vec<f32> = (0..o * i * k).map(|x| x as f32).collect();
        let stored = [
            ("conv", StoredType::F32, &[o, i, 2, 3][..], 0),
            ("m", StoredType::F32, &[9, 4], 0),
            ("pos_embed", StoredType::F32, &[1, 2, 3, 6], 0),
        ];
        let mut index = index(&stored, floats(&numbers));
        let transposed = index.get("m").unwrap().transposed().unwrap();
        index.tensors.insert("t".into(), transposed);
        index.tensors.insert("r".into(), TensorView::strided(StoredType::F32, vec![2, 2], vec![0, 3], 4).unwrap());
        let weights = block_on(index.load(&Device::Cpu, None)).unwrap();
        let conv = values(&weights.conv("conv", [o, i, 2, 3]).unwrap());
        for (place, value) in conv.iter().enumerate() {
            let out = place / (k * i);
            let tap = place / i % k;
            let input = place % i;
            assert_eq!(*value, numbers[(out * i + input) * k + tap]);
        }
        assert_eq!(values(&weights.get("pos_embed", &[1, 2, 3, 6]).unwrap()), numbers);
        let transposed = values(&weights.get("t", &[4, 9]).unwrap());
        assert!((0..36).all(|at| transposed[at] == numbers[at % 9 * 4 + at / 9]));
        assert_eq!(values(&weights.get("r", &[2, 2]).unwrap()), [1.0, 4.0, 1.0, 4.0]);
    }

    #[test]
    fn tensors_that_are_not_finite_or_not_floats_are_named() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let index =
                index(&[("a", StoredType::F32, &[1], 0), ("b", StoredType::F32, &[2], 4)], floats(&[1.0, 2.0, bad]));
            let text = block_on(index.load(&Device::Cpu, None)).err().unwrap().to_string();
            assert_eq!(text, "x.bin: tensor b holds a value that is not a finite number");
        }
        let other = StoredType::from_name("F8_E8M0").unwrap();
        let text = block_on(index(&[("q", other, &[4], 0)], vec![0; 4]).load(&Device::Cpu, None)).err().unwrap();
        assert_eq!(text.to_string(), "x.bin: tensor q is stored as F8_E8M0, expected F32, F16 or BF16");
        let text =
            block_on(index(&[("a", StoredType::F32, &[2], 0)], vec![0; 4]).load(&Device::Cpu, None)).err().unwrap();
        assert_eq!(text.to_string(), "x.bin: expected bytes 0 to 8, but the file has 4 bytes");
    }

    /// A file of zeros with ones at the end, which records the ranges that are read.
    struct Zeros(u64, Mutex<Vec<Range<u64>>>);

    impl Source for Zeros {
        fn name(&self) -> &str {
            "zeros"
        }

        fn len(&self) -> u64 {
            self.0
        }

        fn read(&self, range: Range<u64>) -> crate::weights::BoxFuture<'_, Result<Bytes>> {
            let bytes = vec![0; (range.end - range.start) as usize];
            self.1.lock().unwrap().push(range);
            Box::pin(std::future::ready(Ok(bytes.into())))
        }
    }

    #[test]
    fn files_are_read_in_order_and_in_pieces() {
        let large = (PIECE + 1024) as usize / 2;
        let tensors: [(&str, usize, u64); 4] =
            [("c", 8, 0), ("a", large, 16), ("b", 8, 16 + PIECE + 1024), ("d", 8, 3 * PIECE)];
        let source = Arc::new(Zeros(4 * PIECE, Mutex::default()));
        let view = |(name, size, offset): (&str, usize, u64)| {
            (name.to_owned(), TensorView::new(StoredType::F16, vec![size], offset).unwrap())
        };
        let index = TensorIndex::new(source.clone(), tensors.into_iter().map(view).collect());
        let weights = block_on(index.load(&Device::Cpu, None)).unwrap();
        assert_eq!(weights.get("a", &[large]).unwrap().elements(), large);
        let b = 16 + PIECE + 1024;
        let expected = [0..16, 16..16 + PIECE, 16 + PIECE..b, b..b + 16, 3 * PIECE..3 * PIECE + 16];
        assert_eq!(*source.1.lock().unwrap(), expected);
    }

    /// Claims to have 64 bytes and returns `.0` bytes for every range.
    struct Liar(usize);

    impl Source for Liar {
        fn name(&self) -> &str {
            "liar"
        }

        fn len(&self) -> u64 {
            64
        }

        fn read(&self, _: Range<u64>) -> crate::weights::BoxFuture<'_, Result<Bytes>> {
            Box::pin(std::future::ready(Ok(vec![0; self.0].into())))
        }
    }

    #[test]
    fn a_source_that_returns_another_length_is_an_error() {
        for length in [0, 7, 9] {
            let view = TensorView::new(StoredType::F32, vec![2], 4).unwrap();
            let index = TensorIndex::new(Arc::new(Liar(length)), [("a".to_owned(), view)].into());
            let text = block_on(index.load(&Device::Cpu, None)).err().unwrap().to_string();
            assert_eq!(text, format!("liar: expected bytes 4 to 12, got {length} bytes"));
        }
    }
}
