//! The pipeline's promises to its callers, with the embedded model: progress, previews, cancellation, warnings,
//! batches.

use easel_inference::families::{ModelFiles, OpenOptions};
use easel_inference::pipeline::{
    CancelToken, InitImage, LoadOptions, Phase, Picture, Pipeline, Progress, Request, Unwatched, Watcher,
};
use easel_inference::{Device, Error, Result};
use easel_picture::Image;
use easel_tests::files::repository;
use pollster::block_on;
use std::sync::LazyLock;

static EMOJI: LazyLock<Pipeline> = LazyLock::new(|| {
    let path = repository().join("models/easel-emoji");
    let files = block_on(ModelFiles::open_path(&path, &OpenOptions::default())).unwrap();
    let options = LoadOptions::new(Device::Cpu);
    block_on(Pipeline::load(&files, &options, &mut Unwatched, &CancelToken::default())).unwrap()
});

/// Records every event; cancels after `cancel_at` denoising steps.
#[derive(Default)]
struct Log {
    events: Vec<Progress>,
    warnings: Vec<String>,
    cancel_at: Option<usize>,
    cancel: CancelToken,
}

impl Watcher for Log {
    fn progress(&mut self, progress: &Progress) {
        if progress.phase == Phase::Denoise && Some(progress.step) == self.cancel_at {
            self.cancel.cancel();
        }
        self.events.push(progress.clone());
    }

    fn warning(&mut self, message: &str) {
        self.warnings.push(message.to_owned());
    }

    fn clock(&self) -> f64 {
        self.events.len() as f64
    }
}

impl Log {
    fn steps(&self) -> Vec<(usize, usize)> {
        let denoising = self.events.iter().filter(|event| event.phase == Phase::Denoise);
        denoising.map(|event| (event.step, event.of)).collect()
    }
}

fn request(prompt: &str, steps: usize) -> Request {
    Request { steps: Some(steps), ..Request::new(prompt, None, 3, 1) }
}

fn draw_logged(request: &Request, log: &mut Log) -> Result<Vec<Picture>> {
    let cancel = log.cancel.clone();
    block_on(EMOJI.generate(request, log, &cancel))
}

fn draw(request: &Request) -> Result<Vec<Picture>> {
    draw_logged(request, &mut Log::default())
}

/// The largest difference between two pictures at pixels that `of` accepts.
fn difference(a: &Image, b: &Image, of: impl Fn(usize, usize) -> bool) -> u8 {
    let mut largest = 0;
    for (i, (x, y)) in a.rgb8.iter().zip(&b.rgb8).enumerate() {
        if of(i / 3 % a.width, i / 3 / a.width) {
            largest = largest.max(x.abs_diff(*y));
        }
    }
    largest
}

#[test]
fn every_step_is_reported_in_order_with_the_callers_clock() {
    let mut log = Log::default();
    draw_logged(&Request { prompts: Request::new("a cat", None, 1, 2).prompts, ..request("", 3) }, &mut log).unwrap();
    assert_eq!(log.steps(), [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]);
    let last = log.events.last().unwrap();
    assert_eq!((last.phase, last.step, last.of), (Phase::Decode, 2, 2));
    assert!(log.events.windows(2).all(|pair| pair[0].seconds < pair[1].seconds));
}

#[test]
fn previews_come_at_the_requested_interval_and_end_like_the_picture() {
    let mut log = Log::default();
    let pictures = draw_logged(&Request { preview_every: 2, ..request("a red apple", 6) }, &mut log).unwrap();
    let previews: Vec<_> = log.events.iter().filter_map(|event| Some((event.step, event.preview.as_ref()?))).collect();
    assert_eq!(previews.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [2, 4, 6]);
    assert_eq!(difference(previews[2].1, &pictures[0].image, |_, _| true), 0);
}

#[test]
fn a_cancelled_run_stops_before_the_next_step() {
    let mut log = Log { cancel_at: Some(2), ..Log::default() };
    let error = draw_logged(&request("a cat", 50), &mut log).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert_eq!(log.steps(), [(1, 50), (2, 50)]);
    let cancelled_before = CancelToken::default();
    cancelled_before.cancel();
    assert!(matches!(
        block_on(EMOJI.generate(&request("a cat", 2), &mut Unwatched, &cancelled_before)),
        Err(Error::Cancelled)
    ));
}

#[test]
fn a_picture_is_the_same_alone_and_in_a_batch() {
    let both = draw(&Request { steps: Some(4), ..Request::new("a rocket", None, 7, 2) }).unwrap();
    let second = draw(&Request { steps: Some(4), ..Request::new("a rocket", None, 8, 1) }).unwrap();
    assert_eq!(both[1].image, second[0].image);
    assert_eq!((both[0].seed, both[1].seed), (7, 8));
    assert_ne!(both[0].image, both[1].image);
    // Computed together, sums may be in another order.
    let at_once =
        draw(&Request { batch_size: 2, ..Request { steps: Some(4), ..Request::new("a rocket", None, 7, 2) } });
    assert!(difference(&at_once.unwrap()[1].image, &second[0].image, |_, _| true) <= 1);
}

#[test]
fn a_truncated_prompt_is_a_warning() {
    let mut log = Log::default();
    draw_logged(&request(&"a red apple and ".repeat(20), 1), &mut log).unwrap();
    assert_eq!(log.warnings.len(), 1, "{:?}", log.warnings);
    assert!(log.warnings[0].contains("cut off"), "{}", log.warnings[0]);
    let mut long = request(&"a red apple and ".repeat(20), 1);
    long.prompt_options.long = true;
    let mut log = Log::default();
    draw_logged(&long, &mut log).unwrap();
    assert!(log.warnings.is_empty(), "{:?}", log.warnings);
}

#[test]
fn prompt_weights_are_read_only_on_request() {
    let weighted = |prompt: &str, weighting: bool| {
        let mut request = request(prompt, 3);
        request.prompt_options.weighting = weighting;
        draw(&request).unwrap().remove(0).image
    };
    let plain = weighted("a red apple", false);
    assert_eq!(weighted("a red apple", true), plain);
    assert_eq!(weighted("a (red:1.0) apple", true), plain);
    assert_ne!(weighted("a (red:1.5) apple", true), plain);
    assert_ne!(weighted("a (red:1.0) apple", false), plain);
}

#[test]
fn image_to_image_stays_near_and_inpainting_keeps_unmasked_pixels() {
    let original = draw(&request("a red apple", 8)).unwrap().remove(0).image;
    let from = |strength: f64, mask: Option<Image>| {
        let init = InitImage { image: original.clone(), strength, all_steps: false, mask };
        draw(&Request { init: Some(init), ..request("a blue car", 8) }).map(|mut pictures| pictures.remove(0))
    };
    let near = from(0.3, None).unwrap();
    assert_eq!(near.parameters.denoising_strength, Some(0.3));
    assert_eq!((near.image.width, near.image.height), (original.width, original.height));
    assert_ne!(near.image, original);

    let width = original.width;
    let white_right = |x: usize| if x >= width / 2 { 255 } else { 0 };
    let pixels = (0..width * original.height).flat_map(|i| [white_right(i % width); 3]).collect();
    let mask = Image::new(width, original.height, pixels).unwrap();
    let inpainted = from(1.0, Some(mask)).unwrap().image;
    // Far from the mask's edge only the autoencoder changes the picture.
    let round_trip = from(0.99, Some(Image::new(width, original.height, vec![0; original.rgb8.len()]).unwrap()));
    let kept = |x: usize, _: usize| x < width / 4;
    assert!(difference(&inpainted, &round_trip.unwrap().image, kept) <= 8);
    assert!(difference(&inpainted, &original, |x, _| x > width * 3 / 4) > 32);

    let nothing = from(0.0, None).unwrap_err().to_string();
    assert!(nothing.starts_with("strength: 0 leaves no steps"), "{nothing}");
}

#[test]
fn settings_out_of_range_are_refused_before_computing() {
    let refused = |change: &dyn Fn(&mut Request)| {
        let mut request = request("a cat", 2);
        change(&mut request);
        let mut log = Log::default();
        let message = draw_logged(&request, &mut log).unwrap_err().to_string();
        assert!(log.events.is_empty(), "{message}: {:?}", log.events);
        message
    };
    assert!(refused(&|r| r.width = Some(100_000)).starts_with("width: must be a multiple of 8"));
    assert!(refused(&|r| r.steps = Some(0)).starts_with("steps: must be between 1 and 1000"));
    assert!(refused(&|r| r.scheduler = Some("magic".into())).starts_with("scheduler: expected one of ddim"));
}

#[test]
fn parameters_record_how_the_picture_was_made() {
    let picture = draw(&Request { scheduler: Some("euler".into()), ..request("a cat", 2) }).unwrap().remove(0);
    let text = picture.parameters.to_string();
    assert_eq!(text.lines().next(), Some("a cat"));
    for part in ["Steps: 2", "Sampler: Euler", "CFG scale: 7.5", "Seed: 3", "Size: 128x128"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn another_picture_of_a_prompt_needs_no_text_encoder() {
    let path = repository().join("models/easel-emoji");
    let files = block_on(ModelFiles::open_path(&path, &OpenOptions::default())).unwrap();
    let options = LoadOptions { low_memory: true, ..LoadOptions::new(Device::Cpu) };
    let cancel = CancelToken::default();
    let pipeline = block_on(Pipeline::load(&files, &options, &mut Unwatched, &cancel)).unwrap();
    let draw = |prompt: &str| {
        let mut log = Log::default();
        let picture = block_on(pipeline.generate(&request(prompt, 2), &mut log, &cancel)).unwrap().remove(0).image;
        let loads = log.events.iter().filter(|event| event.phase == Phase::Load).count();
        (picture, loads, log.warnings)
    };
    let long = "a red apple and ".repeat(20);
    let (first, loads, warnings) = draw(&long);
    let (again, loads_again, warnings_again) = draw(&long);
    assert_eq!((first, warnings), (again, warnings_again), "the same picture, the same warning");
    // This model's autoencoder is a tiny one, which stays for previews.
    assert_eq!((loads, loads_again), (3, 1), "all components, then the denoiser alone");
    assert_eq!(draw("a blue car").1, 2);
    assert_eq!(draw(&long).1, 1);
}
