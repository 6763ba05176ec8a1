//! Picture files, resizing and conversion to and from a model's numbers, compared with PIL and diffusers
//! (`pictures/generate.py`).

use easel_picture::{Image, Limits, Mask, read_metadata};
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::PathBuf;

/// The folder `pictures`.
struct Pictures {
    dir: PathBuf,
    cases: Value,
    tensors: Vec<u8>,
}

impl Pictures {
    fn open() -> Self {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pictures");
        let cases = serde_json::from_slice(&std::fs::read(dir.join("expected.json")).unwrap()).unwrap();
        let tensors = std::fs::read(dir.join("expected.safetensors")).unwrap();
        Self { dir, cases, tensors }
    }

    /// Height, width, and the bytes of a tensor.
    fn tensor(&self, name: &str) -> (usize, usize, Vec<u8>) {
        let tensors = SafeTensors::deserialize(&self.tensors).unwrap();
        let view = tensors.tensor(name).unwrap();
        (view.shape()[0], view.shape()[1], view.data().to_vec())
    }

    fn image(&self, name: &str) -> Image {
        let (height, width, bytes) = self.tensor(name);
        Image::new(width, height, bytes).unwrap()
    }

    fn floats(&self, name: &str) -> (usize, usize, Vec<f32>) {
        let (height, width, bytes) = self.tensor(name);
        (height, width, bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect())
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.join(name)).unwrap()
    }
}

#[test]
fn files_are_read_as_in_pil() {
    let pictures = Pictures::open();
    let cases = pictures.cases["decode"].as_array().unwrap();
    assert!(cases.len() > 20, "only {} files", cases.len());
    for case in cases {
        let name = case["file"].as_str().unwrap();
        let bytes = pictures.file(name);
        let expected = pictures.image(name);
        let image = Image::decode(&bytes, &Limits::default()).unwrap();
        assert_eq!((image.width, image.height), (expected.width, expected.height), "{name}");
        let error = image.rgb8.iter().zip(&expected.rgb8).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        println!("{name}: largest difference {error} of 255");
        assert!(u64::from(error) <= case["tolerance"].as_u64().unwrap(), "{name}: {error}");
        assert_eq!(read_metadata(&bytes).unwrap().as_deref(), case["metadata"].as_str(), "{name}");
    }
}

#[test]
fn pictures_are_resized_as_in_pil() {
    let pictures = Pictures::open();
    for case in 0..pictures.cases["resize"].as_u64().unwrap() {
        let expected = pictures.image(&format!("resize.{case}.to"));
        let source = pictures.image(&format!("resize.{case}.from"));
        assert_eq!(source.resized(expected.width, expected.height).unwrap(), expected, "resize.{case}");
    }
}

#[test]
fn conversion_to_and_from_a_models_numbers_matches_diffusers() {
    let pictures = Pictures::open();
    let image = Image::from_samples(16, 16, 1, (0..=255).collect()).unwrap();
    assert_eq!(image.to_normalized(), pictures.floats("normalized").2);
    let (height, width, values) = pictures.floats("out.values");
    assert_eq!(Image::from_normalized(width, height, &values).unwrap(), pictures.image("out.picture"));
}

#[test]
fn masks_match_diffusers() {
    let pictures = Pictures::open();
    let (height, width, values) = pictures.floats("mask.to");
    let mask = Mask::from_image(&pictures.image("mask.from"), width, height).unwrap();
    assert_eq!(mask.values, values);
    let (height, width, values) = pictures.floats("mask.latent");
    assert_eq!(mask.resized(width, height).unwrap().values, values);
}

#[test]
fn animations_are_refused() {
    let error = Image::decode(&Pictures::open().file("animated.webp"), &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "WebP: is animated, expected a still picture");
}
