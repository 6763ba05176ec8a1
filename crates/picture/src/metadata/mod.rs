//! Generation parameters as text, in the format of AUTOMATIC1111's web UI that every tool reads
//! (`modules/infotext_utils.py`): the prompt, a line with the negative prompt, and one line of settings.

mod settings;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A line with fewer settings than this counts as part of the prompt.
const SETTINGS_MIN: usize = 3;

/// The start of a negative prompt's first line.
const NEGATIVE: &str = "Negative prompt:";

/// Settings for a prompt that the lines above cannot represent, such as one with trailing blanks. Other tools read it,
/// too, since later settings replace earlier ones.
const PROMPT_KEY: &str = "Prompt";
const NEGATIVE_KEY: &str = "Negative prompt";

/// All parameters of a picture, enough to generate the same bytes again.
///
/// `Display` writes them and `FromStr` reads them without ever failing: text without settings belongs to the prompt, and
/// malformed settings are kept in `other`. With at least three settings, reading gives the written value back, provided that
/// the keys in `other` are valid names and not those of other fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// The prompt.
    pub prompt: String,
    /// The negative prompt; `None` if there was none, which some models distinguish from an empty one.
    pub negative_prompt: Option<String>,
    /// Denoising steps.
    pub steps: Option<usize>,
    /// The sampler's name.
    pub sampler: Option<String>,
    /// The spacing of its sigmas: `Karras`, `Exponential`, ...
    pub schedule_type: Option<String>,
    /// The guidance scale.
    pub cfg_scale: Option<f64>,
    /// The scale of classifier-free guidance, for models that take the guidance scale as an input.
    pub true_cfg_scale: Option<f64>,
    /// The guidance rescale factor, 0 to 1.
    pub guidance_rescale: Option<f64>,
    /// DDIM's eta, 0 to 1.
    pub eta: Option<f64>,
    /// The seed of this picture.
    pub seed: Option<u64>,
    /// Width and height in pixels.
    pub size: Option<(usize, usize)>,
    /// The model's name.
    pub model: Option<String>,
    /// The first digits of the SHA-256 of the model's file.
    pub model_hash: Option<String>,
    /// The autoencoder: `tiny`, `full`, or a file's name.
    pub vae: Option<String>,
    /// The CLIP layer used, counted from the end: 1 is the last.
    pub clip_skip: Option<usize>,
    /// How much the initial picture was changed, 0 to 1.
    pub denoising_strength: Option<f64>,
    /// The number of pictures in the batch.
    pub batch_size: Option<usize>,
    /// This picture's index in the batch, from 0.
    pub batch_index: Option<usize>,
    /// All other settings, in order.
    pub other: Vec<(String, String)>,
    /// The program and its version.
    pub version: Option<String>,
}

impl Parameters {
    /// The version that this program writes.
    pub const VERSION: &str = concat!("easel ", env!("CARGO_PKG_VERSION"));

    /// The sampler and the schedule type, separated if an older text has both in the sampler's name, as in
    /// `DPM++ 2M Karras`. `Automatic` means no schedule type.
    pub fn sampler_and_schedule(&self) -> (Option<&str>, Option<&str>) {
        const SUFFIXES: [&str; 3] = ["Karras", "Exponential", "SGM Uniform"];
        let named = self.schedule_type.as_deref();
        let explicit = named.filter(|name| !name.eq_ignore_ascii_case("automatic"));
        let Some(sampler) = self.sampler.as_deref() else { return (None, explicit) };
        let combined = SUFFIXES.into_iter().find_map(|suffix| Some((sampler.strip_suffix(suffix)?.trim_end(), suffix)));
        match combined {
            Some((sampler, suffix)) if !sampler.is_empty() && named.is_none() => (Some(sampler), Some(suffix)),
            _ => (Some(sampler), explicit),
        }
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.prompt.clone();
        if let Some(negative) = &self.negative_prompt {
            lines += &format!("\n{NEGATIVE} {negative}");
        }
        let mut read_back = split_prompts(&lines);
        if read_back.1.is_some() && self.negative_prompt.is_none() {
            // A line of the prompt would read as a negative prompt: put the prompt into the settings instead.
            lines.clear();
            read_back = split_prompts("");
        }
        let mut settings = self.settings();
        if read_back.0 != self.prompt {
            settings.push((PROMPT_KEY, self.prompt.clone()));
        }
        if read_back.1 != self.negative_prompt {
            settings.extend(self.negative_prompt.clone().map(|negative| (NEGATIVE_KEY, negative)));
        }
        let settings: Vec<String> =
            settings.iter().map(|(key, value)| format!("{key}: {}", settings::quoted(value))).collect();
        let lines = lines.trim();
        let settings = settings.join(", ");
        let between = if lines.is_empty() || settings.is_empty() { "" } else { "\n" };
        write!(f, "{lines}{between}{settings}")
    }
}

impl FromStr for Parameters {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let text = text.trim();
        let (above, last) = text.rsplit_once('\n').unwrap_or(("", text));
        let settings = settings::read(last);
        let (prompts, settings) = if settings.len() < SETTINGS_MIN { (text, Vec::new()) } else { (above, settings) };
        let (prompt, negative_prompt) = split_prompts(prompts);
        let mut parameters = Self { prompt, negative_prompt, ..Self::default() };
        for (key, value) in settings {
            parameters.set(key, value);
        }
        Ok(parameters)
    }
}

/// The prompt and the negative prompt, which starts at its first labelled line. Lines are trimmed.
fn split_prompts(text: &str) -> (String, Option<String>) {
    let mut prompt = Vec::new();
    let mut negative = None::<Vec<&str>>;
    for line in text.trim().split('\n').map(str::trim) {
        match (line.strip_prefix(NEGATIVE), &mut negative) {
            (Some(first), None) => negative = Some(vec![first.trim()]),
            (Some(next), Some(lines)) => lines.push(next.trim()),
            (None, Some(lines)) => lines.push(line),
            (None, None) => prompt.push(line),
        }
    }
    (prompt.join("\n"), negative.map(|lines| lines.join("\n")))
}
