//! Untrusted picture files: their pixels and their generation parameters.

#![no_main]

use easel_picture::{EncodeOptions, Image, ImageFormat, Limits, Parameters, read_metadata};
use libfuzzer_sys::fuzz_target;

/// Small, so that a run spends its time on parsing.
const LIMITS: Limits = Limits { pixels: 1 << 14, bytes: 1 << 17 };

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_text(text);
    }
    if let Ok(Some(text)) = read_metadata(bytes) {
        check_text(&text);
    }
    if let Ok(image) = Image::decode(bytes, &LIMITS) {
        assert_eq!(image.rgb8.len(), image.width * image.height * 3);
        let png = image.encode(ImageFormat::Png, &EncodeOptions::default()).expect("a decoded picture fits a PNG");
        assert_eq!(Image::decode(&png, &LIMITS).expect("our own PNG"), image);
    }
});

/// Parameters that were read are the same after writing and reading them again.
fn check_text(text: &str) {
    let Ok(parameters) = text.parse::<Parameters>();
    let written = parameters.to_string();
    let Ok(again) = written.parse::<Parameters>();
    // With fewer settings, the line reads as part of the prompt.
    if parameters.steps.is_some() && parameters.seed.is_some() && parameters.size.is_some() {
        assert_eq!(again, parameters, "{written}");
    }
}
