//! `easel generate` from prompt to file: names, formats, events, metadata and reproducible bytes.

use super::{Folder, Outcome};
use serde_json::Value;

const SMALL: [&str; 4] = ["--steps", "2", "--seed", "7"];

impl Folder {
    /// Two quick steps of the embedded model.
    fn draw(&self, args: &[&str]) -> Outcome {
        self.easel(["generate", "a red apple"].iter().chain(&SMALL).chain(args))
    }
}

/// The events of one kind.
fn events<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|event| event["event"] == kind).collect()
}

#[test]
fn the_stub_is_blue() {
    let folder = Folder::new();
    let args = ["generate", "anything", "--model", "stub", "--width", "24", "--height", "16", "--seed", "3"];
    assert_eq!(folder.easel(args).text().split(", ").next(), Some("anything-3.png: 24x16"));
    let image = easel_picture::Image::decode(&folder.read("anything-3.png"), &Default::default()).unwrap();
    assert_eq!((image.width, image.height), (24, 16));
    assert!(image.rgb8.chunks(3).all(|pixel| pixel == [0, 100, 200]));
}

#[test]
fn names_are_derived_and_nothing_is_overwritten() {
    let folder = Folder::new();
    let run =
        |args: &[&str]| folder.easel(["generate", "A  Big/Cat", "--model", "stub", "--seed", "1"].iter().chain(args));
    run(&[]).text();
    run(&[]).text();
    run(&["-n", "2", "--format", "webp"]).text();
    run(&["-n", "2", "-o", "cat.jpg"]).text();
    let expected =
        ["a-big-cat-1-1.png", "a-big-cat-1.png", "a-big-cat-1.webp", "a-big-cat-2.webp", "cat-1.jpg", "cat-2.jpg"];
    assert_eq!(folder.files(), expected);
    run(&["-o", "cat-1.jpg", "--force"]).text();
    assert_eq!(folder.files(), expected);
}

#[test]
fn a_prompt_comes_from_standard_input_and_a_picture_goes_to_standard_output() {
    let folder = Folder::new();
    let outcome =
        folder.easel_reading(["generate", "-", "--model", "stub", "--seed", "5", "-o", "-"], b"a green fish\n");
    assert!(outcome.stdout.starts_with(b"\x89PNG"), "{}", outcome.stderr);
    assert!(outcome.stderr.ends_with("seed 5, 0 ms\n") || outcome.stderr.contains("seed 5, "), "{}", outcome.stderr);
    std::fs::write(folder.path("x.png"), &outcome.stdout).unwrap();
    assert!(folder.easel(["metadata", "x.png"]).text().starts_with("a green fish\n"));
}

#[test]
fn quiet_runs_print_nothing_and_pipes_get_few_lines() {
    let folder = Folder::new();
    let quiet = folder.draw(&["-q", "-o", "a.png"]);
    assert_eq!((quiet.text(), quiet.stderr.as_str()), ("", ""));
    let plain = folder.draw(&["-o", "b.png", "--steps", "20"]);
    assert_eq!(plain.text().lines().count(), 1);
    assert!(plain.stdout.starts_with(b"b.png: 128x128, seed 7, "));
    assert!((4..=12).contains(&plain.stderr.lines().count()), "{}", plain.stderr);
    assert!(plain.stderr.contains("denoise 20/20"), "{}", plain.stderr);
}

#[test]
fn random_seeds_are_reported_and_differ() {
    let folder = Folder::new();
    let seed = |name: &str| {
        let outcome = folder.easel(["generate", "x", "--model", "stub", "--json", "-o", name]);
        events(&outcome.json(), "picture")[0]["seed"].as_u64().unwrap()
    };
    assert_ne!(seed("a.png"), seed("b.png"));
}

#[test]
fn events_report_everything() {
    let folder = Folder::new();
    let outcome = folder.draw(&["--json", "-n", "2", "-o", "x.png", "--preview"]);
    assert_eq!(outcome.stderr, "");
    let all = outcome.json();
    let progress = events(&all, "progress");
    let phases: Vec<_> = progress.iter().map(|event| event["phase"].as_str().unwrap()).collect();
    for phase in ["load", "encode", "denoise", "decode"] {
        assert!(phases.contains(&phase), "no {phase} among {phases:?}");
    }
    let last = progress.iter().rfind(|event| event["phase"] == "denoise").unwrap();
    assert_eq!(
        (&last["step"], &last["of"], &last["picture"], &last["pictures"]),
        (&2.into(), &2.into(), &2.into(), &2.into())
    );
    assert!(last["seconds"].as_f64().unwrap() > 0.0 && last["seconds_per_step"].as_f64().unwrap() > 0.0);
    let times: Vec<_> = progress.iter().map(|event| event["seconds"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let previews: Vec<_> = progress.iter().filter_map(|event| event["preview"].as_str()).collect();
    assert!(!previews.is_empty() && previews.iter().all(|preview| preview.starts_with("iVBORw0KGgo")));
    let pictures = events(&all, "picture");
    assert_eq!(pictures.len(), 2);
    for (index, picture) in pictures.iter().enumerate() {
        assert_eq!(picture["path"], format!("x-{}.png", index + 1));
        assert_eq!(
            (&picture["seed"], &picture["width"], &picture["height"]),
            (&(7 + index).into(), &128.into(), &128.into())
        );
        assert!(picture["parameters"].as_str().unwrap().starts_with("a red apple\n"));
    }
    // The preview file is removed at the end.
    assert_eq!(folder.files(), ["x-1.png", "x-2.png"]);
}

#[test]
fn failures_are_events_too() {
    let folder = Folder::new();
    let outcome = folder.easel(["generate", "x", "--json", "--steps", "0"]);
    assert_eq!(outcome.code, Some(1));
    let event: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(event, serde_json::json!({ "event": "error", "message": "steps: must be between 1 and 1000, got 0" }));
    assert_eq!(outcome.stderr, "easel: steps: must be between 1 and 1000, got 0\n");
}

#[test]
fn metadata_reproduces_the_same_bytes() {
    let folder = Folder::new();
    let settings =
        ["--negative-prompt", "blue, \"round\"", "--guidance-scale", "3.3", "--scheduler", "euler-a", "--width", "96"];
    for (file, extra) in
        [("a.png", &[][..]), ("a.jpg", &["--quality", "80"]), ("a.webp", &["--guidance-rescale", "0.25"])]
    {
        folder.draw(&[&settings[..], extra, &["-o", file]].concat()).text();
        let again = format!("again-{file}");
        folder.easel(["generate", "--from", file, "-o", &again]).text();
        assert!(folder.read(file) == folder.read(&again), "{file} differs");
        let text = folder.easel(["metadata", file]).text().to_owned();
        assert!(text.starts_with("a red apple\nNegative prompt: blue, \"round\"\nSteps: 2, "), "{text}");
        assert!(text.contains("CFG scale: 3.3, ") && text.contains("Size: 96x128, "), "{text}");
    }
    // The format is the source's unless another is requested, and other options override the metadata.
    folder.easel(["generate", "--from", "a.jpg"]).text();
    folder.easel(["generate", "a blue star", "--from", "a.png", "--seed", "8", "-o", "star.png"]).text();
    assert!(folder.files().contains(&"a-red-apple-7.jpg".to_owned()));
    let text = folder.easel(["metadata", "star.png"]).text().to_owned();
    assert!(
        text.starts_with("a blue star\nNegative prompt: blue, \"round\"\n") && text.contains("Seed: 8, "),
        "{text}"
    );
}

#[test]
fn one_picture_of_a_batch_is_reproduced_alone() {
    let folder = Folder::new();
    folder.draw(&["-n", "2", "-o", "x.png"]).text();
    folder.easel(["generate", "--from", "x-2.png", "-o", "again.png"]).text();
    assert!(folder.read("x-2.png") == folder.read("again.png"));
    assert!(folder.read("x-1.png") != folder.read("x-2.png"));
}

#[test]
fn a_picture_can_be_started_from() {
    let folder = Folder::new();
    folder.draw(&["-o", "first.png"]).text();
    let redraw = |name: &str, args: &[&str]| {
        folder.draw(&[&["--steps", "4", "--init-image", "first.png", "-o", name], args].concat()).text();
        folder.read(name)
    };
    let half = redraw("half.png", &["--strength", "0.5"]);
    assert_ne!(half, redraw("more.png", &["--strength", "0.9"]));
    let message = folder.easel(["generate", "--from", "half.png", "-o", "x.png"]).error(1).to_owned();
    assert_eq!(message, "the picture of --from was made from an initial picture: add it with --init-image");
    folder.easel(["generate", "--from", "half.png", "--init-image", "first.png", "-o", "again.png"]).text();
    assert!(folder.read("again.png") == half);
}

/// A bitmap file with 24 bits per pixel, rows from bottom to top. The width is a multiple of four, so rows need no
/// padding.
fn bmp(image: &easel_picture::Image) -> Vec<u8> {
    assert_eq!(image.width % 4, 0);
    let mut bytes = b"BM".to_vec();
    for number in [54 + image.rgb8.len(), 0, 54, 40, image.width, image.height] {
        bytes.extend((number as u32).to_le_bytes());
    }
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    for pixels in image.rgb8.chunks_exact(image.width * 3).rev() {
        bytes.extend(pixels.as_chunks::<3>().0.iter().flat_map(|[red, green, blue]| [blue, green, red]));
    }
    bytes
}

#[test]
fn a_bitmap_can_be_started_from() {
    let folder = Folder::new();
    folder.draw(&["-o", "first.png"]).text();
    let image = easel_picture::Image::decode(&folder.read("first.png"), &Default::default()).unwrap();
    std::fs::write(folder.path("first.bmp"), bmp(&image)).unwrap();
    let redraw = |first: &str, name: &str| {
        folder.draw(&["--steps", "4", "--init-image", first, "-o", name]).text();
        folder.read(name)
    };
    assert!(redraw("first.bmp", "from-bmp.png") == redraw("first.png", "from-png.png"));
    folder.easel(["metadata", "first.bmp"]).error(1);
}

#[test]
fn a_folder_is_a_model_and_only_its_last_part_is_recorded() {
    let folder = Folder::new();
    let model = super::repository("models/easel-emoji");
    let args = ["--guidance-scale", "4", "--model", model.to_str().unwrap(), "-o", "folder.png"];
    folder.draw(&args).text();
    folder.draw(&["-o", "embedded.png"]).text();
    // The folder holds the embedded model, so picture and settings are the same.
    assert!(folder.read("folder.png") == folder.read("embedded.png"));
}

#[test]
fn separate_components_are_recorded_and_required_again() {
    let folder = Folder::new();
    let vae = format!("vae={}", super::repository("models/easel-emoji/vae").display());
    let draw = |args: &[&str]| folder.easel([&["generate", "--steps", "1", "-o"], args].concat());
    draw(&["first.png", "a star", "--seed", "1", "--component", &vae]).text();
    let settings = folder.easel(["metadata", "first.png"]).text().to_owned();
    assert!(settings.contains("Component vae: vae"), "{settings}");
    let message = draw(&["again.png", "--from", "first.png"]).error(1).to_owned();
    assert_eq!(message, "the picture of --from was made with another vae (vae): add --component vae=PATH");
    draw(&["again.png", "--from", "first.png", "--component", &vae]).text();
    assert!(folder.read("again.png") == folder.read("first.png"));
}

/// Loading a GPU driver takes longer than drawing with the embedded model.
#[test]
fn the_embedded_model_runs_on_the_processor_without_looking_for_gpus() {
    let folder = Folder::new();
    let arguments = ["generate", "a star", "--steps", "1", "--seed", "1", "--device", "auto", "-o", "star.png"];
    let outcome = super::Outcome::new(folder.command(arguments).env("EASEL_GPU", "").output().unwrap());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("easel: computing on the processor\n"), "{}", outcome.stderr);
}

#[test]
fn a_gpu_that_cannot_be_opened_is_replaced_by_the_processor() {
    let folder = Folder::new();
    let draw = |args: &[&str]| {
        let arguments = ["generate", "a star", "--steps", "1", "--seed", "1", "--device", "auto"];
        let mut command = folder.command(arguments.iter().chain(args));
        super::Outcome::new(command.env("EASEL_GPU", "no such adapter").output().unwrap())
    };
    let plain = draw(&["-o", "plain.png"]);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    let warning = "easel: warning: device gpu is not available: ";
    assert!(plain.stderr.lines().any(|line| line.starts_with(warning)), "{}", plain.stderr);
    assert!(plain.stderr.contains("easel: computing on the processor\n"), "{}", plain.stderr);
    let all = draw(&["--json", "-o", "events.png"]).json();
    assert_eq!((events(&all, "warning").len(), events(&all, "device").len()), (1, 1), "{all:?}");
    assert_eq!(events(&all, "device")[0]["name"], "the processor");
    assert_eq!(folder.read("plain.png"), folder.read("events.png"));
}
