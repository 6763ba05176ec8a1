//! Typed reading of a scheduler's JSON fields, and of the JSON that Python writes.

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

/// Parses the JSON that Python writes, in which infinities stand bare: `"lambda_min_clipped": -Infinity`.
pub(super) fn parse_python_json(text: &str) -> Result<Value> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut quoted) = (text, false);
    while let Some(next) = rest.chars().next() {
        let bare = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !quoted && rest.starts_with(word));
        let taken = match (bare, next) {
            (Some("NaN"), _) => {
                out.push_str("null");
                3
            }
            (Some(word), _) => {
                out.extend(["\"", word, "\""]);
                word.len()
            }
            // An escape inside a string: its second character is never a closing quote.
            (None, '\\') => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            (None, next) => {
                quoted ^= next == '"';
                next.len_utf8()
            }
        };
        if bare.is_none() {
            out.push_str(&rest[..taken]);
        }
        rest = &rest[taken..];
    }
    serde_json::from_str(&out).map_err(|error| Error::format(FILE, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn python_infinities_are_read() {
        let value = parse_python_json(r#"{"a": -Infinity, "b": Infinity, "c": NaN, "d\"Infinity": 1}"#).unwrap();
        assert_eq!(value["a"], "-Infinity");
        assert_eq!(value["b"], "Infinity");
        assert!(value["c"].is_null());
        assert_eq!(value["d\"Infinity"], 1);
        assert!(parse_python_json("{").unwrap_err().to_string().starts_with(FILE));
    }

    proptest! {
        /// Plain JSON comes through unchanged, whatever its strings hold.
        #[test]
        fn json_round_trips(keys in proptest::collection::vec(".*", 0..6), numbers in proptest::collection::vec(any::<i32>(), 6)) {
            let map: Map<String, Value> =
                keys.iter().zip(&numbers).map(|(key, number)| (key.clone(), Value::from(*number))).collect();
            let text = serde_json::to_string(&map).unwrap();
            prop_assert_eq!(parse_python_json(&text).unwrap(), Value::Object(map));
        }

        /// Any text gives a value or an error, never a panic.
        #[test]
        fn any_text_is_survived(text in ".*") {
            let _ = parse_python_json(&text);
        }
    }
}
