//! Streams the tensors of an index onto a device, in the order in which they lie in their files.
//!
//! Neighbours are read together, large tensors in several pieces, never more than [`PIECE`] bytes at a time; each piece is
//! decoded straight into the weight's memory. At its peak, loading needs the memory of the model, one piece and, for
//! devices with memory of their own, one tensor.

use super::decode::Decoder;
use super::index::TensorIndex;
use super::source::Source;
use super::view::{StoredType, TensorView};
use crate::weights::Weights;
use crate::{DType, Device, Error, Result, Tensor};
use std::collections::BTreeMap;
use std::ops::Range;

/// The most bytes that are read at a time: 32 MiB.
pub const PIECE: u64 = 32 << 20;

/// Bytes between two tensors that are read along rather than skipped.
const GAP: u64 = 64 << 10;

/// A tensor on its way.
struct Job<'a> {
    name: &'a str,
    view: &'a TensorView,
    to: DType,
}

impl TensorIndex {
    /// Loads every weight: as it is stored (`f64` as `f32`), or as `dtype`. Convolution kernels are re-laid from
    /// `[out, in, kh, kw]` to `[out, kh, kw, in]`, as [`Weights::conv`] expects them. Integers are left out.
    ///
    /// Fails with [`Error::NotFinite`] for a NaN or an infinity, naming the tensor, with [`Error::TensorType`] for floats
    /// that cannot be read, and with what the source says if it cannot be read.
    pub async fn load(&self, device: &Device, dtype: Option<DType>) -> Result<Weights> {
        if dtype == Some(DType::U32) {
            return Err(Error::invalid("dtype", "weights are f32, f16 or bf16, not u32"));
        }
        let mut tensors = BTreeMap::new();
        for group in groups(self.jobs(dtype)?) {
            let Some(source) = group.first().and_then(|job| self.sources.get(job.view.source())) else { continue };
            load_group(&**source, &group, device, &mut tensors).await?;
        }
        Ok(Weights::new(&*self.file, tensors))
    }

    /// The weights in the order in which they lie in the files.
    fn jobs(&self, dtype: Option<DType>) -> Result<Vec<Job<'_>>> {
        let mut jobs = Vec::with_capacity(self.tensors.len());
        for (name, view) in &self.tensors {
            match view.dtype() {
                StoredType::Integer { .. } => {}
                stored => {
                    let stored = stored.weight_type().ok_or_else(|| self.type_error(name, view))?;
                    jobs.push(Job { name, view, to: dtype.unwrap_or(stored) });
                }
            }
        }
        jobs.sort_by_key(|job| (job.view.source(), job.view.range().start));
        Ok(jobs)
    }

    fn type_error(&self, name: &str, view: &TensorView) -> Error {
        Error::TensorType { file: self.file.clone(), name: name.to_owned(), dtype: view.dtype().name().to_owned() }
    }
}

/// Cuts the jobs into groups that are read together: neighbours in one source that fit into one piece.
fn groups(jobs: Vec<Job<'_>>) -> Vec<Vec<Job<'_>>> {
    let mut groups: Vec<Vec<Job<'_>>> = Vec::new();
    for job in jobs {
        match groups.last_mut() {
            Some(group) if fits(group, &job) => group.push(job),
            _ => groups.push(vec![job]),
        }
    }
    groups
}

fn fits(group: &[Job<'_>], job: &Job<'_>) -> bool {
    let [first, last] = [group.first(), group.last()].map(|job| job.map(|job| (job.view.source(), job.view.range())));
    let (Some((source, first)), Some((_, last))) = (first, last) else { return false };
    let range = job.view.range();
    source == job.view.source() && range.start <= last.end.saturating_add(GAP) && range.end <= first.start + PIECE
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
    let whole = if end - start <= PIECE { Some(source.read(start..end).await?) } else { None };
    for job in group {
        let mut decoder = Decoder::new(job.name, job.view.dtype(), job.to, job.view.shape());
        let range = job.view.range();
        match &whole {
            Some(bytes) => {
                // Within the piece that was read, hence within `usize`.
                let bytes = &bytes[(range.start - start) as usize..(range.end - start) as usize];
                if job.view.is_contiguous() { decoder.push(bytes)? } else { decoder.push(&gather(job.view, bytes))? }
            }
            None if job.view.is_contiguous() => {
                for range in pieces(range) {
                    decoder.push(&source.read(range).await?)?;
                }
            }
            None => {
                let mut bytes = Vec::new();
                for range in pieces(range) {
                    bytes.extend_from_slice(&source.read(range).await?);
                }
                decoder.push(&gather(job.view, &bytes))?;
            }
        }
        tensors.insert(job.name.to_owned(), finish(decoder, job.view.shape(), device)?);
    }
    Ok(())
}

fn finish(decoder: Decoder, shape: &[usize], device: &Device) -> Result<Tensor> {
    match *shape {
        [o, i, kh, kw] => Tensor::from_data(decoder.finish(), &[o, kh, kw, i], device),
        _ => Tensor::from_data(decoder.finish(), shape, device),
    }
}

/// A range in pieces. The largest element has eight bytes, which divide a piece: none is cut.
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    (range.start..end).step_by(PIECE as usize).map(move |start| start..end.min(start + PIECE))
}

/// The elements of a view that is not contiguous, in row-major order; `bytes` go from its first to its last element.
fn gather(view: &TensorView, bytes: &[u8]) -> Vec<u8> {
    let size = (view.dtype().bits() / 8) as usize;
    let mut gathered = Vec::with_capacity(view.elements() * size);
    let mut position = vec![0; view.shape().len()];
    for _ in 0..view.elements() {
        let element: usize = position.iter().zip(view.strides()).map(|(index, stride)| index * stride).sum();
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
