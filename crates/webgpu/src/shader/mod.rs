//! Kernels as text: WGSL, the constants of a variant, and the header that each dialect wants.

use std::hash::{Hash, Hasher};

use crate::{Capabilities, Dialect};

/// A kernel and its variant: the key of its pipeline.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Name of the op, also in errors and profiles.
    pub name: &'static str,
    /// WGSL with one compute entry point.
    pub source: &'static str,
    /// Constants of this variant, put before the text.
    pub constants: Vec<(&'static str, Constant)>,
}

/// The value of a kernel's constant.
#[derive(Debug, Clone, Copy)]
pub enum Constant {
    /// `u32`.
    U32(u32),
    /// `f32`.
    F32(f32),
    /// `bool`.
    Bool(bool),
    /// `alias NAME = f32;` or another type.
    Type(&'static str),
}

// The pipeline cache looks kernels up for every dispatch: the name stands for the source, which is not hashed.
impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.constants == other.constants
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.constants.hash(state);
    }
}

impl Constant {
    /// What makes two constants the same text; floats by their bits.
    fn key(&self) -> (u8, u32, &'static str) {
        match *self {
            Self::U32(value) => (0, value, ""),
            Self::F32(value) => (1, value.to_bits(), ""),
            Self::Bool(value) => (2, u32::from(value), ""),
            Self::Type(value) => (3, 0, value),
        }
    }
}

impl PartialEq for Constant {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Constant {}

impl Hash for Constant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Kernel {
    /// The text that the device's compiler reads.
    pub fn wgsl(&self, capabilities: &Capabilities) -> String {
        let mut text = String::new();
        if capabilities.f16 {
            text.push_str("enable f16;\n");
        }
        if capabilities.dialect == Dialect::Browser && capabilities.subgroups.is_some() {
            text.push_str("enable subgroups;\n");
        }
        for (name, value) in &self.constants {
            text.push_str(&match value {
                Constant::U32(value) => format!("const {name}: u32 = {value}u;\n"),
                Constant::F32(value) => format!("const {name}: f32 = {value:?}f;\n"),
                Constant::Bool(value) => format!("const {name}: bool = {value};\n"),
                Constant::Type(value) => format!("alias {name} = {value};\n"),
            });
        }
        text.push_str(self.source);
        text
    }
}
