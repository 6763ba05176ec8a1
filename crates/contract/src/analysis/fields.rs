//! The fields of the analysis family as they are in JSON. What is too long is refused while it is read.

use crate::limits::PROMPTS_MAX;
use crate::service::{Region, Spot};
use crate::wire::from_base64;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;
use utoipa::ToSchema;

/// One prompt, or a list of them. What is neither is read as well, because all of that has one error.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Prompts {
    One(String),
    Several(Vec<String>),
    /// Missing, empty, or of another type.
    #[default]
    Invalid,
}

/// A prompt, or a list of at most 16.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes `Prompts`")]
pub(super) enum PromptOrPrompts {
    One(String),
    Several(Vec<String>),
}

/// A PNG in base64, or a list of them for a list of prompts.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the answer, which is written in pieces")]
pub(super) enum PictureOrPictures {
    One(String),
    Several(Vec<String>),
}

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self::Invalid)
    }
}

impl<'de> Visitor<'de> for Prompts {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self, E> {
        Ok(if text.trim().is_empty() { Self::Invalid } else { Self::One(text.to_owned()) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        let mut prompts = Vec::new();
        let mut is_valid = true;
        while let Some(item) = items.next_element()? {
            match item {
                Self::One(_) if prompts.len() == PROMPTS_MAX => {
                    return Err(A::Error::custom(format_args!("more than {PROMPTS_MAX} prompts")));
                }
                Self::One(prompt) => prompts.push(prompt),
                Self::Several(_) | Self::Invalid => is_valid = false,
            }
        }
        Ok(if is_valid && !prompts.is_empty() { Self::Several(prompts) } else { Self::Invalid })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::Invalid)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(Self::Invalid)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(Self::Invalid)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(Self::Invalid)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(Self::Invalid)
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(Self::Invalid)
    }
}

/// A list of at most `MAX` entries.
#[derive(Debug, PartialEq)]
pub(crate) struct AtMost<const MAX: usize, T>(pub(crate) Vec<T>);

impl<const MAX: usize, T> Default for AtMost<MAX, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, const MAX: usize, T: Deserialize<'de>> Deserialize<'de> for AtMost<MAX, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Entries::<MAX, T>(PhantomData))
    }
}

/// Reads the entries of a list.
struct Entries<const MAX: usize, T>(PhantomData<T>);

impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for Entries<MAX, T> {
    type Value = AtMost<MAX, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = items.next_element()? {
            if entries.len() == MAX {
                return Err(A::Error::custom(format_args!("more than {MAX} entries")));
            }
            entries.push(entry);
        }
        Ok(AtMost(entries))
    }
}

/// A region: `[x, y]` for a point, `[x1, y1, x2, y2]` for a box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Roi(pub(crate) Region);

impl<'de> Deserialize<'de> for Roi {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self(Region::default()))
    }
}

impl<'de> Visitor<'de> for Roi {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[x, y] or [x1, y1, x2, y2]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        let mut numbers = [0.0; 4];
        let mut count = 0;
        while let Some(number) = items.next_element::<f64>()? {
            if let Some(place) = numbers.get_mut(count) {
                *place = number;
            }
            count += 1;
        }
        let [x, y, right, bottom] = numbers;
        let start = Spot { x, y };
        match count {
            2 => Ok(Self(Region { start, end: None })),
            4 => Ok(Self(Region { start, end: Some(Spot { x: right, y: bottom }) })),
            _ => Err(A::Error::custom(format_args!("{count} numbers, expected [x, y] or [x1, y1, x2, y2]"))),
        }
    }
}

/// A picture in base64, with or without the head of a `data:` URL.
#[derive(Debug)]
pub(super) struct SentPicture {
    /// As it was sent.
    pub(super) text: String,
    /// The file.
    pub(super) bytes: Bytes,
}

impl<'de> Deserialize<'de> for SentPicture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self { text: String::new(), bytes: Bytes::new() })
    }
}

impl Visitor<'_> for SentPicture {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self, E> {
        let bytes = from_base64(text).ok_or_else(|| E::custom("must be base64"))?.into();
        Ok(Self { text: text.to_owned(), bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(json: &str) -> Result<Prompts, String> {
        serde_json::from_str(json).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn whatever_is_no_prompt_is_read_to_its_end() {
        assert_eq!(prompts("\"a cat\""), Ok(Prompts::One("a cat".into())));
        assert_eq!(prompts("[\"a cat\", \"a dog\"]"), Ok(Prompts::Several(vec!["a cat".into(), "a dog".into()])));
        for json in
            ["\" \"", "[]", "[\"a cat\", \"\"]", "[[\"a cat\"]]", "{\"a\":[1]}", "null", "true", "-1", "1", "0.5"]
        {
            assert_eq!(prompts(json), Ok(Prompts::Invalid), "{json}");
        }
        let many = format!("[{}\"a cat\"]", "\"a cat\",".repeat(PROMPTS_MAX));
        assert!(prompts(&many).unwrap_err().starts_with("more than 16 prompts"));
    }

    #[test]
    fn regions_have_two_or_four_numbers() {
        let read = |json: &str| {
            serde_json::from_str::<AtMost<2, Roi>>(json).map_err(|error: serde_json::Error| error.to_string())
        };
        let regions = read("[[1, 2.5], [1, 2, 3, 4]]").unwrap().0;
        assert_eq!(regions[0].0, Region { start: Spot { x: 1.0, y: 2.5 }, end: None });
        assert_eq!(regions[1].0.end, Some(Spot { x: 3.0, y: 4.0 }));
        for (json, reason) in [
            ("[[1, 2, 3]]", "3 numbers, expected [x, y] or [x1, y1, x2, y2]"),
            ("[[]]", "0 numbers, expected"),
            ("[[1, 2, 3, 4, 5]]", "5 numbers, expected"),
            ("[[1, 2], [1, 2], [1, 2]]", "more than 2 entries"),
            ("[[1, \"2\"]]", "invalid type: string"),
            ("[7]", "invalid type: integer `7`, expected [x, y]"),
            ("7", "invalid type: integer `7`, expected a list"),
        ] {
            let refused = read(json).unwrap_err();
            assert!(refused.starts_with(reason), "{json}: {refused}");
        }
    }
}
