//! The results of calls: a tensor, a dictionary, an inert value. Nothing is actually called.

use super::globals::Global;
use super::machine::{MAX_VALUES, Machine, Result, error};
use super::{Id, Storage, StoredTensor, Value};
use crate::weights::malformed::Malformed;

/// The longest name of a storage. PyTorch uses numbers.
const MAX_KEY: usize = 255;

/// The most axes of a tensor; PyTorch has the same limit.
const MAX_AXES: usize = 64;

impl Machine<'_> {
    /// Records the result of calling `function` with `arguments`.
    pub(super) fn call(&mut self, function: Id, arguments: Id) -> Result<()> {
        let global = match self.value(function) {
            Value::Global(global) => *global,
            // A method or an object of an inert class.
            Value::Inert => Global::Inert,
            _ => return error(format!("the value called at byte {} is not a function", self.at)),
        };
        let Value::Tuple(arguments) = self.value(arguments) else {
            return error(format!("the arguments of a call at byte {} are not a tuple", self.at));
        };
        // Only those that are used: a long tuple could be passed again and again.
        let arguments: Vec<Id> = arguments.iter().copied().take(4).collect();
        self.make(global, &arguments)
    }

    fn make(&mut self, global: Global, arguments: &[Id]) -> Result<()> {
        match (global, arguments) {
            (Global::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            (Global::OrderedDict, [entries, ..]) => {
                let entries = self.entries(*entries)?;
                self.copied += entries.len();
                if self.copied > MAX_VALUES {
                    return error(format!("more than {MAX_VALUES} values"));
                }
                self.push(Value::Dict(entries))
            }
            (Global::RebuildTensor, [storage, offset, size, stride, ..]) => {
                let tensor = self.tensor(*storage, *offset, *size, *stride)?;
                self.push(tensor)
            }
            (Global::RebuildParameter, [tensor, ..]) => self.push_again(*tensor),
            (Global::RebuildFromType, [function, _, arguments, ..]) => self.rebuild_from_type(*function, *arguments),
            (Global::Inert, _) => self.push_inert(),
            _ => error(format!("a tensor at byte {} is rebuilt from too few arguments", self.at)),
        }
    }

    /// One level only: the function must rebuild a tensor, and not rebuild from a type again.
    fn rebuild_from_type(&mut self, function: Id, arguments: Id) -> Result<()> {
        match self.value(function) {
            Value::Global(Global::RebuildFromType) => error("a tensor is rebuilt from a type twice"),
            _ => self.call(function, arguments),
        }
    }

    /// The pairs of an ordered dictionary.
    fn entries(&self, list: Id) -> Result<Vec<(Id, Id)>> {
        let Value::List(items) = self.value(list) else {
            return error(format!("a dictionary at byte {} is not built from a list", self.at));
        };
        let pair = |id: &Id| match self.value(*id) {
            Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => error(format!("a dictionary at byte {} is not built from pairs", self.at)),
        };
        items.iter().map(pair).collect()
    }

    fn tensor(&self, storage: Id, offset: Id, size: Id, stride: Id) -> Result<Value> {
        let Value::Storage(storage) = self.value(storage) else {
            return error(format!("a tensor at byte {} has no storage", self.at));
        };
        let Value::Int(offset @ 0..) = *self.value(offset) else {
            return error(format!("a tensor at byte {} has an invalid offset in its storage", self.at));
        };
        let shape = self.sizes(size)?;
        let strides = self.sizes(stride)?;
        if shape.len() != strides.len() {
            return error(format!(
                "a tensor at byte {} has {} axes, but {} strides",
                self.at,
                shape.len(),
                strides.len()
            ));
        }
        let storage = (**storage).clone();
        Ok(Value::Tensor(Box::new(StoredTensor { storage, offset: offset as u64, shape, strides })))
    }

    fn sizes(&self, tuple: Id) -> Result<Vec<usize>> {
        let problem = || Malformed(format!("a tensor at byte {} has an invalid shape or strides", self.at));
        let Value::Tuple(items) = self.value(tuple) else { return Err(problem()) };
        if items.len() > MAX_AXES {
            return error(format!(
                "a tensor at byte {} has {} axes, expected at most {MAX_AXES}",
                self.at,
                items.len()
            ));
        }
        let size = |id: &Id| match self.value(*id) {
            Value::Int(size) => usize::try_from(*size).map_err(|_| problem()),
            _ => Err(problem()),
        };
        items.iter().map(size).collect()
    }

    /// A storage: `("storage", type, key, location, elements)`. Files of the old format append `None`, or a part of
    /// another storage, which is older than any model.
    pub(super) fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let Value::Tuple(parts) = self.value(id) else {
            return error(format!("a storage at byte {} is not a tuple", self.at));
        };
        let parts: Vec<&Value> = parts.iter().take(6).map(|id| self.value(*id)).collect();
        let storage = match parts[..] {
            [
                Value::Text(kind),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                _,
                Value::Int(elements @ 0..),
            ]
            | [
                Value::Text(kind),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                _,
                Value::Int(elements @ 0..),
                Value::Inert,
            ] if kind == "storage" && key.len() <= MAX_KEY => {
                Storage { key: key.clone(), dtype: *dtype, elements: *elements as u64 }
            }
            _ => return error(format!("a storage at byte {} is not described as in PyTorch", self.at)),
        };
        self.push(Value::Storage(Box::new(storage)))
    }
}
