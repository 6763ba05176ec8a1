//! GIF, BMP and TIFF: every kind of sample, and every kind of broken file.

use super::FORMATS;
use crate::codec::exif;
use crate::{EncodeOptions, ImageFormat, Limits, read_metadata};
use crate::{Error, Image};
use image::codecs::bmp::BmpEncoder;
use image::codecs::gif::GifEncoder;
use image::{ExtendedColorType, ImageEncoder};
use proptest::prelude::*;
use std::io::Cursor;
use tiff::encoder::colortype::{CMYK8, Gray8, Gray16, RGB8, RGB32Float, RGBA8};
use tiff::encoder::{TiffEncoder, TiffValue, colortype};

const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];

fn bmp(samples: &[u8], width: u32, height: u32, color: ExtendedColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    BmpEncoder::new(&mut bytes).write_image(samples, width, height, color).unwrap();
    bytes
}

fn tiff<C: colortype::ColorType>(samples: &[C::Inner], width: u32, height: u32) -> Vec<u8>
where
    [C::Inner]: TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    TiffEncoder::new(&mut bytes).unwrap().write_image::<C>(width, height, samples).unwrap();
    bytes.into_inner()
}

/// A GIF of 3x2 pixels with a frame for each colour.
fn gif(colors: &[[u8; 3]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for color in colors {
        encoder.encode(&color.repeat(6), 3, 2, ExtendedColorType::Rgb8).unwrap();
    }
    drop(encoder);
    bytes
}

/// This picture in a file of each format.
pub(crate) fn files(image: &Image) -> [Vec<u8>; 3] {
    let width = image.width as u32;
    let height = image.height as u32;
    let mut gif = Vec::new();
    GifEncoder::new(&mut gif).encode(&image.rgb8, width, height, ExtendedColorType::Rgb8).unwrap();
    let bmp = bmp(&image.rgb8, width, height, ExtendedColorType::Rgb8);
    [gif, bmp, tiff::<RGB8>(&image.rgb8, width, height)]
}

/// A little-endian TIFF with one strip: entries of tag, type and value, each value a single number. Type 3 is 16 bits,
/// type 4 is 32.
fn tiff_of(entries: &[(u16, u16, u32)], strip: &[u8]) -> Vec<u8> {
    let mut entries = entries.to_vec();
    // The strip follows the directory: its offset and its length.
    let directory = 2 + (entries.len() + 2) * 12 + 4;
    entries.extend([(273, 4, 8 + directory as u32), (279, 4, strip.len() as u32)]);
    entries.sort_unstable();
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend(strip);
    bytes
}

/// The entries of an 8-bit grey picture.
fn grey(width: u32, height: u32) -> Vec<(u16, u16, u32)> {
    vec![(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 1), (278, 4, height)]
}

fn decode(bytes: &[u8]) -> Image {
    Image::decode(bytes, &Limits::default()).unwrap()
}

fn refused(bytes: &[u8]) -> String {
    Image::decode(bytes, &Limits::default()).unwrap_err().to_string()
}

#[test]
fn formats_are_detected_by_their_first_bytes() {
    let format = |bytes: &[u8]| ImageFormat::detect(bytes).unwrap();
    assert_eq!(format(&gif(&[RED])), ImageFormat::Gif);
    assert_eq!(format(&bmp(&RED, 1, 1, ExtendedColorType::Rgb8)), ImageFormat::Bmp);
    assert_eq!(format(&tiff::<RGB8>(&RED, 1, 1)), ImageFormat::Tiff);
    assert_eq!(format(b"MM\0*"), ImageFormat::Tiff);
    let text = ImageFormat::detect(b"BMW is a maker of cars");
    assert_eq!(text, Err(Error::UnknownFormat { start: b"BMW ".to_vec() }));
}

#[test]
fn all_kinds_of_samples_become_rgb() {
    let rgb = ExtendedColorType::Rgb8;
    let rgba = ExtendedColorType::Rgba8;
    assert_eq!(decode(&bmp(&[1, 2, 3], 1, 1, rgb)).rgb8, [1, 2, 3]);
    assert_eq!(decode(&bmp(&[7], 1, 1, ExtendedColorType::L8)).rgb8, [7, 7, 7]);
    assert_eq!(decode(&bmp(&[0, 100, 200, 128], 1, 1, rgba)).rgb8, [127, 177, 227]);
    assert_eq!(decode(&tiff::<RGB8>(&[1, 2, 3], 1, 1)).rgb8, [1, 2, 3]);
    assert_eq!(decode(&tiff::<Gray8>(&[7], 1, 1)).rgb8, [7, 7, 7]);
    assert_eq!(decode(&tiff::<RGBA8>(&[0, 100, 200, 128], 1, 1)).rgb8, [127, 177, 227]);
    // 16 bits keep their upper byte.
    assert_eq!(decode(&tiff::<Gray16>(&[0x12ff], 1, 1)).rgb8, [0x12; 3]);
    assert_eq!(decode(&tiff::<RGB32Float>(&[0.5, -1.0, 7.0], 1, 1)).rgb8, [128, 0, 255]);
}

#[test]
fn cmyk_becomes_rgb() {
    assert_eq!(decode(&tiff::<CMYK8>(&[0, 255, 255, 0, 10, 20, 30, 40], 2, 1)).rgb8, [255, 0, 0, 207, 198, 190]);
}

#[test]
fn bits_become_black_and_white() {
    let mut entries = grey(10, 2);
    entries[2] = (258, 3, 1);
    let image = decode(&tiff_of(&entries, &[0b1010_0000, 0b0100_0000, 0b0000_0001, 0]));
    let row = |bits: [u8; 10]| bits.map(|bit| bit * 255);
    let expected = [row([1, 0, 1, 0, 0, 0, 0, 0, 0, 1]), row([0, 0, 0, 0, 0, 0, 0, 1, 0, 0])];
    assert_eq!(image.to_luma(), expected.concat());
}

#[test]
fn unsupported_tiffs_are_refused() {
    let mut entries = grey(1, 1);
    entries[4] = (262, 3, 8); // CIE L*a*b*
    assert!(refused(&tiff_of(&entries, &[7])).starts_with("TIFF: "), "{}", refused(&tiff_of(&entries, &[7])));
    entries[4] = (262, 3, 1);
    entries[2] = (258, 3, 64);
    assert!(refused(&tiff_of(&entries, &[7; 8])).starts_with("TIFF: "));
}

#[test]
fn the_first_frame_of_an_animation_is_taken() {
    let image = decode(&gif(&[RED, BLUE]));
    assert_eq!((image.width, image.height), (3, 2));
    assert_eq!(image.rgb8, RED.repeat(6));
}

#[test]
fn a_tiff_is_turned_upright_and_its_comment_is_read() {
    let mut entries = grey(3, 1);
    entries.push((274, 3, 6));
    let image = decode(&tiff_of(&entries, &[10, 20, 30]));
    assert_eq!((image.width, image.height), (1, 3));
    assert_eq!(image.to_luma(), [10, 20, 30]);
    assert_eq!(read_metadata(&exif::write("a cat")).unwrap().as_deref(), Some("a cat"));
    assert_eq!(read_metadata(&gif(&[RED])).unwrap(), None);
    assert_eq!(read_metadata(&bmp(&RED, 1, 1, ExtendedColorType::Rgb8)).unwrap(), None);
}

#[test]
fn truncated_files_are_refused() {
    let samples = [9; 5 * 4 * 3];
    let files = [
        bmp(&samples, 5, 4, ExtendedColorType::Rgb8),
        tiff::<RGB8>(&samples, 5, 4),
        tiff_of(&grey(5, 4), &samples[..20]),
    ];
    for bytes in files {
        for end in 0..bytes.len() {
            let error = Image::decode(&bytes[..end], &Limits::default());
            // A TIFF may have its directory at either end.
            assert!(error.is_err(), "cut to {end} of {} bytes", bytes.len());
        }
    }
    // The terminator of a GIF's frame and its trailer are not needed.
    let bytes = gif(&[RED]);
    for end in 0..bytes.len() - 2 {
        assert!(Image::decode(&bytes[..end], &Limits::default()).is_err(), "cut to {end} of {} bytes", bytes.len());
    }
}

#[test]
fn decompression_bombs_are_refused_by_their_headers() {
    let mut bytes = bmp(&RED, 1, 1, ExtendedColorType::Rgb8);
    bytes[18..22].copy_from_slice(&60_000_u32.to_le_bytes());
    bytes[22..26].copy_from_slice(&60_000_u32.to_le_bytes());
    assert_eq!(refused(&bytes), "BMP: 60000x60000 pixels, expected at most 67108864");
    bytes[18..22].copy_from_slice(&i32::MAX.to_le_bytes());
    assert!(refused(&bytes).starts_with("BMP: "), "{}", refused(&bytes));

    let mut screen = gif(&[RED]);
    screen[6..10].fill(0xff);
    assert_eq!(refused(&screen), "GIF: 65535x65535 pixels, expected at most 67108864");
    // A frame that is larger than its screen.
    let mut frame = gif(&[RED]);
    let descriptor = frame.iter().position(|&byte| byte == b',').unwrap();
    frame[descriptor + 5..descriptor + 9].fill(0xff);
    assert!(refused(&frame).starts_with("GIF: "), "{}", refused(&frame));

    let large = tiff_of(&grey(100_000, 100_000), &[0; 16]);
    assert_eq!(refused(&large), "TIFF: 100000x100000 pixels, expected at most 67108864");
    // A strip that claims to be longer than the file.
    let mut strip = tiff_of(&grey(8, 8), &[0; 64]);
    let length = strip.windows(2).position(|pair| pair == 279_u16.to_le_bytes()).unwrap() + 8;
    strip[length..length + 4].fill(0xff);
    assert!(refused(&strip).starts_with("TIFF: "), "{}", refused(&strip));

    let small = Limits { pixels: 20, bytes: 59 };
    let error = |bytes: &[u8]| Image::decode(bytes, &small).unwrap_err().to_string();
    let samples = [9; 5 * 4 * 3];
    let bytes = bmp(&samples, 5, 4, ExtendedColorType::Rgb8);
    assert_eq!(error(&bytes), "BMP: 60 bytes when decoded, expected at most 59");
    let bytes = tiff::<RGB8>(&samples, 5, 4);
    assert_eq!(error(&bytes), "TIFF: 60 bytes when decoded, expected at most 59");
    let small = Limits { pixels: 6, bytes: 23 };
    let error = Image::decode(&gif(&[RED]), &small).unwrap_err().to_string();
    assert_eq!(error, "GIF: 24 bytes when decoded, expected at most 23");
}

/// A picture with few colours, which a GIF stores exactly.
fn stripes(width: usize, height: usize) -> Image {
    let colors = [RED, BLUE, [1, 2, 3], [250, 251, 252]];
    Image::new(width, height, (0..width * height).flat_map(|i| colors[i % 7 % 4]).collect()).unwrap()
}

#[test]
fn every_format_is_written_and_detected() {
    let image = stripes(13, 9);
    for format in FORMATS {
        let bytes = image.encode(*format, &EncodeOptions { parameters: Some("a cat"), ..Default::default() }).unwrap();
        assert_eq!(ImageFormat::detect(&bytes).unwrap(), *format);
        assert_eq!(decode(&bytes), image, "{format:?}");
        assert_eq!(read_metadata(&bytes).unwrap(), None, "{format:?}");
        assert_eq!(image.encode(*format, &EncodeOptions::default()).unwrap(), bytes, "{format:?}: the same bytes");
        assert_eq!(format.name().to_lowercase().parse::<ImageFormat>().unwrap(), *format);
    }
    assert_eq!("tif".parse::<ImageFormat>().unwrap(), ImageFormat::Tiff);
}

/// 256 of 4,096 colours, in two channels: the nearest is seldom far away.
#[test]
fn a_gif_of_many_colours_has_the_nearest_ones() {
    let pixel = |i: usize| [(i % 64 * 4) as u8, (i / 64 * 4) as u8, 128];
    let image = Image::new(64, 64, (0..64 * 64).flat_map(pixel).collect()).unwrap();
    let written = decode(&image.encode(ImageFormat::Gif, &EncodeOptions::default()).unwrap());
    let squares = image.rgb8.iter().zip(&written.rgb8).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    let error = (squares.sum::<f64>() / image.rgb8.len() as f64).sqrt();
    assert!(error < 12.0, "{error}");
}

#[test]
fn a_gif_has_at_most_65535_pixels_in_a_row() {
    let error = Image::stub(65_536, 1).unwrap().encode(ImageFormat::Gif, &EncodeOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "width: 65536 is more than a GIF can have");
}

proptest! {
    #[test]
    fn lossless_files_preserve_the_picture(
        (width, rgb8) in (1..20_usize, 1..20_usize).prop_flat_map(|(width, height)| {
            (Just(width), proptest::collection::vec(any::<u8>(), width * height * 3))
        })
    ) {
        let height = rgb8.len() / 3 / width;
        let image = Image::new(width, height, rgb8).unwrap();
        let bytes = bmp(&image.rgb8, width as u32, height as u32, ExtendedColorType::Rgb8);
        prop_assert_eq!(&decode(&bytes), &image);
        let bytes = tiff::<RGB8>(&image.rgb8, width as u32, height as u32);
        prop_assert_eq!(&decode(&bytes), &image);
        for format in [ImageFormat::Bmp, ImageFormat::Tiff] {
            let bytes = image.encode(format, &EncodeOptions::default()).unwrap();
            prop_assert_eq!(&decode(&bytes), &image);
        }
    }
}
