//! Converts the tensors of any file to a GGUF file: chooses their types and writes their bytes, a few megabytes at a
//! time.
//!
//! Matrices are quantised; norms, biases, convolutions, small tensors and position embeddings stay floating-point, as
//! in llama.cpp and ComfyUI-GGUF. If rows do not fill the blocks of 256 of a K format, another format is used
//! ([`BlockFormat::for_rows`]).

use super::write::{TensorInfo, write_header};
use crate::tensor::{BlockFormat, Data};
use crate::weights::decode::Decoder;
use crate::weights::index::TensorIndex;
use crate::weights::load::{gather, gathered, pieces, read_exact};
use crate::weights::source::Source;
use crate::weights::view::{StoredType, TensorView};
use crate::{DType, Error, Result};
use std::ops::Range;

/// Tensors with fewer elements stay floating-point, since quantising them saves nothing.
const SMALL: usize = 1024;

/// Elements converted at a time: whole blocks of every format.
const RUN: u64 = 4 << 20;

/// Position embeddings, whose errors would affect every result.
const POSITIONS: [&str; 3] = ["position", "pos_embed", "relative_attention_bias"];

/// Receives the bytes of a file, in order.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// A file to be written.
pub struct Conversion<'a> {
    index: &'a TensorIndex,
    tensors: Vec<TensorInfo>,
    header: Vec<u8>,
}

impl<'a> Conversion<'a> {
    /// Chooses every type: `format` for the matrices, or all as they are stored. `architecture` is the file's entry for
    /// its content; ComfyUI's names are `sd1`, `sdxl`, `sd3` and `flux`.
    pub fn new(index: &'a TensorIndex, format: Option<BlockFormat>, architecture: &str) -> Result<Self> {
        let mut tensors = Vec::with_capacity(index.len());
        for (name, view) in index.iter() {
            let dtype = match view.dtype() {
                stored @ StoredType::Integer { .. } => stored,
                stored @ StoredType::Other { .. } => {
                    let dtype = stored.name().to_owned();
                    return Err(Error::TensorType { file: index.file().to_owned(), name: name.to_owned(), dtype });
                }
                _ => target(name, view, format),
            };
            tensors.push(TensorInfo { name: name.to_owned(), dtype, shape: view.shape().to_vec() });
        }
        let texts = [("general.architecture", architecture), ("general.quantized_by", "easel")];
        let header = write_header(&texts, &tensors).map_err(|problem| Error::format(index.file(), problem.0))?;
        Ok(Self { index, tensors, header })
    }

    /// The tensors, in the order of the file.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The length of the file.
    pub fn bytes(&self) -> u64 {
        let padded = self.tensors.iter().filter_map(TensorInfo::padded);
        padded.fold(self.header.len() as u64, u64::saturating_add)
    }

    /// Writes the file.
    pub async fn write(&self, sink: &mut Sink<'_>) -> Result<()> {
        sink(&self.header)?;
        for tensor in &self.tensors {
            let Some(view) = self.index.get(&tensor.name) else { continue };
            let Some(source) = self.index.sources.get(view.source()) else { continue };
            convert(&**source, &tensor.name, view, tensor.dtype, sink).await?;
            let bytes = tensor.bytes().unwrap_or(0);
            let padding = tensor.padded().unwrap_or(bytes) - bytes;
            sink(&[0; 32][..padding as usize])?;
        }
        Ok(())
    }
}

/// The type to write a floating-point tensor in.
fn target(name: &str, view: &TensorView, format: Option<BlockFormat>) -> StoredType {
    let plain = match view.dtype() {
        StoredType::F64 => StoredType::F32,
        StoredType::F8E4M3 | StoredType::F8E5M2 if view.scale().is_some() => StoredType::Bf16,
        StoredType::F8E4M3 | StoredType::F8E5M2 => StoredType::F16,
        stored => stored,
    };
    let Some(format) = format else { return plain };
    let small = view.elements() < SMALL;
    if small || view.shape().len() < 2 || POSITIONS.iter().any(|word| name.contains(word)) {
        return plain;
    }
    let blocks = match *view.shape() {
        [_, width] => format.for_rows(width),
        _ => None,
    };
    match (blocks, plain) {
        // Blocks stay as they are: quantising twice would only lose precision.
        (_, StoredType::Blocks(_)) => plain,
        (Some(format), _) => StoredType::Blocks(format),
        (None, StoredType::F32) => StoredType::F16,
        (None, plain) => plain,
    }
}

/// Reads a tensor and passes on its numbers in another type, in row-major order.
async fn convert(
    source: &dyn Source,
    name: &str,
    view: &TensorView,
    to: StoredType,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let range = view.range();
    if view.is_whole() && view.dtype() == to {
        for piece in pieces(range, to.unit()) {
            sink(&read_exact(source, piece).await?)?;
        }
        return Ok(());
    }
    let at_hand = if view.is_whole() { None } else { Some(gather(view, &read_whole(source, range.clone()).await?)) };
    let from = Numbers { stored: gathered(view), scale: view.scale() };
    let elements = view.elements() as u64;
    for first in (0..elements).step_by(RUN as usize) {
        let count = RUN.min(elements - first);
        let start = from.stored.bytes_of(first).unwrap_or(0);
        let length = from.stored.bytes_of(count).unwrap_or(0);
        match &at_hand {
            Some(bytes) => sink(&run(name, from, to, count, &bytes[start as usize..(start + length) as usize])?)?,
            None => {
                let start = range.start + start;
                let bytes = read_exact(source, start..start + length).await?;
                sink(&run(name, from, to, count, &bytes)?)?;
            }
        }
    }
    Ok(())
}

async fn read_whole(source: &dyn Source, range: Range<u64>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for piece in pieces(range, 1) {
        bytes.extend_from_slice(&read_exact(source, piece).await?);
    }
    Ok(bytes)
}

/// How a tensor's numbers are stored.
#[derive(Clone, Copy)]
struct Numbers {
    stored: StoredType,
    scale: Option<f32>,
}

/// Converts some elements to another type.
fn run(name: &str, from: Numbers, to: StoredType, count: u64, bytes: &[u8]) -> Result<Vec<u8>> {
    if matches!(from.stored, StoredType::Integer { .. }) {
        return Ok(bytes.to_vec());
    }
    let wide = match to {
        StoredType::F16 => DType::F16,
        StoredType::Bf16 => DType::Bf16,
        _ => DType::F32,
    };
    let mut decoder = Decoder::new(name, from.stored, wide, &[count as usize]).scaled(from.scale);
    decoder.push(bytes)?;
    match (decoder.finish(), to) {
        (Data::F32(numbers), StoredType::Blocks(format)) => Ok(format.quantise(&numbers).unwrap_or_default()),
        (data, _) => Ok(data.as_bytes().to_vec()),
    }
}
