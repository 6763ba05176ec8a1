//! What FLUX.1 does beyond the reference cases, with its tiny models: guidance with and without a negative prompt, every
//! sampler of flows, inpainting, previews.

use easel_inference::families::{ModelFiles, OpenOptions};
use easel_inference::pipeline::{
    CancelToken, InitImage, LoadOptions, Picture, Pipeline, Progress, Prompt, Request, Watcher,
};
use easel_inference::{Device, Result};
use easel_picture::Image;
use easel_tests::files::repository;
use pollster::block_on;

/// Keeps the previews.
#[derive(Default)]
struct Previews(Vec<Image>);

impl Watcher for Previews {
    fn progress(&mut self, progress: &Progress) {
        self.0.extend(progress.preview.clone());
    }
}

fn load(model: &str) -> Pipeline {
    let path = repository().join("tests/golden").join(model);
    let files = block_on(ModelFiles::open_path(&path, &OpenOptions::default())).unwrap();
    let options = LoadOptions::new(Device::Cpu);
    block_on(Pipeline::load(&files, &options, &mut Previews::default(), &CancelToken::default())).unwrap()
}

fn draw_watched(pipeline: &Pipeline, request: &Request, previews: &mut Previews) -> Result<Picture> {
    Ok(block_on(pipeline.generate(request, previews, &CancelToken::default()))?.remove(0))
}

fn draw(pipeline: &Pipeline, request: &Request) -> Result<Picture> {
    draw_watched(pipeline, request, &mut Previews::default())
}

/// Two steps of 48x32 pixels.
fn request(prompt: &str, negative: Option<&str>) -> Request {
    let mut request = Request::new(prompt, negative, 3, 1);
    request.width = Some(48);
    request.height = Some(32);
    request.steps = Some(2);
    request
}

#[test]
fn the_defaults_are_those_of_each_model() {
    for (model, steps, guidance_scale) in [("flux-schnell", 4, 0.0), ("flux-dev", 28, 3.5)] {
        let defaults = load(model).defaults().clone();
        assert_eq!((defaults.steps, defaults.guidance_scale), (steps, guidance_scale), "{model}");
        assert_eq!((defaults.width, defaults.height), (1024, 1024), "{model}");
    }
}

#[test]
fn a_negative_prompt_brings_guidance_of_its_own() {
    let dev = load("flux-dev");
    let plain = draw(&dev, &request("a red apple", None)).unwrap();
    let guided = draw(&dev, &request("a red apple", Some("blue"))).unwrap();
    assert_ne!(plain.image, guided.image);
    assert_eq!((plain.parameters.true_cfg_scale, guided.parameters.true_cfg_scale), (None, Some(2.0)));
    assert_eq!(guided.parameters.cfg_scale, Some(3.5));
    let scaled = |scale, negative| Request { true_cfg_scale: Some(scale), ..request("a red apple", negative) };
    assert_eq!(draw(&dev, &scaled(2.0, Some("blue"))).unwrap().image, guided.image);
    assert_ne!(draw(&dev, &scaled(3.0, Some("blue"))).unwrap().image, guided.image);
    assert_eq!(draw(&dev, &scaled(1.0, Some("blue"))).unwrap().image, plain.image, "off");
    assert_eq!(draw(&dev, &request("a red apple", Some(" "))).unwrap().image, plain.image, "no words");
    // Only the text encoder that has a negative prompt of its own reads it.
    let mut second = request("a red apple", None);
    second.prompts[0] = Prompt { negative_2: Some("blue".into()), ..second.prompts[0].clone() };
    let seen = draw(&dev, &second).unwrap().image;
    assert!(seen != plain.image && seen != guided.image);

    let schnell = load("flux-schnell");
    let at = |scale, negative| Request { guidance_scale: Some(scale), ..request("a red apple", negative) };
    let plain = draw(&schnell, &at(0.0, Some("blue"))).unwrap().image;
    assert_eq!(draw(&schnell, &at(3.0, None)).unwrap().image, plain, "no input for the scale");
    assert_ne!(draw(&schnell, &at(3.0, Some("blue"))).unwrap().image, plain);
}

#[test]
fn other_families_have_one_guidance_scale() {
    let sd3 = load("sd3");
    let error = draw(&sd3, &Request { true_cfg_scale: Some(2.0), ..request("a red apple", None) }).unwrap_err();
    assert_eq!(error.to_string(), "true_cfg_scale: not supported by this model: use guidance_scale");
}

#[test]
fn every_sampler_of_flows_draws() {
    for model in ["flux-schnell", "flux-dev"] {
        let pipeline = load(model);
        let mut seen = Vec::new();
        for sampler in ["flow-match-euler", "flow-match-heun", "flow-match-lcm", "dpm++2m", "unipc"] {
            let request = Request { scheduler: Some(sampler.into()), ..request("a red apple", None) };
            let image = draw(&pipeline, &request).unwrap_or_else(|error| panic!("{model}, {sampler}: {error}")).image;
            assert!(!seen.contains(&image), "{model}: {sampler} draws what another does");
            seen.push(image);
        }
    }
}

#[test]
fn sizes_are_whole_tokens() {
    let error = draw(&load("flux-schnell"), &Request { width: Some(40), ..request("a red apple", None) }).unwrap_err();
    assert_eq!(error.to_string(), "width: must be a multiple of 16 for this model, got 40");
}

#[test]
fn inpainting_keeps_what_is_not_masked() {
    let schnell = load("flux-schnell");
    let original = draw(&schnell, &request("a red apple", None)).unwrap().image;
    let under = |mask: &dyn Fn(usize) -> u8, prompt: &str| {
        let pixels = (0..48 * 32).flat_map(|i| [mask(i % 48); 3]).collect();
        let mask = Some(Image::new(48, 32, pixels).unwrap());
        let init = InitImage { image: original.clone(), strength: 1.0, all_steps: false, mask };
        draw(&schnell, &Request { init: Some(init), ..request(prompt, None) }).unwrap().image
    };
    let kept = under(&|_| 0, "a blue car");
    assert_eq!(under(&|_| 0, "a green tree"), kept, "nothing is redrawn");
    assert_ne!(under(&|_| 255, "a blue car"), under(&|_| 255, "a green tree"));
    assert_ne!(under(&|x| if x < 24 { 0 } else { 255 }, "a blue car"), kept);
}

#[test]
fn previews_show_latents_in_colour() {
    let schnell = load("flux-schnell");
    let mut previews = Previews::default();
    draw_watched(&schnell, &Request { preview_every: 1, ..request("a red apple", None) }, &mut previews).unwrap();
    assert_eq!(previews.0.len(), 2);
    for preview in previews.0 {
        assert_eq!((preview.width, preview.height), (6, 4));
        assert!(preview.rgb8.chunks(3).any(|pixel| pixel[0] != pixel[1] || pixel[1] != pixel[2]));
    }
}
