//! `TensorIndex`: every tensor of one or several files by name, in any format. All formats share one loading path.

use super::source::Source;
use super::view::TensorView;
use super::{ckpt, gguf, safetensors, scaled};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The names, shapes and places of a checkpoint's tensors. Opening one is cheap: no tensor is read.
#[derive(Clone)]
pub struct TensorIndex {
    pub(super) file: String,
    pub(super) sources: Vec<Arc<dyn Source>>,
    pub(super) tensors: BTreeMap<String, TensorView>,
    /// The training step of a pickled checkpoint, the only thing that distinguishes some of them.
    pub(super) training_step: Option<i64>,
}

impl TensorIndex {
    /// Reads the table of contents of a safetensors file, a PyTorch checkpoint or a GGUF file, recognised by its first
    /// bytes.
    pub async fn open(source: Arc<dyn Source>) -> Result<Self> {
        const ENOUGH: u64 = 16;
        let head = source.read(0..source.len().min(ENOUGH)).await?;
        match &head[..] {
            [b'P', b'K', 3, 4, ..] => ckpt::open_zip(source).await,
            [0x80, 2, ..] if ckpt::is_legacy(&head) => ckpt::open_legacy(source).await,
            head if head.starts_with(b"version https://") => Err(Error::format(
                source.name(),
                "a Git LFS pointer instead of the file itself: download it with `git lfs pull`",
            )),
            head if head.starts_with(gguf::MAGIC) => gguf::open(source).await,
            head if head.get(8) == Some(&b'{') || source.name().ends_with(".safetensors") => {
                scaled::attached(safetensors::open(source).await?).await
            }
            _ => Err(Error::format(source.name(), "not a safetensors file, GGUF file or PyTorch checkpoint")),
        }
    }

    pub(super) fn new(source: Arc<dyn Source>, tensors: BTreeMap<String, TensorView>) -> Self {
        Self { file: source.name().to_owned(), sources: vec![source], tensors, training_step: None }
    }

    /// The same sources with these tensors.
    pub(crate) fn with_tensors(&self, tensors: BTreeMap<String, TensorView>) -> Self {
        Self { tensors, ..self.clone() }
    }

    /// The same tensors under other names.
    pub(crate) fn map(&self, rename: impl Fn(&str, &TensorView) -> (String, TensorView)) -> Self {
        self.with_tensors(self.tensors.iter().map(|(name, view)| rename(name, view)).collect())
    }

    /// Adds the tensors of another file.
    pub(super) fn extend(&mut self, other: Self) {
        let first = self.sources.len();
        self.sources.extend(other.sources);
        let moved = |(name, view): (String, TensorView)| {
            let source = first + view.source();
            (name, view.in_source(source))
        };
        self.tensors.extend(other.tensors.into_iter().map(moved));
    }

    /// The name of the file or folder in errors.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The number of training steps, if a pickled checkpoint has it.
    pub fn training_step(&self) -> Option<i64> {
        self.training_step
    }

    /// All tensors, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TensorView)> {
        self.tensors.iter().map(|(name, view)| (name.as_str(), view))
    }

    /// The tensor with this name.
    pub fn get(&self, name: &str) -> Option<&TensorView> {
        self.tensors.get(name)
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The size of all tensors, in bytes.
    pub fn bytes(&self) -> u64 {
        self.tensors.values().fold(0, |sum, view| sum.saturating_add(view.bytes()))
    }
}

impl std::fmt::Debug for TensorIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TensorIndex({}, {} tensors)", self.file, self.tensors.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::MemorySource;
    use pollster::block_on;

    #[test]
    fn other_files_than_checkpoints_are_refused() {
        let open = |name: &str, bytes: &'static [u8]| {
            block_on(TensorIndex::open(Arc::new(MemorySource::new(name, bytes)))).unwrap_err().to_string()
        };
        assert_eq!(open("a.bin", b""), "a.bin: not a safetensors file, GGUF file or PyTorch checkpoint");
        assert_eq!(open("a.bin", b"hello, world, this is text"), open("a.bin", b""));
        assert_eq!(
            open("a.gguf", b"GGUF\x03\0\0\0"),
            "a.gguf: the number of tensors takes 8 bytes, but the file has 0 left: it is cut off"
        );
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
        assert_eq!(
            open("a", pointer),
            "a: a Git LFS pointer instead of the file itself: download it with `git lfs pull`"
        );
    }
}
