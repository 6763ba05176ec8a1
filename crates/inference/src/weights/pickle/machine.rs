//! The stack machine that reads a pickle.

use super::globals;
use super::{Id, Pickle, Value};
use crate::weights::malformed::Malformed;
use std::collections::HashMap;

/// The most values that a pickle may build. Checkpoints of Stable Diffusion need tens of thousands.
pub(super) const MAX_VALUES: usize = 1 << 22;

/// The position of the inert value, which is shared.
const INERT: Id = 0;

/// The highest supported version of the format; newer ones would have unknown opcodes.
const HIGHEST_PROTOCOL: u8 = 5;

pub(super) type Result<T> = std::result::Result<T, Malformed>;

/// Reads the pickle at the start of `bytes`, which may be followed by others. Fails on bytes that are not a pickle, on
/// names that are not allowed, and on pickles beyond the limits.
pub fn parse(bytes: &[u8]) -> Result<Pickle> {
    let mut machine = Machine { bytes, values: vec![Value::Inert], ..Machine::default() };
    loop {
        let opcode = machine.byte()?;
        if opcode == b'.' {
            break;
        }
        machine.step(opcode)?;
    }
    let root = machine.pop()?;
    Ok(Pickle { values: machine.values, root, length: machine.at })
}

pub(super) fn error<T>(reason: impl Into<String>) -> Result<T> {
    Err(Malformed(reason.into()))
}

#[derive(Default)]
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack where lists of arguments begin.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Total entries of lists that became dictionaries. A short pickle could convert a long list again and again.
    pub(super) copied: usize,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            0x80 => self.protocol(),
            0x95 => self.take(8).map(|_| ()),
            b'(' => self.mark(),
            b'0' => self.pop().map(|_| ()),
            b'1' => self.pop_mark().map(|_| ()),
            b'2' => self.top().and_then(|id| self.push_again(id)),
            b'N' | 0x88 | 0x89 | 0x8f => self.push_inert(),
            b'G' => self.take(8).and_then(|_| self.push_inert()),
            b'K' | b'M' | b'J' | 0x8a | 0x8b => self.integer(opcode),
            b'X' | 0x8c | 0x8d | b'T' | b'U' => self.text(opcode),
            b'B' | b'C' | 0x8e | 0x96 => self.binary(opcode),
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'l' => self.pop_mark().and_then(|items| self.push(Value::List(items))),
            b't' => self.pop_mark().and_then(|items| self.push(Value::Tuple(items))),
            b'd' => self.pop_mark().and_then(|items| self.push(Value::Dict(pairs(&items)?))),
            0x90 => self.pop_mark().map(|_| ()),
            0x91 => self.pop_mark().and_then(|_| self.push_inert()),
            0x85..=0x87 => self.short_tuple(usize::from(opcode - 0x84)),
            b'a' => self.pop().and_then(|item| self.append(&[item])),
            b'e' => self.pop_mark().and_then(|items| self.append(&items)),
            b's' => self.pop_many(2).and_then(|items| self.set_items(&items)),
            b'u' => self.pop_mark().and_then(|items| self.set_items(&items)),
            b'q' | b'r' | 0x94 => self.memoize(opcode),
            b'h' | b'j' => self.recall(opcode),
            b'c' | 0x93 => self.global(opcode),
            b'R' | 0x81 => self.pop_many(2).and_then(|call| self.call(call[0], call[1])),
            0x92 => self.pop_many(3).and_then(|call| self.call(call[0], call[1])),
            // The state of an object, which is ignored: attributes of a dictionary, or of an inert value.
            b'b' => self.pop().and_then(|_| self.top()).map(|_| ()),
            b'Q' => self.persistent(),
            _ => error(format!("opcode 0x{opcode:02x} at byte {} is not supported", self.at - 1)),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..count) else {
            return error(format!("the pickle is cut off at byte {}", self.bytes.len()));
        };
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// An unsigned little-endian number of `count` bytes, at most eight.
    fn number(&mut self, count: usize) -> Result<u64> {
        Ok(self.take(count)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn block(&mut self, length_bytes: usize) -> Result<&'a [u8]> {
        let length = self.number(length_bytes)?;
        // A length beyond `usize` is longer than the file.
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = self.take(length)?;
        self.take(1)?;
        std::str::from_utf8(line).or_else(|_| error(format!("a name before byte {} is not UTF-8", self.at)))
    }

    fn mark(&mut self) -> Result<()> {
        self.marks.push(self.stack.len());
        Ok(())
    }

    pub(super) fn push_inert(&mut self) -> Result<()> {
        self.push_again(INERT)
    }

    pub(super) fn push_again(&mut self, id: Id) -> Result<()> {
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn push(&mut self, value: Value) -> Result<()> {
        if self.values.len() >= MAX_VALUES {
            return error(format!("more than {MAX_VALUES} values"));
        }
        // Below the limit, and therefore within `Id`.
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<Id> {
        self.pop_many(1).map(|ids| ids[0])
    }

    /// Pops the top `count` values, the deepest first. Values below a mark cannot be popped.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= floor => Ok(self.stack.split_off(start)),
            _ => error(format!("the stack is empty at byte {}", self.at)),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark.min(self.stack.len()))),
            None => error(format!("no mark on the stack at byte {}", self.at)),
        }
    }

    fn top(&self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.last().filter(|_| self.stack.len() > floor);
        top.copied().map_or_else(|| error(format!("the stack is empty at byte {}", self.at)), Ok)
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::Inert)
    }

    fn protocol(&mut self) -> Result<()> {
        match self.byte()? {
            0..=HIGHEST_PROTOCOL => Ok(()),
            version => error(format!("pickle protocol {version}, expected at most {HIGHEST_PROTOCOL}")),
        }
    }

    fn integer(&mut self, opcode: u8) -> Result<()> {
        let value = match opcode {
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'J' => Value::Int(i64::from(self.number(4)? as u32 as i32)),
            _ => long(self.block(if opcode == 0x8a { 1 } else { 4 })?),
        };
        self.push(value)
    }

    fn text(&mut self, opcode: u8) -> Result<()> {
        let bytes = match opcode {
            b'U' | 0x8c => self.block(1)?,
            b'X' | b'T' => self.block(4)?,
            _ => self.block(8)?,
        };
        // Python 2's byte strings need not be UTF-8; then they are not names of tensors.
        self.push(Value::Text(String::from_utf8_lossy(bytes).into_owned()))
    }

    fn binary(&mut self, opcode: u8) -> Result<()> {
        let bytes = match opcode {
            b'C' => self.block(1)?,
            b'B' => self.block(4)?,
            _ => self.block(8)?,
        };
        self.push(Value::Bytes(bytes.to_vec()))
    }

    fn short_tuple(&mut self, count: usize) -> Result<()> {
        let items = self.pop_many(count)?;
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        let list = self.top()? as usize;
        match self.values.get_mut(list) {
            Some(Value::List(list)) => list.extend(items),
            Some(Value::Inert) => {}
            _ => return error(format!("an item is appended to a value that is not a list, at byte {}", self.at)),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let entries = pairs(items)?;
        let dict = self.top()? as usize;
        match self.values.get_mut(dict) {
            Some(Value::Dict(dict)) => dict.extend(entries),
            Some(Value::Inert) => {}
            _ => return error(format!("an entry is set in a value that is not a dictionary, at byte {}", self.at)),
        }
        Ok(())
    }

    fn memoize(&mut self, opcode: u8) -> Result<()> {
        let slot = match opcode {
            b'q' => self.number(1)? as u32,
            b'r' => self.number(4)? as u32,
            _ => self.memo.len() as u32,
        };
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<()> {
        let slot = self.number(if opcode == b'h' { 1 } else { 4 })? as u32;
        match self.memo.get(&slot).copied() {
            Some(id) => self.push_again(id),
            None => error(format!("memo {slot} is read at byte {} before it is written", self.at)),
        }
    }

    fn global(&mut self, opcode: u8) -> Result<()> {
        let (module, name) = if opcode == b'c' {
            (self.line()?.to_owned(), self.line()?.to_owned())
        } else {
            let names = self.pop_many(2)?;
            match (self.value(names[0]), self.value(names[1])) {
                (Value::Text(module), Value::Text(name)) => (module.clone(), name.clone()),
                _ => return error(format!("a global at byte {} is not named by strings", self.at)),
            }
        };
        match globals::find(&module, &name) {
            Some(global) => self.push(Value::Global(global)),
            None => error(format!("refers to {module}.{name}, which is not allowed in checkpoints")),
        }
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    } else {
        error("a key without a value")
    }
}

/// A signed little-endian number.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Long(bytes.to_vec());
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let filler = if negative { u64::MAX } else { 0 };
    Value::Int(bytes.iter().rev().fold(filler, |number, byte| number << 8 | u64::from(*byte)) as i64)
}
