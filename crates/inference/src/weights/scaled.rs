//! Floats of eight bits with a number beside them that all of them are multiplied by, as ComfyUI's files have them: `x.weight`
//! and `x.scale_weight`, in newer files `x.weight_scale`. The scales of inputs, for products in eight bits, are left out, and so
//! are the marks of such files.

use super::index::TensorIndex;
use super::load::read_exact;
use super::view::{StoredType, TensorView};
use crate::{Error, Result};

/// The end of a weight's name, and what it has instead in the name of its scale.
const WEIGHT: &str = "weight";
const SCALES: [&str; 2] = ["scale_weight", "weight_scale"];

/// What else stands beside such a weight.
const BESIDE: [&str; 3] = ["scale_input", "input_scale", "comfy_quant"];

/// The mark of a file with scales.
const MARK: &str = "scaled_fp8";

/// The index with every scale in the view of its weight rather than among the tensors.
pub(super) async fn attached(mut index: TensorIndex) -> Result<TensorIndex> {
    let names: Vec<String> = index.tensors.keys().filter(|name| is_beside(&index, name)).cloned().collect();
    for name in names {
        let Some(view) = index.tensors.remove(&name) else { continue };
        let weight = SCALES.iter().find_map(|end| Some(format!("{}{WEIGHT}", name.strip_suffix(end)?)));
        let Some(weight) = weight else { continue };
        let scale = read(&index, &name, &view).await?;
        if let Some(scaled) = index.tensors.remove(&weight) {
            index.tensors.insert(weight, scaled.scaled(scale));
        }
    }
    Ok(index)
}

/// Whether a tensor is no weight but belongs to one of eight bits, or marks the file.
fn is_beside(index: &TensorIndex, name: &str) -> bool {
    if name == MARK || name.ends_with(&format!(".{MARK}")) {
        return true;
    }
    let stems = SCALES.iter().chain(&BESIDE).filter_map(|end| name.strip_suffix(end));
    let of_eight_bits = |stem: &str| {
        let weight = index.get(&format!("{stem}{WEIGHT}"));
        stem.ends_with('.')
            && weight.is_some_and(|view| matches!(view.dtype(), StoredType::F8E4M3 | StoredType::F8E5M2))
    };
    stems.into_iter().any(of_eight_bits)
}

/// The one number of a scale.
async fn read(index: &TensorIndex, name: &str, view: &TensorView) -> Result<f32> {
    let is_one = view.elements() == 1 && view.dtype() == StoredType::F32;
    let (true, Some(source)) = (is_one, index.sources.get(view.source())) else {
        let found = format!("{} {:?}", view.dtype().name(), view.shape());
        let reason = format!("tensor {name} is {found}, expected one F32 that all of a weight is multiplied by");
        return Err(Error::format(index.file(), reason));
    };
    let bytes = read_exact(&**source, view.range()).await?;
    let scale = f32::from_le_bytes(bytes[..].try_into().unwrap_or([0; 4]));
    if scale.is_finite() {
        return Ok(scale);
    }
    Err(Error::NotFinite { what: format!("{}: tensor {name}", index.file()), hint: "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::MemorySource;
    use crate::{DType, Device};
    use pollster::block_on;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    const EIGHT: StoredType = StoredType::F8E4M3;

    fn index(tensors: &[(&str, StoredType, &[usize], u64)], data: Vec<u8>) -> TensorIndex {
        let view = |(name, dtype, shape, offset): &(&str, StoredType, &[usize], u64)| {
            ((*name).to_owned(), TensorView::new(*dtype, shape.to_vec(), *offset).unwrap())
        };
        let tensors: BTreeMap<String, TensorView> = tensors.iter().map(view).collect();
        TensorIndex::new(Arc::new(MemorySource::new("x.safetensors", data)), tensors)
    }

    /// 1.0, 2.0, -1.0 and 0.5, then a scale.
    fn data(scale: f32) -> Vec<u8> {
        [&[0x38, 0x40, 0xb8, 0x30], &scale.to_le_bytes()[..]].concat()
    }

    #[test]
    fn weights_are_multiplied_by_the_scale_beside_them() {
        for scale in SCALES {
            let scale = format!("a.{scale}");
            let all: [(&str, StoredType, &[usize], u64); 5] = [
                ("a.weight", EIGHT, &[2, 2], 0),
                ("b.weight", EIGHT, &[2, 2], 0),
                (&scale, StoredType::F32, &[], 4),
                ("a.scale_input", StoredType::F32, &[1], 4),
                ("scaled_fp8", EIGHT, &[0], 0),
            ];
            let opened = block_on(attached(index(&all, data(1e-6)))).unwrap();
            assert_eq!(opened.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a.weight", "b.weight"]);
            let weights = block_on(opened.load(&Device::Cpu, Some(DType::F32))).unwrap();
            let values = |name| block_on(weights.get(name, &[2, 2]).unwrap().to_vec()).unwrap();
            assert_eq!(values("a.weight"), [1e-6, 2e-6, -1e-6, 0.5e-6]);
            assert_eq!(values("b.weight"), [1.0, 2.0, -1.0, 0.5]);
            let kept = block_on(opened.load(&Device::Cpu, None)).unwrap();
            assert_eq!(kept.get("a.weight", &[2, 2]).unwrap().dtype(), DType::Bf16);
            // Parts of a fused layer have its scale.
            let second = opened.get("a.weight").unwrap().rows(1, 1).unwrap();
            let part = opened.with_tensors(BTreeMap::from([("part".to_owned(), second)]));
            let weights = block_on(part.load(&Device::Cpu, Some(DType::F32))).unwrap();
            assert_eq!(block_on(weights.get("part", &[1, 2]).unwrap().to_vec()).unwrap(), [-1e-6, 0.5e-6]);
        }
    }

    #[test]
    fn scales_that_are_no_numbers_are_named() {
        let problem = |shape: &[usize], scale: f32| {
            let all = [("a.weight", EIGHT, &[2, 2][..], 0), ("a.scale_weight", StoredType::F32, shape, 4)];
            let data = [data(scale), data(scale)].concat();
            block_on(attached(index(&all, data))).unwrap_err().to_string()
        };
        let text = problem(&[2], 1.0);
        let expected =
            "x.safetensors: tensor a.scale_weight is F32 [2], expected one F32 that all of a weight is multiplied by";
        assert_eq!(text, expected);
        assert_eq!(
            problem(&[1], f32::NAN),
            "x.safetensors: tensor a.scale_weight holds a value that is not a finite number"
        );
    }

    #[test]
    fn other_tensors_of_these_names_stay() {
        let all: [(&str, StoredType, &[usize], u64); 2] =
            [("a.weight", StoredType::F32, &[1], 4), ("a.scale_weight", StoredType::F32, &[1], 4)];
        assert_eq!(block_on(attached(index(&all, data(1.0)))).unwrap().len(), 2);
    }
}
