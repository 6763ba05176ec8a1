//! Generation parameters as text, in the format that AUTOMATIC1111's web UI writes into its pictures and that every tool
//! reads (`modules/infotext_utils.py`): the prompt, a line with the negative prompt, and one line of settings.

mod settings;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A line of fewer settings than this is not told from a prompt.
const SETTINGS_MIN: usize = 3;

/// What precedes a negative prompt on its first line.
const NEGATIVE: &str = "Negative prompt:";

/// Keys that carry a prompt that the lines above cannot, such as one with blanks at its end. Their readers take them for
/// the prompt too, since later settings replace earlier ones.
const PROMPT_KEY: &str = "Prompt";
const NEGATIVE_KEY: &str = "Negative prompt";

/// Everything that made a picture: enough to make the same bytes again.
///
/// Written with `Display` and read with `FromStr`, which never fails: text without settings belongs to the prompt, and a
/// setting that cannot be understood is kept in `other`. With three settings or more, what is written is read back as the same
/// value, provided that the keys in `other` are names that the format can spell and none of those of the other fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// What was drawn.
    pub prompt: String,
    /// What was not to be drawn; `None` if nothing was said of it, which is not the same as an empty text everywhere.
    pub negative_prompt: Option<String>,
    /// Denoising steps.
    pub steps: Option<usize>,
    /// The sampler's name.
    pub sampler: Option<String>,
    /// How its sigmas are spaced: `Karras`, `Exponential`, ...
    pub schedule_type: Option<String>,
    /// The guidance scale.
    pub cfg_scale: Option<f64>,
    /// The scale of classifier-free guidance, for models that take the guidance scale as an input.
    pub true_cfg_scale: Option<f64>,
    /// How far guidance was pulled back to the unguided spread, 0 to 1.
    pub guidance_rescale: Option<f64>,
    /// The DDIM noise share, 0 to 1.
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
    /// The CLIP layer that was read, counted from the end: 1 is the last one.
    pub clip_skip: Option<usize>,
    /// How far the initial picture was left behind, 0 to 1.
    pub denoising_strength: Option<f64>,
    /// The number of pictures in the batch.
    pub batch_size: Option<usize>,
    /// Which of them this one is, from 0.
    pub batch_index: Option<usize>,
    /// All other settings, in their order.
    pub other: Vec<(String, String)>,
    /// The program and its version.
    pub version: Option<String>,
}

impl Parameters {
    /// What this program writes as its version.
    pub const VERSION: &str = concat!("easel ", env!("CARGO_PKG_VERSION"));

    /// The sampler and the schedule type apart, also where an older text has both in the sampler's name, as in
    /// `DPM++ 2M Karras`. `Automatic` is no schedule type.
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
            // A line of the prompt would be taken for a negative one: no lines then, the settings carry the prompt.
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

/// The prompt and the negative prompt, which begins at the first line that says so. Lines lose the blanks around them.
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
