//! What has to be done to load the weights of an index: which there are, in which type each is read and kept, and which are
//! read together.

use super::index::TensorIndex;
use super::load::PIECE;
use super::view::{StoredType, TensorView};
use crate::tensor::OutlineDevice;
use crate::weights::Weights;
use crate::{DType, Device, Error, Result, Tensor};

/// Bytes between two tensors that are read along rather than skipped.
const GAP: u64 = 64 << 10;

/// A tensor on its way.
pub(super) struct Job<'a> {
    pub(super) name: &'a str,
    pub(super) view: &'a TensorView,
    /// The type that its numbers are read as.
    pub(super) read: DType,
    /// The type that it is kept in.
    pub(super) keep: DType,
}

impl Job<'_> {
    /// The shape that it has when it is loaded.
    pub(super) fn shape(&self) -> Vec<usize> {
        match *self.view.shape() {
            [o, i, kh, kw] if is_kernel(self.name) => vec![o, kh, kw, i],
            ref stored => stored.to_vec(),
        }
    }
}

/// Whether a tensor of this name is a convolution kernel if it has four axes. Position embeddings may have four, too: batch,
/// rows, columns and channels.
pub(super) fn is_kernel(name: &str) -> bool {
    !name.ends_with("pos_embed")
}

impl TensorIndex {
    /// The same weights without their numbers, for a plan.
    pub(crate) fn outlined(&self, device: &OutlineDevice, dtype: Option<DType>) -> Result<Weights> {
        let there = Device::Outline(device.clone());
        let jobs = self.jobs(&there, dtype)?;
        let outlined = |job: Job<'_>| (job.name.to_owned(), Tensor::outlined(job.keep, &job.shape(), device));
        Ok(Weights::new(&*self.file, jobs.into_iter().map(outlined).collect()))
    }

    /// The weights in the order in which they lie in the files.
    pub(super) fn jobs(&self, device: &Device, dtype: Option<DType>) -> Result<Vec<Job<'_>>> {
        let jobs = self.tensors.iter().filter_map(|(name, view)| self.job(name, view, device, dtype).transpose());
        let mut jobs = jobs.collect::<Result<Vec<_>>>()?;
        jobs.sort_by_key(|job| (job.view.source(), job.view.range().start));
        Ok(jobs)
    }

    /// What has to be done for one tensor; `None` for those that are no weights.
    pub(super) fn job<'a>(
        &self,
        name: &'a str,
        view: &'a TensorView,
        device: &Device,
        dtype: Option<DType>,
    ) -> Result<Option<Job<'a>>> {
        if matches!(view.dtype(), StoredType::Integer { .. }) {
            return Ok(None);
        }
        let stored = view.weight_type().ok_or_else(|| self.type_error(name, view))?;
        let stays = !stored.is_blocks() || view.is_whole() && stored.fits(view.shape());
        let stored = if stays { stored } else { DType::F16 };
        let keep = dtype.map_or(stored, |dtype| dtype.of_weight(view.shape(), stored)).on(device);
        let read = if keep.is_blocks() { stored } else { keep };
        Ok(Some(Job { name, view, read, keep }))
    }

    fn type_error(&self, name: &str, view: &TensorView) -> Error {
        Error::TensorType { file: self.file.clone(), name: name.to_owned(), dtype: view.dtype().name().to_owned() }
    }
}

/// Cuts the jobs into groups that are read together: neighbours in one source that fit into one piece.
pub(super) fn groups(jobs: Vec<Job<'_>>) -> Vec<Vec<Job<'_>>> {
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
