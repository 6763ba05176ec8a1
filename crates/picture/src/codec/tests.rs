//! Files written and read back, and every kind of broken file. `tests/pil.rs` compares them with PIL.

use super::*;
use ::image::metadata::Orientation;
use ImageFormat::{Jpeg, Png, WebP};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const TEXT: &str = "a café\nSteps: 20, Sampler: DDIM, Seed: 1";
const WIDE: &str = "猫 and 🐈\nSteps: 20, Sampler: DDIM, Seed: 1";

/// A picture that JPEG can represent well.
fn picture(width: usize, height: usize) -> Image {
    let pixel = |i: usize| [(i % width * 255 / width) as u8, (i / width * 255 / height) as u8, 128];
    Image::new(width, height, (0..width * height).flat_map(pixel).collect()).unwrap()
}

fn encode(format: ImageFormat, parameters: Option<&str>) -> Vec<u8> {
    picture(40, 24).encode(format, &EncodeOptions { quality: 95, parameters }).unwrap()
}

fn decode(bytes: &[u8]) -> Result<Image> {
    Image::decode(bytes, &Limits::default())
}

fn decode_error(bytes: &[u8]) -> String {
    decode(bytes).unwrap_err().to_string()
}

/// A PNG chunk with a correct checksum.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes(), kind.as_slice(), data, &crc.sum().to_be_bytes()].concat()
}

/// A PNG with this chunk before its picture.
fn png_with(chunk: &[u8]) -> Vec<u8> {
    let mut bytes = encode(Png, None);
    bytes.splice(33..33, chunk.iter().copied());
    bytes
}

fn deflated(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::read::ZlibEncoder::new(data, flate2::Compression::best());
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut encoder, &mut out).unwrap();
    out
}

#[test]
fn lossless_files_preserve_the_picture() {
    for format in [Png, WebP] {
        assert_eq!(decode(&encode(format, Some(WIDE))).unwrap(), picture(40, 24), "{format:?}");
    }
}

#[test]
fn jpeg_nearly_preserves_the_picture() {
    for (quality, tolerance) in [(100, 3), (95, 3), (75, 12)] {
        let bytes = picture(40, 24).encode(Jpeg, &EncodeOptions { quality, parameters: None }).unwrap();
        let image = decode(&bytes).unwrap();
        assert_eq!((image.width, image.height), (40, 24));
        let error = image.rgb8.iter().zip(&picture(40, 24).rgb8).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(error <= tolerance, "quality {quality}: {error}");
    }
}

#[test]
fn parameters_are_read_back_from_every_format() {
    for format in [Png, Jpeg, WebP] {
        for text in [TEXT, WIDE, "plain"] {
            let bytes = encode(format, Some(text));
            assert_eq!(ImageFormat::detect(&bytes).unwrap(), format);
            assert_eq!(read_metadata(&bytes).unwrap().as_deref(), Some(text), "{format:?}");
            assert_eq!(bytes, encode(format, Some(text)), "{format:?}: the same bytes each time");
        }
        assert_eq!(read_metadata(&encode(format, None)).unwrap(), None, "{format:?}");
    }
}

#[test]
fn latin1_goes_to_text_and_the_rest_to_international_text() {
    let has = |text, kind: &[u8]| encode(Png, Some(text)).windows(4).any(|window| window == kind);
    assert!(has(TEXT, b"tEXt") && !has(TEXT, b"iTXt"));
    assert!(has(WIDE, b"iTXt") && !has(WIDE, b"tEXt"));
}

#[test]
fn compressed_text_and_exif_are_read_from_a_png() {
    let text = |bytes: &[u8]| read_metadata(bytes).unwrap().unwrap();
    let compressed = [b"parameters\0\0".as_slice(), &deflated(b"caf\xe9")].concat();
    assert_eq!(text(&png_with(&chunk(b"zTXt", &compressed))), "café");
    let compressed = [b"parameters\0\x01\0en\0P\0".as_slice(), &deflated("café".as_bytes())].concat();
    assert_eq!(text(&png_with(&chunk(b"iTXt", &compressed))), "café");
    assert_eq!(text(&png_with(&chunk(b"eXIf", &exif::write("café")))), "café");
    assert_eq!(read_metadata(&png_with(&chunk(b"tEXt", b"Software\0parameters"))).unwrap(), None);
}

#[test]
fn broken_text_chunks_are_named() {
    let message = |kind, data: &[u8]| read_metadata(&png_with(&chunk(kind, data))).unwrap_err().to_string();
    let bomb = [b"parameters\0\0".as_slice(), &deflated(&vec![b'a'; TEXT_MAX + 1])].concat();
    assert!(bomb.len() < 5000);
    assert_eq!(message(b"zTXt", &bomb), "PNG: chunk zTXt: text is longer than 1048576 bytes");
    let long = [b"parameters\0".as_slice(), &vec![b'a'; TEXT_MAX + 1]].concat();
    assert_eq!(message(b"tEXt", &long), "PNG: chunk tEXt: text is longer than 1048576 bytes");
    assert!(message(b"zTXt", b"parameters\0\0junk").starts_with("PNG: chunk zTXt: cannot be inflated: "));
    assert_eq!(message(b"zTXt", b"parameters\0\x07"), "PNG: chunk zTXt: expected compression method 0");
    assert_eq!(message(b"iTXt", b"parameters\0\0\0en"), "PNG: chunk iTXt: ends before its text");
    assert_eq!(message(b"iTXt", b"parameters\0\0\0\0\0\xff"), "PNG: chunk iTXt: expected UTF-8");
    let flags = "PNG: chunk iTXt: expected compression flag 0 or 1 and method 0";
    assert_eq!(message(b"iTXt", b"parameters\0\x02\0\0\0x"), flags);
    let mut bytes = png_with(&chunk(b"tEXt", b"parameters\0text"));
    bytes[33 + 8 + 11] ^= 1;
    let error = read_metadata(&bytes).unwrap_err().to_string();
    assert!(error.starts_with("PNG: chunk tEXt: CRC is "), "{error}");
}

#[test]
fn truncated_files_are_refused() {
    for format in [Png, Jpeg, WebP] {
        let bytes = encode(format, Some(TEXT));
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "{format:?} cut to {end} of {} bytes", bytes.len());
        }
    }
    assert_eq!(decode_error(&encode(Jpeg, None)[..700]), "JPEG: ends before its end-of-image marker");
    assert_eq!(read_metadata(&encode(Jpeg, None)[..90]).unwrap_err().to_string(), "JPEG: ends within a segment");
    let error = read_metadata(&encode(WebP, Some(TEXT))[..60]).unwrap_err().to_string();
    assert_eq!(error, "WebP: ends within a chunk");
    assert_eq!(read_metadata(&encode(Png, None)[..60]).unwrap_err().to_string(), "PNG: ends within a chunk");
}

#[test]
fn other_files_are_refused() {
    let formats = if extra::FORMATS.is_empty() { "PNG, JPEG or WebP" } else { "PNG, JPEG, WebP, GIF, BMP or TIFF" };
    let error = format!("picture: begins with [25, 50, 44, 46], expected a {formats} file");
    assert_eq!(decode_error(b"%PDF-1.7"), error);
    assert_eq!(decode_error(b""), format!("picture: begins with [], expected a {formats} file"));
    assert_eq!(read_metadata(b"%PDF-1.7").unwrap_err().to_string(), error);
}

#[test]
fn a_wrong_checksum_is_refused() {
    let mut bytes = encode(Png, None);
    bytes[20] ^= 1; // in the header
    assert!(decode_error(&bytes).starts_with("PNG: "), "{}", decode_error(&bytes));
}

#[test]
fn decompression_bombs_are_refused_by_their_headers() {
    let mut header = 40_000_u32.to_be_bytes().repeat(2);
    header.extend([8, 2, 0, 0, 0]);
    let bytes =
        [&encode(Png, None)[..8], &chunk(b"IHDR", &header), &chunk(b"IDAT", b"x"), &chunk(b"IEND", b"")].concat();
    assert_eq!(decode_error(&bytes), "PNG: 40000x40000 pixels, expected at most 67108864");

    let mut bytes = encode(Jpeg, None);
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 9].fill(0xff);
    assert_eq!(decode_error(&bytes), "JPEG: 65535x65535 pixels, expected at most 67108864");

    // A lossy frame that is larger than its container.
    let frame = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f, 0, 0];
    let riff = |chunks: &[u8]| [b"RIFF".as_slice(), &(chunks.len() as u32 + 4).to_le_bytes(), b"WEBP", chunks].concat();
    let part = |kind: &[u8; 4], data: &[u8]| [kind.as_slice(), &(data.len() as u32).to_le_bytes(), data].concat();
    let chunks = [part(b"VP8X", &[0, 0, 0, 0, 7, 0, 0, 7, 0, 0]), part(b"VP8 ", &frame)].concat();
    assert_eq!(decode_error(&riff(&chunks)), "WebP: 16383x16383 pixels, expected at most 67108864");

    let small = Limits { pixels: 40 * 24, bytes: 40 * 24 * 3 - 1 };
    let error = |format| Image::decode(&encode(format, None), &small).unwrap_err().to_string();
    assert_eq!(error(Png), "PNG: 2880 bytes when decoded, expected at most 2879");
    assert_eq!(error(Jpeg), "JPEG: 2880 bytes when decoded, expected at most 2879");
    assert_eq!(error(WebP), "WebP: 3840 bytes when decoded, expected at most 2879");
}

#[test]
fn the_orientation_of_a_jpeg_is_applied() {
    // Exif with orientation 6: the first column is the top row.
    let block = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut bytes = encode(Jpeg, None);
    let segment = [&[0xff, 0xe1], (block.len() as u16 + 2).to_be_bytes().as_slice(), block].concat();
    bytes.splice(2..2, segment);
    let turned = decode(&bytes).unwrap();
    let image = decode(&encode(Jpeg, None)).unwrap();
    assert_eq!((turned.width, turned.height), (24, 40));
    assert_eq!(turned, orientation::upright(image, Orientation::Rotate90, Jpeg).unwrap());
}

#[test]
fn pictures_that_a_format_cannot_hold_are_refused() {
    let refuse = |image: &Image, format, quality, parameters| {
        image.encode(format, &EncodeOptions { quality, parameters }).unwrap_err().to_string()
    };
    let image = picture(8, 8);
    assert_eq!(refuse(&image, Jpeg, 0, None), "quality: must be between 1 and 100, got 0");
    let long = "a".repeat(40_000);
    let error = "parameters: 80052 bytes of Exif, expected at most 65527 in a JPEG";
    assert_eq!(refuse(&image, Jpeg, 90, Some(&long)), error);
    let wide = Image::stub(70_000, 1).unwrap();
    assert_eq!(refuse(&wide, Jpeg, 90, None), "width: 70000 is more than a JPEG can have");
    assert_eq!(refuse(&wide, WebP, 90, None), "width: 70000 is more than 16384, the most a WebP can have");
    let broken = Image { width: 2, height: 2, rgb8: Vec::new() };
    assert_eq!(refuse(&broken, Png, 90, None), "image: 2x2 pixels of 3 channels are 12 samples, got 0");
}

#[test]
fn formats_have_names() {
    for (name, format) in [("png", Png), ("JPEG", Jpeg), ("jpg", Jpeg), ("webp", WebP)] {
        assert_eq!(name.parse::<ImageFormat>().unwrap(), format);
    }
    let formats = if extra::FORMATS.is_empty() { "png, jpeg or webp" } else { "png, jpeg, webp, gif, bmp or tiff" };
    let error = format!("format: must be {formats}, got xcf");
    assert_eq!("xcf".parse::<ImageFormat>().unwrap_err().to_string(), error);
    assert_eq!([Png, Jpeg, WebP].map(ImageFormat::media_type), ["image/png", "image/jpeg", "image/webp"]);
}

/// A file of each supported format.
fn files() -> Vec<Vec<u8>> {
    let files = vec![encode(Png, Some(TEXT)), encode(Jpeg, Some(TEXT)), encode(WebP, Some(TEXT))];
    #[cfg(feature = "extra-formats")]
    let files = [files, extra::tests::files(&picture(40, 24)).to_vec()].concat();
    files
}

proptest! {
    #[test]
    fn damaged_files_are_read_or_refused(file in 0..files().len(), damage in vec((any::<Index>(), any::<u8>()), 1..9)) {
        let mut bytes = files().swap_remove(file);
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let limits = Limits { pixels: 1 << 14, bytes: 1 << 17 };
        if let Ok(image) = Image::decode(&bytes, &limits) {
            prop_assert_eq!(image.rgb8.len(), image.width * image.height * 3);
            prop_assert!(image.width * image.height <= limits.pixels);
        }
        // The text may be lost, but the format stays known.
        let _ = read_metadata(&bytes);
    }
}
