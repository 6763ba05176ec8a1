//! Pictures that are analysed, by small networks with random weights.

use crate::{Host, command, data};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use easel_picture::{EncodeOptions, Image, ImageFormat, Limits};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn golden(name: &str) -> String {
    format!("{}/../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A light disc on dark ground of 60x40 pixels, in base64.
fn disc() -> String {
    let light = |i: usize| (i % 60).abs_diff(30).pow(2) + (i / 60).abs_diff(20).pow(2) < 100;
    let samples = (0..60 * 40).map(|i| if light(i) { 230 } else { 20 }).collect();
    let image = Image::from_samples(60, 40, 1, samples).unwrap();
    BASE64_STANDARD.encode(image.encode(ImageFormat::Png, &EncodeOptions::default()).unwrap())
}

/// The status of an answer, and its JSON.
fn post(host: &Host, path: &str, body: &Value) -> (u16, Value) {
    let mut answer = host.post(path, body);
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
}

/// The numbers of the command line are those of the service.
#[test]
fn the_service_sees_what_the_command_sees() {
    let folder = data();
    let [clip, sam] = ["clip-vit", "sam"].map(golden);
    let host = Host::start(folder.path(), &["--clip", &clip, "--sam", &sam]);
    let file = folder.path().join("disc.png");
    std::fs::write(&file, BASE64_STANDARD.decode(disc()).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_easel"));
    command.arg("analyze").arg(&file).args(["--json", "--device", "cpu", "--clip", &clip, "--sam", &sam]);
    let output = command.args(["--texts", "a disc,a cat", "--point", "30,20", "--box", "18,8,42,32"]).output().unwrap();
    let expected: Value = serde_json::from_slice(&output.stdout).unwrap();

    let body = json!({ "image": disc(), "texts": ["a disc", "a cat"], "roi": [[30, 20], [18, 8, 42, 32]] });
    // The second time the picture is known already.
    for _ in 0..2 {
        let (status, seen) = post(&host, "/api/analyze", &body);
        assert_eq!((status, &seen["image"]), (200, &body["image"]), "{seen}");
        let scores = seen["clip_analysis"]["confidence_scores"].as_array().unwrap();
        for (score, expected) in scores.iter().zip(expected["scores"].as_array().unwrap()) {
            assert_eq!(score.as_f64().unwrap() as f32, expected["probability"].as_f64().unwrap() as f32);
        }
        let found = &seen["basic_segmentation"];
        let masks = found["masks"].as_array().unwrap();
        assert_eq!(masks.len(), 6);
        for (i, expected) in expected["masks"].as_array().unwrap().iter().enumerate() {
            let mask = BASE64_STANDARD.decode(masks[i].as_str().unwrap()).unwrap();
            let mask = Image::decode(&mask, &Limits::default()).unwrap();
            let inside = mask.to_luma().iter().filter(|level| **level == 255).count();
            assert_eq!((mask.width, mask.height, inside as u64), (60, 40, expected["area"].as_u64().unwrap()));
            assert_eq!(found["iou_scores"][i].as_f64().unwrap() as f32, expected["iou"].as_f64().unwrap() as f32);
            let rings: Vec<&Value> =
                expected["polygons"].as_array().unwrap().iter().flat_map(|rings| rings.as_array().unwrap()).collect();
            assert_eq!(found["polygons"][i].as_array().unwrap().iter().collect::<Vec<_>>(), rings);
        }
    }
}

#[test]
fn a_part_that_cannot_be_loaded_says_so_and_the_other_one_answers() {
    let folder = data();
    let models = data();
    let broken = models.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("config.json"), "{").unwrap();
    let host = Host::start(folder.path(), &["--clip", &broken.display().to_string(), "--sam", &golden("sam")]);
    let (status, seen) =
        post(&host, "/api/analyze", &json!({ "image": disc(), "texts": ["a disc"], "roi": [[30, 20]] }));
    assert_eq!((status, seen["basic_segmentation"]["masks"].as_array().unwrap().len()), (200, 3));
    let error = seen["clip_analysis"]["error"].as_str().unwrap();
    assert!(error.starts_with("clip: ") && !error.contains(&models.path().display().to_string()), "{error}");
    let mut unknown = command(folder.path(), &["--sam", "no-such-model"]);
    let output = unknown.output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-model"), "{output:?}");
}

#[test]
fn a_model_that_does_not_fit_the_memory_is_a_missing_part() {
    let folder = data();
    let mut command = command(folder.path(), &["--clip", &golden("clip-vit"), "--sam", &golden("sam")]);
    // Between the sizes of the two.
    command.env("EASEL_MEMORY", "450000");
    let host = Host::run(command);
    let (status, seen) =
        post(&host, "/api/analyze", &json!({ "image": disc(), "texts": ["a disc"], "roi": [[30, 20]] }));
    assert_eq!((status, seen["clip_analysis"]["concepts"][0].as_str()), (200, Some("a disc")), "{seen}");
    let error = seen["basic_segmentation"]["error"].as_str().unwrap();
    assert!(error.starts_with("sam: not enough memory: at least "), "{error}");
}

#[test]
fn too_many_regions_for_the_deployment_are_refused_before_anything_is_drawn() {
    let folder = data();
    let config = folder.path().join("easel.toml");
    std::fs::write(&config, "[limits]\npixels = 40000").unwrap();
    let data = folder.path().join("data");
    let host = Host::start(&data, &["--config", &config.display().to_string(), "--sam", &golden("sam")]);
    let roi = [[1, 1]; 3];
    let body = json!({ "prompt": "an apple", "texts": ["a disc"], "roi": roi, "width": 128, "height": 128 });
    let (status, refused) = post(&host, "/api/adv/generate", &body);
    let expected = "roi: 3 regions of 16384 pixels are more than 40000 in all, ask for 2";
    assert_eq!((status, refused["error"].as_str().unwrap()), (400, expected));
    assert_eq!(host.json("/tasks")["total_tasks"], 0);
}

#[test]
fn what_only_a_model_can_refuse_is_400_too() {
    let folder = data();
    let host = Host::start(folder.path(), &["--clip", &golden("clip-vit")]);
    let line = Image::stub(400, 2).unwrap().encode(ImageFormat::Png, &EncodeOptions::default()).unwrap();
    let body = json!({ "image": BASE64_STANDARD.encode(line), "texts": ["a line"], "roi": [[3, 1]] });
    let (status, refused) = post(&host, "/api/analyze", &body);
    let expected = "image: 400x2 pixels, expected at most 100 times as long as wide";
    assert_eq!((status, refused["error"].as_str().unwrap()), (400, expected));
}

/// The example in Python, if there is one.
#[test]
fn the_python_client_draws_and_analyzes() {
    if Command::new("python3").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no python3");
    }
    let folder = data();
    let host = Host::start(folder.path(), &["--clip", &golden("clip-vit"), "--sam", &golden("sam")]);
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/analysis/client.py");
    let run = |more: &[&str]| {
        let mut command = Command::new("python3");
        command.arg(&client).args(["a red apple", "--seed", "7", "--url", &host.url("")]);
        command.args(more).current_dir(folder.path()).output().unwrap()
    };
    let output = run(&[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("most of all: a"), "{output:?}");
    for name in ["apple.png", "apple-1.png", "apple-2.png", "apple-3.png"] {
        let file = std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(Image::dimensions(&file).unwrap(), (128, 128), "{name}");
    }
    let refused = run(&["--box", "16,16,300,112"]);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("400: roi: the point 300,112 is outside"), "{text}");
}
