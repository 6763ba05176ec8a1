//! The names that a checkpoint may refer to. Any other name is an error, although nothing is ever called.

use crate::weights::view::StoredType;

/// The meaning of a known name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::weights) enum Global {
    /// A dictionary that keeps its order.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...)`, and the older one without `_v2`.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter(tensor, ...)`.
    RebuildParameter,
    /// `torch._tensor._rebuild_from_type_v2(function, type, arguments, state)`.
    RebuildFromType,
    /// The type of a storage.
    Storage(StoredType),
    /// A class or function whose results are ignored.
    Inert,
}

/// Classes and functions whose results become inert values: training scripts left them in the checkpoints of Stable
/// Diffusion and its descendants.
const INERT: [(&str, &[&str]); 14] = [
    ("__builtin__", &["set", "frozenset", "slice", "complex", "bytearray", "object"]),
    ("builtins", &["set", "frozenset", "slice", "complex", "bytearray", "object"]),
    ("_codecs", &["encode"]),
    ("collections", &["defaultdict", "Counter", "deque"]),
    ("copyreg", &["_reconstructor"]),
    ("copy_reg", &["_reconstructor"]),
    ("argparse", &["Namespace"]),
    ("pathlib", &["PosixPath", "WindowsPath", "PurePosixPath"]),
    ("numpy", &["dtype", "ndarray", "float64", "float32", "int64"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("torch.nn.modules.container", &["ParameterDict", "ParameterList"]),
    ("torch.serialization", &["_get_layout"]),
    (
        "torch",
        &[
            "Size", "device", "float16", "float32", "float64", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
            "bool",
        ],
    ),
];

/// Packages in which all classes are inert: PyTorch Lightning's callbacks (`ModelCheckpoint` in Stable Diffusion 1) and
/// settings that were saved with the weights.
const INERT_PACKAGES: [&str; 3] = ["pytorch_lightning", "lightning", "omegaconf"];

/// Looks up a name.
pub(super) fn find(module: &str, name: &str) -> Option<Global> {
    match (module, name) {
        ("collections", "OrderedDict") => Some(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Some(Global::RebuildTensor),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Some(Global::RebuildParameter),
        ("torch.nn.parameter", "Parameter") => Some(Global::Inert),
        ("torch._tensor", "_rebuild_from_type_v2" | "_rebuild_from_type") => Some(Global::RebuildFromType),
        ("torch" | "torch.storage" | "torch.cuda", _) if storage(name).is_some() => storage(name).map(Global::Storage),
        _ => is_inert(module, name).then_some(Global::Inert),
    }
}

fn is_inert(module: &str, name: &str) -> bool {
    let package = module.split('.').next().unwrap_or_default();
    INERT_PACKAGES.contains(&package) || INERT.iter().any(|(known, names)| *known == module && names.contains(&name))
}

fn storage(name: &str) -> Option<StoredType> {
    let name = match name {
        "DoubleStorage" => "F64",
        "FloatStorage" => "F32",
        "HalfStorage" => "F16",
        "BFloat16Storage" => "BF16",
        "LongStorage" => "I64",
        "IntStorage" => "I32",
        "ShortStorage" => "I16",
        "CharStorage" => "I8",
        "ByteStorage" | "UntypedStorage" => "U8",
        "BoolStorage" => "BOOL",
        "ComplexFloatStorage" => "C64",
        "ComplexDoubleStorage" => "C128",
        "Float8_e4m3fnStorage" => "F8_E4M3",
        "Float8_e5m2Storage" => "F8_E5M2",
        _ => return None,
    };
    StoredType::from_name(name)
}
