//! Parses the settings text of AUTOMATIC1111's pictures (`modules/infotext_utils.py`): the prompt, lines with the
//! negative prompt, and one line of `Key: value` pairs. Values with commas are quoted as in JSON.

/// A line with fewer settings than this belongs to the prompt.
const SETTINGS_MIN: usize = 3;

/// The label of the negative prompt.
const NEGATIVE: &str = "Negative prompt:";

/// A parsed settings text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Infotext {
    pub(super) prompt: String,
    pub(super) negative_prompt: String,
    pub(super) settings: Vec<(String, String)>,
}

impl Infotext {
    /// Parses a text. Anything that is not a setting belongs to the prompt.
    pub(super) fn read(text: &str) -> Self {
        let text = text.trim();
        let (above, last) = text.rsplit_once('\n').unwrap_or(("", text));
        let settings = pairs(last);
        let (prompts, settings) = if settings.len() < SETTINGS_MIN { (text, Vec::new()) } else { (above, settings) };
        let mut read = Self { settings, ..Self::default() };
        let mut is_negative = false;
        for line in prompts.lines().map(str::trim) {
            let rest = line.strip_prefix(NEGATIVE);
            is_negative |= rest.is_some();
            let part = if is_negative { &mut read.negative_prompt } else { &mut read.prompt };
            if !part.is_empty() {
                part.push('\n');
            }
            part.push_str(rest.unwrap_or(line).trim());
        }
        read
    }

    /// The value of a setting.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let mut settings = self.settings.iter();
        settings.find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The value of a numeric setting.
    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }
}

/// The pairs of a line; empty if the line contains anything else.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let Some((key, after)) = rest.split_once(':') else { return Vec::new() };
        let after = after.trim_start();
        let Some((value, after)) = value(after) else { return Vec::new() };
        pairs.push((key.trim().to_owned(), value));
        rest = after.trim_start();
    }
    pairs
}

/// A value, and the text after its comma.
fn value(text: &str) -> Option<(String, &str)> {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let value = values.next()?.ok()?;
        let after = &text[values.byte_offset()..];
        return Some((value, after.trim_start().strip_prefix(',').unwrap_or(after)));
    }
    let (value, after) = text.split_once(',').unwrap_or((text, ""));
    Some((value.trim().to_owned(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_parsed() {
        let text = "a cat, sitting\non a mat\nNegative prompt: a dog\nor two\n\
                    Steps: 20, Sampler: DPM++ 2M, CFG scale: 7.5, Seed: 5, Size: 64x64, Lora: \"a: 1, \\\"b\\\"\", Model: x";
        let read = Infotext::read(text);
        assert_eq!(
            (read.prompt.as_str(), read.negative_prompt.as_str()),
            ("a cat, sitting\non a mat", "a dog\nor two")
        );
        assert_eq!((read.get("Sampler"), read.number("CFG scale")), (Some("DPM++ 2M"), Some(7.5)));
        assert_eq!((read.get("Lora"), read.get("Model")), (Some("a: 1, \"b\""), Some("x")));
        assert_eq!(read.get("Size"), Some("64x64"));
    }

    #[test]
    fn a_text_without_settings_is_a_prompt() {
        for text in ["a cat", "", "a: b", "Steps: 20, then, more: words", "a\nb: \"", "é: \"é\", b: \"c"] {
            let read = Infotext::read(text);
            assert_eq!((read.prompt.as_str(), read.settings), (text, Vec::new()), "{text}");
        }
    }
}
