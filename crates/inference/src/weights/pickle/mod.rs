//! Python's pickle format (CPython's `pickletools.py` lists the opcodes), as far as PyTorch checkpoints use it.
//!
//! A pickle is a program that builds objects by calling functions. This reader calls nothing: it records the results of
//! the few functions that rebuild a tensor, keeps objects of some classes as inert values, and refuses any other name.
//! Values are in one list and refer to each other by position, so that nothing recurses.

mod globals;
mod machine;
mod rebuild;
#[cfg(test)]
mod tests;

pub use machine::parse;

use super::view::StoredType;

/// The position of a value in the list of all values.
pub(super) type Id = u32;

/// A value, as far as it is needed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A value that is not needed: `None`, booleans, floats, sets, objects of known classes.
    Inert,
    Int(i64),
    /// An integer too large for 64 bits, as little-endian bytes.
    Long(Vec<u8>),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(globals::Global),
    Storage(Box<Storage>),
    Tensor(Box<StoredTensor>),
}

/// A block of memory; tensors are views of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The name of its file.
    pub key: String,
    /// The type of its elements.
    pub dtype: StoredType,
    /// The number of its elements.
    pub elements: u64,
}

/// The description of a tensor in a pickle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// The memory that it is a view of.
    pub storage: Storage,
    /// The position of its first element in the storage, in elements.
    pub offset: u64,
    /// The sizes of its axes.
    pub shape: Vec<usize>,
    /// Elements between neighbours, one for each axis.
    pub strides: Vec<usize>,
}

/// The result of reading a pickle.
#[derive(Clone, Debug)]
pub struct Pickle {
    values: Vec<Value>,
    root: Id,
    /// The length of the pickle in bytes; others may follow.
    pub length: usize,
}

/// How deep state dictionaries may be nested: `{"state_dict": {"state_dict": {...}}}`.
const MAX_NESTING: usize = 4;

impl Pickle {
    /// The tensors by name: those of the top-level dictionary, or of its entry `state_dict`. Other entries (optimiser
    /// states, settings, the epoch) are skipped. Of equal names, the last counts, as in Python.
    pub fn tensors(&self) -> Vec<(&str, &StoredTensor)> {
        let tensor = |(name, value): &(Id, Id)| match (self.value(*name), self.value(*value)) {
            (Value::Text(name), Value::Tensor(tensor)) => Some((name.as_str(), &**tensor)),
            _ => None,
        };
        self.state_dict().iter().filter_map(tensor).collect()
    }

    /// The integer with this name in the top-level dictionary.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.entry(self.root, name).map(|id| self.value(id)) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// The storages of all tensors in the pickle, in order of appearance.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }

    /// The value of the whole pickle.
    pub(super) fn root(&self) -> &Value {
        self.value(self.root)
    }

    /// The strings of the pickle, if it is a list of strings.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        let Value::List(items) = self.root() else { return None };
        let text = |id: &Id| match self.value(*id) {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        };
        items.iter().map(text).collect()
    }

    fn value(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::Inert)
    }

    fn state_dict(&self) -> &[(Id, Id)] {
        let mut dict = self.root;
        for _ in 0..MAX_NESTING {
            let inner = self.entry(dict, "state_dict").filter(|id| matches!(self.value(*id), Value::Dict(_)));
            let Some(inner) = inner else { break };
            dict = inner;
        }
        match self.value(dict) {
            Value::Dict(entries) => entries,
            _ => &[],
        }
    }

    fn entry(&self, dict: Id, name: &str) -> Option<Id> {
        let Value::Dict(entries) = self.value(dict) else { return None };
        let named = |key: Id| matches!(self.value(key), Value::Text(text) if text == name);
        entries.iter().rev().find(|(key, _)| named(*key)).map(|(_, value)| *value)
    }
}
