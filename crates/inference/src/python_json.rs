//! Parses the JSON that Python writes, with bare infinities and NaN, which RFC 8259 does not allow.

use serde_json::{Result, Value};

/// Parses JSON with bare infinities, such as `"lambda_min_clipped": -Infinity`. They become the strings `"-Infinity"`
/// and `"Infinity"`; NaN becomes `null`.
///
/// Errors: those of serde_json for malformed JSON.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).or_else(|error| match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(&quote_infinities(text)),
        Err(_) => Err(error),
    })
}

/// Quotes bare infinities and replaces a bare NaN by `null`. Strings stay unchanged.
fn quote_infinities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut quoted = false;
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
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Map;

    #[test]
    fn python_infinities_are_read() {
        let value = parse(br#"{"a": -Infinity, "b": Infinity, "c": NaN, "d\"Infinity": 1}"#).unwrap();
        assert_eq!(value["a"], "-Infinity");
        assert_eq!(value["b"], "Infinity");
        assert!(value["c"].is_null());
        assert_eq!(value["d\"Infinity"], 1);
        assert!(parse(b"{").is_err());
        assert!(parse(b"{\"a\": \xff}").is_err());
    }

    proptest! {
        /// Standard JSON stays unchanged, whatever its strings contain.
        #[test]
        fn standard_json_stays_unchanged(keys in proptest::collection::vec(".*", 0..6), numbers in proptest::collection::vec(any::<i32>(), 6)) {
            let map: Map<String, Value> =
                keys.iter().zip(&numbers).map(|(key, number)| (key.clone(), Value::from(*number))).collect();
            let text = serde_json::to_string(&map).unwrap();
            prop_assert_eq!(quote_infinities(&text), text);
        }

        /// Any text gives a value or an error, never a panic.
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse(text.as_bytes());
        }
    }
}
