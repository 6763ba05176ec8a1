//! The settings that a picture file carries, for a page to show and to use again.

use easel_inference::sampling::Scheduler;
use easel_picture::{Parameters, read_metadata};
use easel_web_common::to_js;
use serde::Serialize;
use wasm_bindgen::prelude::*;

/// The settings of a picture under the names that `generate` takes.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    prompt: String,
    negative_prompt: Option<String>,
    steps: Option<usize>,
    guidance_scale: Option<f64>,
    /// As the file names it.
    scheduler: Option<String>,
    /// As the list of schedulers names it, if it is there.
    scheduler_name: Option<String>,
    /// In decimal digits: it has 64 bits, and a JavaScript number holds only 53.
    seed: Option<String>,
    width: Option<usize>,
    height: Option<usize>,
    strength: Option<f64>,
    model: Option<String>,
}

impl From<Parameters> for Settings {
    fn from(parameters: Parameters) -> Self {
        let scheduler = match parameters.sampler_and_schedule() {
            (Some(sampler), Some(schedule)) => Some(format!("{sampler} {schedule}")),
            (sampler, _) => sampler.map(str::to_owned),
        };
        let chosen = scheduler.as_deref().and_then(|label| label.parse::<Scheduler>().ok());
        Self {
            scheduler_name: chosen.and_then(|chosen| chosen.listed_name()),
            scheduler,
            negative_prompt: parameters.negative_prompt,
            steps: parameters.steps,
            guidance_scale: parameters.cfg_scale,
            seed: parameters.seed.map(|seed| seed.to_string()),
            width: parameters.size.map(|(width, _)| width),
            height: parameters.size.map(|(_, height)| height),
            strength: parameters.denoising_strength,
            model: parameters.model,
            prompt: parameters.prompt,
        }
    }
}

/// The settings inside a PNG, JPEG or WebP file as Easel and AUTOMATIC1111 write them; `undefined` if it has none.
#[wasm_bindgen(js_name = readSettings)]
pub fn read_settings(file: &[u8]) -> Result<JsValue, JsValue> {
    let Some(text) = read_metadata(file).map_err(|error| to_js(error.into()))? else { return Ok(JsValue::UNDEFINED) };
    let Ok(parameters) = text.parse::<Parameters>();
    serde_wasm_bindgen::to_value(&Settings::from(parameters)).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_picture_becomes_options() {
        let text = "a cat\nNegative prompt: a dog\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4, \
                    Seed: 18446744073709551615, Size: 128x64, Model: easel-emoji, Denoising strength: 0.5";
        let Ok(parameters) = text.parse::<Parameters>();
        let expected = Settings {
            prompt: "a cat".into(),
            negative_prompt: Some("a dog".into()),
            steps: Some(20),
            guidance_scale: Some(4.0),
            scheduler: Some("DPM++ 2M Karras".into()),
            scheduler_name: Some("dpm++2m-karras".into()),
            seed: Some(u64::MAX.to_string()),
            width: Some(128),
            height: Some(64),
            strength: Some(0.5),
            model: Some("easel-emoji".into()),
        };
        assert_eq!(Settings::from(parameters), expected);
    }
}
