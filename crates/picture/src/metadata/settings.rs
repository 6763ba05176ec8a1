//! The last line of the parameters text: `Steps: 20, Sampler: DDIM, Size: 512x512, ...`, values with a comma are quoted.

use super::{NEGATIVE_KEY, PROMPT_KEY, Parameters};
use std::fmt::Display;
use std::str::FromStr;

impl Parameters {
    /// All settings, in the order in which they are written.
    pub(super) fn settings(&self) -> Vec<(&str, String)> {
        let size = self.size.map(|(width, height)| format!("{width}x{height}"));
        let known = [
            ("Steps", text(&self.steps)),
            ("Sampler", text(&self.sampler)),
            ("Schedule type", text(&self.schedule_type)),
            ("CFG scale", text(&self.cfg_scale)),
            ("True CFG scale", text(&self.true_cfg_scale)),
            ("Guidance rescale", text(&self.guidance_rescale)),
            ("Eta", text(&self.eta)),
            ("Seed", text(&self.seed)),
            ("Size", size),
            ("Model hash", text(&self.model_hash)),
            ("Model", text(&self.model)),
            ("VAE", text(&self.vae)),
            ("Clip skip", text(&self.clip_skip)),
            ("Denoising strength", text(&self.denoising_strength)),
            ("Batch size", text(&self.batch_size)),
            ("Batch pos", text(&self.batch_index)),
        ];
        let known = known.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let other = self.other.iter().map(|(key, value)| (key.as_str(), value.clone()));
        known.chain(other).chain(text(&self.version).map(|version| ("Version", version))).collect()
    }

    /// Sets one setting. Unknown and malformed settings go to `other`.
    pub(super) fn set(&mut self, key: &str, value: String) {
        let known = match key {
            PROMPT_KEY => replace(&mut self.prompt, Some(value.clone())),
            NEGATIVE_KEY => replace(&mut self.negative_prompt, Some(Some(value.clone()))),
            "Steps" => fill(&mut self.steps, &value),
            "Sampler" => fill(&mut self.sampler, &value),
            "Schedule type" => fill(&mut self.schedule_type, &value),
            // Some tools write the second spelling.
            "CFG scale" | "Guidance Scale" => replace(&mut self.cfg_scale, finite(&value)),
            "True CFG scale" => replace(&mut self.true_cfg_scale, finite(&value)),
            "Guidance rescale" => replace(&mut self.guidance_rescale, finite(&value)),
            "Eta" => replace(&mut self.eta, finite(&value)),
            "Seed" => fill(&mut self.seed, &value),
            "Size" => replace(&mut self.size, size(&value).map(Some)),
            "Model hash" => fill(&mut self.model_hash, &value),
            "Model" => fill(&mut self.model, &value),
            "VAE" => fill(&mut self.vae, &value),
            "Clip skip" => fill(&mut self.clip_skip, &value),
            "Denoising strength" => replace(&mut self.denoising_strength, finite(&value)),
            "Batch size" => fill(&mut self.batch_size, &value),
            "Batch pos" => fill(&mut self.batch_index, &value),
            "Version" => fill(&mut self.version, &value),
            _ => false,
        };
        if !known {
            self.other.push((key.to_owned(), value));
        }
    }
}

/// A field as text. Floats have the fewest digits that give the same number again.
fn text<T: Display>(field: &Option<T>) -> Option<String> {
    field.as_ref().map(T::to_string)
}

/// Parses text into a field; false if it is malformed.
fn fill<T: FromStr>(field: &mut Option<T>, value: &str) -> bool {
    replace(field, value.parse().ok().map(Some))
}

fn replace<T>(field: &mut T, value: Option<T>) -> bool {
    value.is_some_and(|value| {
        *field = value;
        true
    })
}

/// A number, but not `NaN` or `inf`.
fn finite(value: &str) -> Option<Option<f64>> {
    value.parse().ok().filter(|number: &f64| number.is_finite()).map(Some)
}

/// `512x768`: width, then height.
fn size(value: &str) -> Option<(usize, usize)> {
    let (width, height) = value.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// A value in its written form: a JSON string if plain text could not be read back.
pub(super) fn quoted(value: &str) -> String {
    let is_plain = !value.contains([',', ':', '"']) && !value.contains(char::is_control) && value.trim() == value;
    if is_plain { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}

/// The settings in a line; anything else is skipped up to the next comma.
pub(super) fn read(line: &str) -> Vec<(&str, String)> {
    let mut settings = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        rest = match read_one(rest) {
            Some((key, value, after)) => {
                settings.push((key, value));
                after
            }
            None => after_comma(rest),
        };
    }
    settings
}

/// The first setting of a line, and what follows its comma.
fn read_one(line: &str) -> Option<(&str, String, &str)> {
    let (key, rest) = line.split_once(':')?;
    let key = key.trim();
    let rest = rest.trim_start();
    if !is_key(key) {
        return None;
    }
    if let Some((value, after)) = read_quoted(rest) {
        return Some((key, value, after));
    }
    let end = rest.find(',').unwrap_or(rest.len());
    Some((key, rest[..end].trim_end().to_owned(), after_comma(rest)))
}

/// At least two characters: a letter or digit first, then those that occur in names of settings.
fn is_key(key: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    key.chars().count() >= 2
        && key.starts_with(is_word)
        && key.chars().all(|c| is_word(c) || matches!(c, ' ' | '-' | '/'))
}

/// A JSON string that is a whole value.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    if !text.starts_with('"') {
        return None;
    }
    let mut strings = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let value = strings.next()?.ok()?;
    let after = text.get(strings.byte_offset()..)?.trim_start();
    (after.is_empty() || after.starts_with(',')).then(|| (value, after_comma(after)))
}

fn after_comma(text: &str) -> &str {
    text.split_once(',').map_or("", |(_, after)| after)
}
