//! Parameters written and read: ours, the web UI's, and those of other tools.

use super::Parameters;
use proptest::prelude::*;

fn read(text: &str) -> Parameters {
    let Ok(parameters) = text.parse();
    parameters
}

/// The embedded model's parameters.
fn emoji() -> Parameters {
    Parameters {
        prompt: "a red apple".into(),
        negative_prompt: Some("blurry, dark".into()),
        steps: Some(20),
        sampler: Some("DDIM".into()),
        cfg_scale: Some(4.0),
        seed: Some(1),
        size: Some((128, 96)),
        model: Some("easel-emoji".into()),
        other: vec![("Note".into(), "a, b: \"c\"".into())],
        version: Some("easel 0.1.0".into()),
        ..Parameters::default()
    }
}

#[test]
fn the_text_matches_the_web_ui() {
    let text = "a red apple\nNegative prompt: blurry, dark\nSteps: 20, Sampler: DDIM, CFG scale: 4, Seed: 1, \
        Size: 128x96, Model: easel-emoji, Note: \"a, b: \\\"c\\\"\", Version: easel 0.1.0";
    assert_eq!(emoji().to_string(), text);
    assert_eq!(read(text), emoji());
    assert!(Parameters::VERSION.starts_with("easel 0."));
}

#[test]
fn texts_of_the_web_ui_are_read() {
    let text = "masterpiece, (a cat:1.2)\nSteps: at the museum\nwide shot\nNegative prompt: blurry\nlow quality\n\
        Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 965400086, Size: 512x768, \
        Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, VAE hash: 735e4c3a44, VAE: vae-ft-mse.safetensors, \
        Denoising strength: 0.7, Clip skip: 2, Hires upscale: 2, Hires upscaler: Latent, \
        Lora hashes: \"add: abc123, more: def456\", Version: v1.9.4";
    let parameters = read(text);
    assert_eq!(parameters.prompt, "masterpiece, (a cat:1.2)\nSteps: at the museum\nwide shot");
    assert_eq!(parameters.negative_prompt.as_deref(), Some("blurry\nlow quality"));
    assert_eq!((parameters.steps, parameters.seed, parameters.size), (Some(20), Some(965_400_086), Some((512, 768))));
    assert_eq!(parameters.sampler_and_schedule(), (Some("DPM++ 2M"), Some("Karras")));
    assert_eq!((parameters.cfg_scale, parameters.denoising_strength), (Some(7.0), Some(0.7)));
    assert_eq!((parameters.clip_skip, parameters.vae.as_deref()), (Some(2), Some("vae-ft-mse.safetensors")));
    assert_eq!(parameters.model_hash.as_deref(), Some("6ce0161689"));
    let other = |key: &str| parameters.other.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    assert_eq!(other("Hires upscale"), Some("2"));
    assert_eq!(other("Lora hashes"), Some("add: abc123, more: def456"));
    assert_eq!(read(&parameters.to_string()), parameters);
}

#[test]
fn older_texts_have_the_schedule_in_the_samplers_name() {
    let apart = |line: &str| {
        let parameters = read(line);
        let (sampler, schedule) = parameters.sampler_and_schedule();
        (sampler.map(str::to_owned), schedule.map(str::to_owned))
    };
    let both = |sampler: &str, schedule: &str| (Some(sampler.to_owned()), Some(schedule.to_owned()));
    assert_eq!(apart("x\nSteps: 9, Sampler: DPM++ 2M Karras, Seed: 1"), both("DPM++ 2M", "Karras"));
    assert_eq!(apart("x\nSteps: 9, Sampler: DPM++ SDE Exponential, Seed: 1"), both("DPM++ SDE", "Exponential"));
    assert_eq!(apart("x\nSampler: Euler, Schedule type: Automatic, Seed: 1"), (Some("Euler".into()), None));
    assert_eq!(apart("x\nSteps: 9, Sampler: Karras, Seed: 1"), (Some("Karras".into()), None));
}

#[test]
fn texts_of_other_tools_are_read() {
    let text = "a cat\r\nNegative prompt: \r\nSteps: 20, CFG scale: 7.000000, Guidance: 3.500000, Eta: 0.000000, Seed: 42, \
        Size: 512x512, Model: sd.safetensors, RNG: cuda, Sampler: euler_a discrete, Version: stable-diffusion.cpp";
    let parameters = read(text);
    assert_eq!((parameters.prompt.as_str(), parameters.negative_prompt.as_deref()), ("a cat", Some("")));
    assert_eq!((parameters.cfg_scale, parameters.eta, parameters.seed), (Some(7.0), Some(0.0), Some(42)));
    assert_eq!(parameters.sampler.as_deref(), Some("euler_a discrete"));
    let parameters = read("a cat\nSteps: 4, Sampler: LCM, Guidance Scale: 1.5, Seed: 3, Size: 512x512");
    assert_eq!(parameters.cfg_scale, Some(1.5));
}

#[test]
fn everything_else_is_prompt() {
    assert_eq!(read(""), Parameters::default());
    let plain = |prompt: &str| Parameters { prompt: prompt.into(), ..Parameters::default() };
    assert_eq!(read("a cat: sitting, a dog: lying"), plain("a cat: sitting, a dog: lying"));
    assert_eq!(
        read("(red apple:1.2), (sky:1.1), (sea:0.9), 16:9"),
        plain("(red apple:1.2), (sky:1.1), (sea:0.9), 16:9")
    );
    assert_eq!(read("a cat\n\nSteps: 20"), plain("a cat\n\nSteps: 20"));
}

#[test]
fn malformed_values_are_kept() {
    let parameters = read("x\nSteps: many, Seed: -1, Size: 512, CFG scale: NaN, junk, Model: m");
    assert_eq!((parameters.steps, parameters.seed, parameters.size, parameters.cfg_scale), (None, None, None, None));
    let kept: Vec<_> = parameters.other.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(kept, [("Steps", "many"), ("Seed", "-1"), ("Size", "512"), ("CFG scale", "NaN")]);
    assert_eq!(read(&parameters.to_string()), parameters);
}

#[test]
fn prompts_that_lines_cannot_represent_go_into_the_settings() {
    let written = |prompt: &str, negative: Option<&str>| {
        let negative_prompt = negative.map(str::to_owned);
        let parameters = Parameters { prompt: prompt.into(), negative_prompt, ..emoji() };
        let text = parameters.to_string();
        assert_eq!(read(&text), parameters, "{text}");
        text
    };
    assert!(written("a cat ", None).starts_with("a cat\nSteps: 20,"));
    assert!(written("a cat ", None).ends_with(", Prompt: \"a cat \""));
    assert!(written("Negative prompt: is a cat", None).starts_with("Steps: 20,"));
    assert!(written("a\nNegative prompt: b", Some("c")).ends_with("Negative prompt: c"));
    assert!(written("", Some("dogs")).starts_with("Negative prompt: dogs\nSteps: 20,"));
    assert!(written("a", Some("")).starts_with("a\nNegative prompt:\nSteps: 20,"));
}

/// A name that is not a known setting.
fn key() -> impl Strategy<Value = String> {
    "[a-zä0-9_][a-zA-Z0-9_ /-]{0,6}[a-z0-9]"
}

proptest! {
    #[test]
    fn everything_written_is_read_back(
        (prompt, negative_prompt) in ("(?s).{0,40}", proptest::option::of("(?s)[ -~\n]{0,40}")),
        (steps, seed, size) in (0..=1000_usize, any::<u64>(), any::<(usize, usize)>()),
        (cfg_scale, guidance_rescale, eta) in (any::<Option<f64>>(), any::<Option<f64>>(), any::<Option<f64>>()),
        true_cfg_scale in any::<Option<f64>>(),
        (sampler, schedule_type) in (any::<Option<String>>(), any::<Option<String>>()),
        (model, model_hash, vae, version) in any::<(Option<String>, Option<String>, Option<String>, Option<String>)>(),
        (clip_skip, batch_size, batch_index) in any::<(Option<usize>, Option<usize>, Option<usize>)>(),
        denoising_strength in any::<Option<f64>>(),
        other in proptest::collection::vec((key(), any::<String>()), 0..4),
    ) {
        let parameters = Parameters {
            prompt, negative_prompt, steps: Some(steps), sampler, schedule_type, cfg_scale, true_cfg_scale, guidance_rescale,
            eta,
            seed: Some(seed), size: Some(size), model, model_hash, vae, clip_skip, denoising_strength, batch_size,
            batch_index, other, version,
        };
        prop_assert_eq!(read(&parameters.to_string()), parameters);
    }

    #[test]
    fn any_text_survives_reading_and_writing(
        above in "(?s)([a-zA-Z \",:\n\\\\]{0,12}(Steps: 1, Seed: 2, |Negative prompt: |Size: 1x2)?){0,4}",
        junk in "[a-zA-Z \",:\\\\]{0,20}",
    ) {
        let parameters = read(&format!("{above}\nSteps: 3, Seed: 4, Model: m, {junk}"));
        prop_assert_eq!(read(&parameters.to_string()), parameters);
    }
}
