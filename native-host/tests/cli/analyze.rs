//! `easel analyze` with the small networks of the golden folder.

use super::{Folder, repository};
use easel_picture::{EncodeOptions, Image, ImageFormat, Limits};

/// A folder with `disc.png`, a light disc on dark ground of 60x40 pixels.
fn with_disc() -> Folder {
    let folder = Folder::new();
    let light = |i: usize| (i % 60).abs_diff(30).pow(2) + (i / 60).abs_diff(20).pow(2) < 100;
    let samples = (0..60 * 40).map(|i| if light(i) { 230 } else { 20 }).collect();
    let image = Image::from_samples(60, 40, 1, samples).unwrap();
    let bytes = image.encode(ImageFormat::Png, &EncodeOptions::default()).unwrap();
    std::fs::write(folder.path("disc.png"), bytes).unwrap();
    folder
}

fn golden(name: &str) -> String {
    repository(&format!("tests/golden/{name}")).display().to_string()
}

#[test]
fn texts_are_scored_and_bars_are_sorted() {
    let folder = with_disc();
    let clip = golden("clip-vit");
    let args = ["analyze", "disc.png", "--device", "cpu", "--clip", &clip, "--texts", "a disc,a cat,a dog"];
    let found = &folder.easel(args.into_iter().chain(["--json"])).json()[0];
    let scores = found["scores"].as_array().unwrap();
    let texts: Vec<_> = scores.iter().map(|score| score["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["a disc", "a cat", "a dog"]);
    let total: f64 = scores.iter().map(|score| score["probability"].as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-5, "{total}");
    assert!(found["masks"].as_array().unwrap().is_empty());
    let lines = folder.easel(args);
    let percents = lines.text().lines().map(|line| line.split('%').next().unwrap().trim().parse::<f64>().unwrap());
    let percents: Vec<_> = percents.collect();
    assert!(percents.len() == 3 && percents.is_sorted_by(|a, b| a >= b), "{percents:?}");
}

#[test]
fn regions_become_masks_polygons_and_an_overlay() {
    let folder = with_disc();
    let sam = golden("sam");
    let args = ["analyze", "disc.png", "--device", "cpu", "--sam", &sam, "--point", "30,20", "--box", "18,8,42,32"];
    let found = &folder.easel(args.into_iter().chain(["--json", "--overlay", "seen.png"])).json()[0];
    let masks = found["masks"].as_array().unwrap();
    assert_eq!((masks.len(), masks[0]["region"].to_string().as_str()), (6, "[30.0,20.0]"));
    assert_eq!(masks[5]["region"].as_array().unwrap().len(), 4);
    for mask in masks {
        assert!(mask["iou"].is_number() && mask["rle"]["size"] == serde_json::json!([40, 60]), "{mask}");
        assert!(mask["area"].as_u64().unwrap() <= 60 * 40);
    }
    let seen = Image::decode(&folder.read("seen.png"), &Limits::default()).unwrap();
    assert_eq!((seen.width, seen.height), (60, 40));
    let again = folder.easel(args.into_iter().chain(["--overlay", "seen.png"]));
    assert_eq!(again.error(1), "seen.png: the file exists (--force replaces it)");
}

#[test]
fn bad_input_is_named() {
    let folder = with_disc();
    let clip = golden("clip-vit");
    let sam = golden("sam");
    let refused = |args: &[&str], code| {
        let start = ["analyze", "disc.png", "--device", "cpu"];
        folder.easel(start.iter().chain(args)).error(code).to_owned()
    };
    assert_eq!(refused(&[], 2), "nothing to analyze: expected --texts with --clip, or --sam");
    assert!(refused(&["--texts", "a"], 2).contains("--clip"));
    assert_eq!(refused(&["--clip", &clip, "--texts", "a,,b"], 1), "texts: text 2 is empty");
    let many = vec!["x"; 10_000].join(",");
    assert_eq!(refused(&["--clip", &clip, "--texts", &many], 1), "texts: 10000 texts, expected 1 to 256");
    let outside = refused(&["--sam", &sam, "--point", "61,5"], 1);
    assert_eq!(outside, "roi: the point 61,5 is outside of the picture of 60x40 pixels");
    assert!(refused(&["--sam", &sam, "--point", "NaN,5"], 1).contains("NaN,5 is outside"));
    assert!(refused(&["--sam", &sam, "--box", "20,20,10,30"], 1).contains("the box 20,20,10,30 is empty"));
    assert!(refused(&["--sam", &sam, "--point", "1,2,3"], 2).contains("expected 2 numbers"));
    assert!(refused(&["--sam", &sam, "--exclude", "1,2"], 2).starts_with("--exclude is for"));
    assert!(refused(&["--sam", "easel-emoji", "--point", "1,2"], 1).starts_with("this model draws pictures"));
    assert!(refused(&["--sam", &clip, "--point", "1,2"], 1).contains("expected \"sam\""));
    assert!(refused(&["--sam", "sam-vit-base", "--point", "1,2"], 1).contains("easel pull sam-vit-base"));
}

/// Pictures of one pixel have masks, too, and lines are refused.
#[test]
fn the_smallest_pictures_are_analyzed() {
    let folder = Folder::new();
    for (name, width) in [("dot.png", 1), ("line.png", 500)] {
        let image = Image::stub(width, 1).unwrap();
        let bytes = image.encode(ImageFormat::Png, &EncodeOptions::default()).unwrap();
        std::fs::write(folder.path(name), bytes).unwrap();
    }
    let clip = golden("clip-vit");
    let scores = |name| folder.easel(["analyze", name, "--device", "cpu", "--clip", &clip, "--texts", "a,b"]);
    assert_eq!(scores("dot.png").text().lines().count(), 2);
    assert_eq!(scores("line.png").error(1), "image: 500x1 pixels, expected at most 100 times as long as wide");
}
