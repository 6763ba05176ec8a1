//! Reads the configuration files of diffusers and transformers (`config.json`, `scheduler_config.json`): typed fields,
//! with the library's default for missing ones, and errors that name the field of an invalid value.

use crate::tensor::Activation;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// The fields of one configuration file. A field that is `null` counts as missing.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    file: &'a str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The fields of `json`. `file` is its name in errors.
    pub(crate) fn new(file: &'a str, json: &'a Value) -> Result<Self> {
        json.as_object().map(|map| Self::of(file, map)).ok_or_else(|| Error::Config {
            file: file.to_owned(),
            field: "(root)".to_owned(),
            reason: "expected an object of fields".to_owned(),
        })
    }

    /// The fields of an object.
    pub(crate) fn of(file: &'a str, map: &'a Map<String, Value>) -> Self {
        Self { file, map }
    }

    /// An error about `field`.
    pub(crate) fn error(&self, field: &str, reason: impl Into<String>) -> Error {
        Error::Config { file: self.file.to_owned(), field: field.to_owned(), reason: reason.into() }
    }

    /// The value of `field`, unless it is missing or `null`.
    pub(crate) fn value(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// Whether `field` is explicitly `null`.
    pub(crate) fn is_null(&self, field: &str) -> bool {
        self.map.get(field).is_some_and(Value::is_null)
    }

    /// A number.
    pub(crate) fn number(&self, field: &str, default: f64) -> Result<f64> {
        self.optional_number(field).map(|value| value.unwrap_or(default))
    }

    /// An optional number.
    pub(crate) fn optional_number(&self, field: &str) -> Result<Option<f64>> {
        self.typed(field, "a number", Value::as_f64)
    }

    /// A number or an infinity, which is a string in JSON.
    pub(crate) fn extended_number(&self, field: &str, default: f64) -> Result<f64> {
        self.typed(field, "a number or an infinity", as_extended).map(|value| value.unwrap_or(default))
    }

    /// An optional list of numbers.
    pub(crate) fn numbers(&self, field: &str) -> Result<Option<Vec<f64>>> {
        self.typed(field, "a list of numbers", |value| list(value, Value::as_f64))
    }

    /// A whole number within `range`.
    pub(crate) fn count(&self, field: &str, default: usize, range: RangeInclusive<usize>) -> Result<usize> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let within = |value: &Value| as_usize(value).filter(|count| range.contains(count));
        self.typed(field, &wanted, within).map(|value| value.unwrap_or(default))
    }

    /// One of a few words, mapped to its meaning.
    pub(crate) fn word<T: Copy>(&self, field: &str, default: T, accepted: &[(&str, T)]) -> Result<T> {
        let Some(value) = self.value(field) else { return Ok(default) };
        let found = accepted.iter().find(|(word, _)| value.as_str() == Some(word));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<_> = accepted.iter().map(|(word, _)| *word).collect();
            self.error(field, format!("expected one of {}, got {}", words.join(", "), shorten(value)))
        })
    }

    /// A whole number, possibly 0.
    pub(crate) fn integer(&self, field: &str, default: usize) -> Result<usize> {
        self.typed(field, "a whole number", as_usize).map(|value| value.unwrap_or(default))
    }

    /// A whole number of at least 1.
    pub(crate) fn size(&self, field: &str, default: usize) -> Result<usize> {
        self.optional_size(field).map(|value| value.unwrap_or(default))
    }

    /// An optional whole number of at least 1.
    pub(crate) fn optional_size(&self, field: &str) -> Result<Option<usize>> {
        self.typed(field, "a whole number of at least 1", as_size)
    }

    /// True or false.
    pub(crate) fn flag(&self, field: &str, default: bool) -> Result<bool> {
        self.typed(field, "true or false", Value::as_bool).map(|value| value.unwrap_or(default))
    }

    /// An optional text.
    pub(crate) fn text(&self, field: &str) -> Result<Option<&'a str>> {
        self.typed(field, "a text", Value::as_str)
    }

    /// A list of whole numbers of at least 1.
    pub(crate) fn sizes(&self, field: &str, default: &[usize]) -> Result<Vec<usize>> {
        let wanted = "a list of whole numbers of at least 1";
        Ok(self.typed(field, wanted, |value| list(value, as_size))?.unwrap_or_else(|| default.to_vec()))
    }

    /// A list of whole numbers, possibly 0.
    pub(crate) fn integers(&self, field: &str, default: &[usize]) -> Result<Vec<usize>> {
        let wanted = "a list of whole numbers";
        Ok(self.typed(field, wanted, |value| list(value, as_usize))?.unwrap_or_else(|| default.to_vec()))
    }

    /// A list of texts.
    pub(crate) fn texts(&self, field: &str, default: &[&'a str]) -> Result<Vec<&'a str>> {
        let found = self.typed(field, "a list of texts", |value| list(value, Value::as_str))?;
        Ok(found.unwrap_or_else(|| default.to_vec()))
    }

    /// One whole number for all `count` blocks, or a list of one per block.
    pub(crate) fn size_per_block(&self, field: &str, count: usize, default: usize) -> Result<Vec<usize>> {
        self.per_block(field, count, default, "a whole number of at least 1", as_size)
    }

    /// True or false for all `count` blocks, or a list of one per block.
    pub(crate) fn flag_per_block(&self, field: &str, count: usize, default: bool) -> Result<Vec<bool>> {
        self.per_block(field, count, default, "true or false", Value::as_bool)
    }

    /// An activation function by its name in diffusers or transformers.
    pub(crate) fn activation(&self, field: &str, default: Activation) -> Result<Activation> {
        match self.text(field)?.map(str::to_ascii_lowercase).as_deref() {
            None => Ok(default),
            Some("relu") => Ok(Activation::Relu),
            Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu") => Ok(Activation::Gelu),
            Some("quick_gelu") => Ok(Activation::QuickGelu),
            Some("gelu_new" | "gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
            Some(other) => Err(self.error(field, format!("{other:?} is not one of relu, silu, gelu, quick_gelu"))),
        }
    }

    /// For a field with a single supported value: missing, `null` or exactly that value.
    pub(crate) fn only(&self, field: &str, supported: Value) -> Result<()> {
        match self.value(field) {
            None => Ok(()),
            Some(value) if *value == supported => Ok(()),
            Some(value) => Err(self.error(field, format!("{value} is not supported, only {supported}"))),
        }
    }

    fn typed<T>(&self, field: &str, wanted: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.value(field) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.error(field, format!("expected {wanted}, got {}", shorten(value))))
    }

    fn per_block<T: Clone>(
        &self,
        field: &str,
        count: usize,
        default: T,
        wanted: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Vec<T>> {
        let Some(value) = self.value(field) else { return Ok(vec![default; count]) };
        let read = match value {
            Value::Array(_) => list(value, read).filter(|list| list.len() == count),
            _ => read(value).map(|one| vec![one; count]),
        };
        let reason = || format!("expected {wanted} or a list of {count}, got {}", shorten(value));
        read.ok_or_else(|| self.error(field, reason()))
    }
}

fn as_usize(value: &Value) -> Option<usize> {
    // Some files write whole numbers as floats.
    let whole = value.as_u64().or_else(|| value.as_f64().filter(|x| *x >= 0.0 && x.fract() == 0.0).map(|x| x as u64));
    whole.filter(|number| *number <= u64::from(u32::MAX)).and_then(|number| usize::try_from(number).ok())
}

fn as_extended(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("inf" | "Infinity") => Some(f64::INFINITY),
        Some("-inf" | "-Infinity") => Some(f64::NEG_INFINITY),
        _ => value.as_f64(),
    }
}

fn as_size(value: &Value) -> Option<usize> {
    as_usize(value).filter(|size| *size > 0)
}

fn list<'a, T>(value: &'a Value, read: impl Fn(&'a Value) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(read).collect()
}

/// A value as text, truncated to fit a message of one line.
fn shorten(value: &Value) -> String {
    const LENGTH: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LENGTH { text } else { text.chars().take(LENGTH).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn missing_and_null_take_the_default() {
        let json = json!({"a": null, "b": 3, "c": [1, 2]});
        let fields = Fields::new("config.json", &json).unwrap();
        assert_eq!(fields.size("a", 7).unwrap(), 7);
        assert_eq!(fields.size("missing", 7).unwrap(), 7);
        assert_eq!(fields.size("b", 7).unwrap(), 3);
        assert_eq!(fields.size_per_block("b", 2, 1).unwrap(), [3, 3]);
        assert_eq!(fields.size_per_block("c", 2, 1).unwrap(), [1, 2]);
        assert!(fields.is_null("a") && !fields.is_null("missing"));
    }

    #[test]
    fn errors_name_the_file_the_field_and_what_was_expected() {
        let json = json!({"a": "x", "b": 0, "c": [1, 2], "d": "mish", "e": "fourier"});
        let fields = Fields::new("unet/config.json", &json).unwrap();
        let text = message(fields.size("a", 1));
        assert_eq!(text, "unet/config.json: field a: expected a whole number of at least 1, got \"x\"");
        assert!(message(fields.size("b", 1)).contains("at least 1, got 0"));
        assert!(message(fields.size_per_block("c", 3, 1)).contains("a list of 3, got [1,2]"));
        assert!(message(fields.activation("d", Activation::Silu)).contains("\"mish\" is not one of"));
        assert!(message(fields.only("e", json!("positional"))).contains("only \"positional\""));
        assert!(Fields::new("config.json", &json!([1])).is_err());
        assert!(message(fields.count("b", 1, 1..=9)).contains("a whole number from 1 to 9, got 0"));
        assert!(message(fields.word("d", 0, &[("relu", 1), ("silu", 2)])).contains("one of relu, silu, got \"mish\""));
        assert!(message(fields.numbers("a")).contains("a list of numbers"));
    }

    #[test]
    fn infinities_are_texts() {
        let json = json!({"a": "-Infinity", "b": "inf", "c": 2.5});
        let fields = Fields::new("scheduler_config.json", &json).unwrap();
        let read = |field: &str| fields.extended_number(field, 7.0).unwrap();
        assert_eq!(["a", "b", "c", "d"].map(read), [f64::NEG_INFINITY, f64::INFINITY, 2.5, 7.0]);
        assert!(fields.number("a", 0.0).is_err());
    }

    proptest! {
        #[test]
        fn no_number_and_no_text_panics(number: f64, text: String) {
            for json in [json!({"x": number}), json!({"x": text.clone()}), json!({"x": [number, text]})] {
                let fields = Fields::new("config.json", &json).unwrap();
                let _ = (fields.size("x", 1), fields.number("x", 0.0), fields.sizes("x", &[]), fields.text("x"));
                let _ = (fields.size_per_block("x", 2, 1), fields.activation("x", Activation::Relu));
            }
        }
    }
}
