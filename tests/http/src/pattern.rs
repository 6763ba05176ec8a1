//! Texts with placeholders.

use crate::picture;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

/// The values that placeholders remember.
pub(crate) type Names = BTreeMap<String, String>;

#[derive(Debug)]
enum Part<'a> {
    Literal(&'a str),
    Placeholder { name: Option<&'a str>, kind: &'a str },
}

/// Replaces every `{{name}}` in a text by its remembered value.
pub(crate) fn filled(text: &str, names: &Names) -> String {
    names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

/// Whether `text` matches `pattern`; the values of its placeholders are added to `names`.
pub(crate) fn matches(pattern: &str, text: &str, names: &mut Names) -> bool {
    let pattern = filled(pattern, names);
    let mut found = Vec::new();
    if !follow(&parts(&pattern), text, &mut found) {
        return false;
    }
    names.extend(found);
    true
}

fn parts(pattern: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some((before, (placeholder, after))) =
        rest.split_once("{{").and_then(|(before, after)| Some((before, after.split_once("}}")?)))
    {
        let (name, kind) = match placeholder.split_once('=') {
            Some((name, kind)) => (Some(name), kind),
            None => (None, placeholder),
        };
        parts.extend([Part::Literal(before), Part::Placeholder { name, kind }]);
        rest = after;
    }
    parts.push(Part::Literal(rest));
    parts
}

fn follow(parts: &[Part<'_>], text: &str, found: &mut Vec<(String, String)>) -> bool {
    match parts.split_first() {
        None => text.is_empty(),
        Some((Part::Literal(literal), rest)) => {
            text.strip_prefix(literal).is_some_and(|text| follow(rest, text, found))
        }
        Some((Part::Placeholder { kind: "...", .. }, rest)) => {
            text.char_indices().map(|(i, _)| i).chain([text.len()]).any(|i| follow(rest, &text[i..], found))
        }
        Some((Part::Placeholder { name, kind }, rest)) => {
            let length = text.find(|c| !belongs(kind, c)).unwrap_or(text.len());
            let (value, after) = text.split_at(length);
            found.extend(name.map(|name| (name.to_owned(), value.to_owned())));
            is_one(kind, value) && follow(rest, after, found)
        }
    }
}

fn belongs(kind: &str, c: char) -> bool {
    match kind {
        "uuid" => c.is_ascii_hexdigit() || c == '-',
        "time" => c.is_ascii_digit() || "-T:.Z".contains(c),
        "int" => c.is_ascii_digit(),
        "hex" => c.is_ascii_hexdigit(),
        "png" => c.is_ascii_alphanumeric() || "+/=".contains(c),
        "text" => c != '"',
        _ => false,
    }
}

fn is_one(kind: &str, value: &str) -> bool {
    let shape = |value: &str| value.replace(|c: char| c.is_ascii_hexdigit(), "0");
    match kind {
        "uuid" => shape(value) == "00000000-0000-0000-0000-000000000000",
        "time" => shape(value).starts_with("0000-00-00T00:00:00") && value.ends_with('Z'),
        "png" => STANDARD.decode(value).is_ok_and(|bytes| picture::size(&bytes).is_some()),
        "int" | "hex" | "text" => !value.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_remember_and_compare() {
        let mut names = Names::new();
        assert!(matches("id {{id=int}}!", "id 42!", &mut names));
        assert!(matches("{{id}} {{id}}", "42 42", &mut names));
        assert!(!matches("{{id}}", "43", &mut names));
        assert!(matches("{\"a\":{\"at\":\"{{time}}\"}}", "{\"a\":{\"at\":\"2026-11-21T10:00:00.123Z\"}}", &mut names));
        assert!(!matches("{{time}}", "2026-11-21", &mut names));
        assert!(!matches("{{uuid}}", "00000000-0000-0000-0000", &mut names));
        assert!(!matches("{{unknown}}", "", &mut names));
    }

    #[test]
    fn anything_may_stand_between() {
        let mut names = Names::new();
        assert!(matches("a{{...}}c", "a\nbcbc", &mut names));
        assert!(!matches("a{{...}}c", "a\nbcb", &mut names));
    }
}
