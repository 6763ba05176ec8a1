//! Typed reading of a scheduler's JSON fields.

use super::SchedulerClass;
use crate::{Error, Result};
use serde_json::{Map, Value};

/// The file that a scheduler's configuration comes from, for messages.
pub(super) const FILE: &str = "scheduler_config.json";

/// An error about one field.
pub(super) fn bad(field: &str, reason: impl Into<String>) -> Error {
    Error::Config { file: FILE.into(), field: field.into(), reason: reason.into() }
}

/// The fields of a configuration as one class sees them: what it does not read is absent, and so is `null`.
pub(super) struct Fields<'a> {
    pub(super) class: SchedulerClass,
    pub(super) map: &'a Map<String, Value>,
}

impl Fields<'_> {
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.map.get(field).filter(|value| self.class.reads(field) && !value.is_null())
    }

    pub(super) fn flag(&self, field: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(field) else { return Ok(default) };
        value.as_bool().ok_or_else(|| bad(field, format!("{value} is not true or false")))
    }

    pub(super) fn optional(&self, field: &str) -> Result<Option<f64>> {
        self.get(field).map(|value| number(field, value)).transpose()
    }

    pub(super) fn number(&self, field: &str, default: f64) -> Result<f64> {
        Ok(self.optional(field)?.unwrap_or(default))
    }

    /// A whole number within `range`.
    pub(super) fn count(&self, field: &str, default: usize, range: std::ops::RangeInclusive<usize>) -> Result<usize> {
        let Some(value) = self.get(field) else { return Ok(default) };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok()).filter(|count| range.contains(count));
        count.ok_or_else(|| {
            bad(field, format!("{value} is not a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// One of a few words, each with its meaning.
    pub(super) fn word<T: Copy>(&self, field: &str, default: T, accepted: &[(&str, T)]) -> Result<T> {
        let Some(value) = self.get(field) else { return Ok(default) };
        let found = accepted.iter().find(|(word, _)| value.as_str() == Some(word));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<_> = accepted.iter().map(|(word, _)| *word).collect();
            bad(field, format!("{value} is not one of {} for {}", words.join(", "), self.class.name()))
        })
    }

    /// A list of numbers.
    pub(super) fn list(&self, field: &str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let entries = value.as_array().ok_or_else(|| bad(field, "expected a list of numbers"))?;
        entries.iter().map(|entry| number(field, entry)).collect::<Result<_>>().map(Some)
    }
}

/// A number, or the text that stands for an infinity.
fn number(field: &str, value: &Value) -> Result<f64> {
    match value.as_str() {
        Some("inf" | "Infinity") => Ok(f64::INFINITY),
        Some("-inf" | "-Infinity") => Ok(f64::NEG_INFINITY),
        _ => value.as_f64().ok_or_else(|| bad(field, format!("{value} is not a number"))),
    }
}
