//! The table of tensors: entries as views, and the checks of their places.

use super::ALIGNMENT;
use super::reader::{MAX_NAME, Problem, Reader, Value};
use crate::tensor::BlockFormat;
use crate::weights::view::{StoredType, TensorView};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The fewest bytes of an entry: length of the name, number of axes, type, offset.
pub(super) const LEAST_ENTRY: u64 = 24;

/// The most axes that ggml has.
const MAX_AXES: u32 = 4;

/// The largest alignment that is accepted.
const MAX_ALIGNMENT: i128 = 1 << 16;

/// The types without blocks, by their numbers in the file.
const PLAIN: [(u32, StoredType); 8] = [
    (0, StoredType::F32),
    (1, StoredType::F16),
    (24, StoredType::Integer { name: "I8", bits: 8 }),
    (25, StoredType::Integer { name: "I16", bits: 16 }),
    (26, StoredType::Integer { name: "I32", bits: 32 }),
    (27, StoredType::Integer { name: "I64", bits: 64 }),
    (28, StoredType::F64),
    (30, StoredType::Bf16),
];

/// The type with this number.
pub(super) fn stored_type(id: u32) -> Option<StoredType> {
    let plain = PLAIN.iter().find(|(known, _)| *known == id).map(|(_, dtype)| *dtype);
    plain.or_else(|| BlockFormat::from_id(id).map(StoredType::Blocks))
}

/// The number of a type; `None` for one that GGUF does not have.
pub(super) fn type_id(dtype: StoredType) -> Option<u32> {
    match dtype {
        StoredType::Blocks(format) => Some(format.id()),
        dtype => PLAIN.iter().find(|(_, known)| *known == dtype).map(|(id, _)| *id),
    }
}

/// An entry as it is in the file.
struct Raw {
    name: String,
    /// In the order of all other formats.
    shape: Vec<u64>,
    dtype: StoredType,
    offset: u64,
}

/// Reads the table, which ends the header, and places the tensors in the data after it.
pub(super) fn read(
    reader: &mut Reader<'_>,
    count: u64,
    metadata: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, TensorView>, Problem> {
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(entry(reader)?);
    }
    let alignment = alignment(metadata)?;
    let data = reader.place().next_multiple_of(alignment);
    check_places(&entries, alignment, reader.file_length().saturating_sub(data))?;
    let mut tensors = BTreeMap::new();
    for entry in entries {
        let view = entry.view(data, metadata)?;
        match tensors.entry(entry.name) {
            Entry::Occupied(entry) => {
                return Err(Problem::new(format!("tensor {} is listed twice", entry.key().escape_debug())));
            }
            Entry::Vacant(vacant) => vacant.insert(view),
        };
    }
    Ok(tensors)
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u64, Problem> {
    match metadata.get("general.alignment") {
        None => Ok(ALIGNMENT),
        Some(Value::Integer(value)) if (1..=MAX_ALIGNMENT).contains(value) && value.count_ones() == 1 => {
            Ok(*value as u64)
        }
        Some(value) => {
            let problem = format!("general.alignment is {value:?}, expected a power of two up to {MAX_ALIGNMENT}");
            Err(Problem::new(problem))
        }
    }
}

fn entry(reader: &mut Reader<'_>) -> Result<Raw, Problem> {
    let name = reader.text("the name of a tensor", MAX_NAME)?;
    let what = format!("tensor {}", name.escape_debug());
    let axes = reader.u32(&what)?;
    if axes > MAX_AXES {
        return Err(Problem::new(format!("{what} has {axes} axes, expected at most {MAX_AXES}")));
    }
    let mut shape = Vec::new();
    for _ in 0..axes {
        shape.push(reader.u64(&what)?);
    }
    shape.reverse();
    let id = reader.u32(&what)?;
    let offset = reader.u64(&what)?;
    let Some(dtype) = stored_type(id) else {
        let known: Vec<_> = BlockFormat::ALL.iter().map(|format| format.name()).collect();
        let known = known.join(", ");
        return Err(Problem::new(format!("{what} has unsupported type {id}, expected F32, F16, BF16, {known}")));
    };
    if let StoredType::Blocks(format) = dtype
        && let row = shape.last().copied().unwrap_or(1)
        && !row.is_multiple_of(dtype.block())
    {
        let problem = format!(
            "{what} has rows of {row} elements, expected a multiple of {}, the length of a block of {}",
            dtype.block(),
            format.name()
        );
        return Err(Problem::new(problem));
    }
    Ok(Raw { name, shape, dtype, offset })
}

impl Raw {
    /// Its size in bytes, unless it is impossibly large.
    fn bytes(&self) -> Option<u64> {
        let elements = self.shape.iter().try_fold(1_u64, |count, size| count.checked_mul(*size))?;
        self.dtype.bytes_of(elements)
    }

    fn too_large(&self) -> Problem {
        let name = self.name.escape_debug();
        Problem::new(format!("tensor {name} has a shape too large to exist: {:?}", self.shape))
    }

    /// The entry as a view; the data starts at byte `data` of the file.
    fn view(&self, data: u64, metadata: &BTreeMap<String, Value>) -> Result<TensorView, Problem> {
        let shape = match metadata.get(&format!("comfy.gguf.orig_shape.{}", self.name)) {
            Some(original) => self.original_shape(original)?,
            None => self.shape.clone(),
        };
        let shape = shape.into_iter().map(|size| usize::try_from(size).ok()).collect::<Option<Vec<_>>>();
        let view = shape.and_then(|shape| TensorView::new(self.dtype, shape, data.checked_add(self.offset)?));
        view.ok_or_else(|| self.too_large())
    }

    /// The shape of the tensor before it was reshaped for blocks, with the same number of elements.
    fn original_shape(&self, original: &Value) -> Result<Vec<u64>, Problem> {
        let sizes = match original {
            Value::Integers(sizes) => sizes.iter().map(|size| u64::try_from(*size).ok()).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let count = |sizes: &[u64]| sizes.iter().try_fold(1_u64, |count, size| count.checked_mul(*size));
        sizes.filter(|sizes| count(sizes) == count(&self.shape)).ok_or_else(|| {
            let name = self.name.escape_debug();
            let shape = &self.shape;
            Problem::new(format!(
                "tensor {name} of shape {shape:?} has the original shape {original:?}, expected the same number of elements"
            ))
        })
    }
}

/// Checks that every tensor is aligned, ends within the file, and shares no byte with another.
fn check_places(entries: &[Raw], alignment: u64, data_length: u64) -> Result<(), Problem> {
    let mut in_order: Vec<&Raw> = entries.iter().collect();
    in_order.sort_by_key(|entry| entry.offset);
    let mut end = 0;
    let mut previous = "";
    for entry in in_order {
        let bytes = entry.bytes().ok_or_else(|| entry.too_large())?;
        let start = entry.offset;
        let stop = start.checked_add(bytes).filter(|stop| *stop <= data_length);
        let problem = match stop {
            _ if !start.is_multiple_of(alignment) => {
                format!("starts at byte {start} of the data, expected a multiple of {alignment}")
            }
            None => {
                format!("has {bytes} bytes from byte {start} of the data, which has {data_length}: the file is cut off")
            }
            Some(_) if start < end => {
                format!(
                    "starts at byte {start} of the data, inside tensor {}, which ends at {end}",
                    previous.escape_debug()
                )
            }
            Some(stop) => {
                end = stop;
                previous = &entry.name;
                continue;
            }
        };
        return Err(Problem::new(format!("tensor {} {problem}", entry.name.escape_debug())));
    }
    Ok(())
}
