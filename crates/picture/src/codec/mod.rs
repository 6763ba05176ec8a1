//! Picture files: PNG, JPEG and WebP to and from [`Image`], with generation parameters. With the feature `extra-formats`
//! also GIF, BMP and TIFF, which are written without parameters: no tool looks for them there.
//!
//! The parameters are where AUTOMATIC1111's web UI writes them and other tools look for them: in a PNG text chunk called
//! `parameters`, or in the Exif user comment of a JPEG or a WebP. The same picture with the same text gives the same
//! bytes on every machine.

mod exif;
#[cfg_attr(not(feature = "extra-formats"), path = "extra_disabled.rs")]
mod extra;
mod jpeg;
mod orientation;
mod png;
mod read;
mod webp;

use crate::error::available;
use crate::mask::{self, Redraw};
use crate::{Error, Image, Result};

/// The longest parameters text that is read, in bytes, after decompression.
const TEXT_MAX: usize = 1 << 20;

/// A kind of picture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// <https://www.w3.org/TR/png-3/>
    Png,
    /// <https://www.w3.org/Graphics/JPEG/itu-t81.pdf>
    Jpeg,
    /// <https://developers.google.com/speed/webp/docs/riff_container>
    WebP,
    /// <https://www.w3.org/Graphics/GIF/spec-gif89a.txt>
    Gif,
    /// <https://learn.microsoft.com/en-us/windows/win32/gdi/bitmap-storage>
    Bmp,
    /// <https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf>
    Tiff,
}

impl ImageFormat {
    /// The format's usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
        }
    }

    /// The media type, as in a `Content-Type` header.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
        }
    }

    /// The formats that this build reads and writes.
    pub fn available() -> impl Iterator<Item = Self> {
        const ALWAYS: [ImageFormat; 3] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
        ALWAYS.into_iter().chain(extra::FORMATS.iter().copied())
    }

    /// The format of a file by its first bytes. [`Error::UnknownFormat`] if they match no supported format.
    pub fn detect(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Self::Gif),
            [b'B', b'M', rest @ ..] if is_bmp_header(rest) => Ok(Self::Bmp),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Self::Tiff),
            _ => Err(Error::UnknownFormat { start: bytes[..bytes.len().min(4)].to_vec() }),
        }
    }

    /// Makes the error for a broken file of this format.
    fn error(self, reason: impl std::fmt::Display) -> Error {
        Error::File { format: self, reason: reason.to_string().replace('\n', " ") }
    }

    /// Checks the size in a file's header before anything is allocated.
    fn check_limits(self, limits: &Limits, width: usize, height: usize, bytes_per_pixel: usize) -> Result<()> {
        let pixels = width.saturating_mul(height);
        if pixels == 0 {
            return Err(self.error(format!("{width}x{height} pixels, expected at least one")));
        }
        if pixels > limits.pixels {
            return Err(Error::Pixels { format: self, width, height, max: limits.pixels });
        }
        let bytes = pixels.saturating_mul(bytes_per_pixel);
        if bytes > limits.bytes {
            return Err(Error::Memory { format: self, bytes, max: limits.bytes });
        }
        Ok(())
    }
}

/// Whether a file and bitmap header follows `BM`. `BM` alone may be text.
fn is_bmp_header(rest: &[u8]) -> bool {
    matches!(rest, [_, _, _, _, _, _, _, _, _, _, _, _, 12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0, ..])
}

/// By name or file extension, in upper or lower case: `jpeg` or `jpg`, `tiff` or `tif`. [`Error::Invalid`] lists the
/// [available](ImageFormat::available) ones.
impl std::str::FromStr for ImageFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let wanted = match name.to_ascii_lowercase().as_str() {
            "jpg" => "jpeg".to_owned(),
            "tif" => "tiff".to_owned(),
            other => other.to_owned(),
        };
        let found = Self::available().find(|format| format.name().eq_ignore_ascii_case(&wanted));
        found.ok_or_else(|| {
            Error::invalid("format", format!("must be {}, got {name}", available().to_ascii_lowercase()))
        })
    }
}

/// How large an untrusted picture may be. A file of a few bytes can declare any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most pixels.
    pub pixels: usize,
    /// The most bytes of decoded samples, including alpha.
    pub bytes: usize,
}

/// 64 megapixels of RGBA.
impl Default for Limits {
    fn default() -> Self {
        Self { pixels: 64 << 20, bytes: 256 << 20 }
    }
}

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions<'a> {
    /// JPEG quality, 1 to 100; from 90 on, colours keep their full resolution. The other formats are lossless, except GIF,
    /// which has 256 colours.
    pub quality: u8,
    /// The generation parameters to write, in a PNG, JPEG or WebP.
    pub parameters: Option<&'a str>,
}

impl Default for EncodeOptions<'_> {
    fn default() -> Self {
        Self { quality: 95, parameters: None }
    }
}

impl Image {
    /// Decodes a file of an [available](ImageFormat::available) format: alpha is painted over white, 16 bits are truncated
    /// to 8, and the picture is turned upright as its Exif says. Colour profiles are not applied, as in PIL. An animated GIF
    /// or PNG gives its first frame.
    ///
    /// Errors: [`Error::UnknownFormat`] and [`Error::NotAvailable`] for another format, [`Error::File`] for a file that is
    /// broken, truncated or an animated WebP, [`Error::Pixels`] and [`Error::Memory`] for one that exceeds the limits.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let format = ImageFormat::detect(bytes)?;
        let image = match format {
            ImageFormat::Png => png::decode(bytes, limits, Self::from_samples),
            ImageFormat::Jpeg => jpeg::decode(bytes, limits),
            ImageFormat::WebP => webp::decode(bytes, limits, Self::from_samples),
            ImageFormat::Gif => extra::decode_gif(bytes, limits),
            ImageFormat::Bmp => extra::decode_bmp(bytes, limits),
            ImageFormat::Tiff => extra::decode_tiff(bytes, limits),
        }?;
        upright(image, format, bytes)
    }

    /// The picture in a file as a mask: white where it is drawn anew.
    ///
    /// Errors: those of [`decode`](Self::decode), and [`Error::Invalid`] for a file without transparency that should have it.
    pub fn decode_mask(bytes: &[u8], redraw: Redraw, limits: &Limits) -> Result<Self> {
        if redraw != Redraw::Transparent {
            let mut image = Self::decode(bytes, limits)?;
            if redraw == Redraw::Black {
                image.rgb8.iter_mut().for_each(|sample| *sample = u8::MAX - *sample);
            }
            return Ok(image);
        }
        let format = ImageFormat::detect(bytes)?;
        let image = match format {
            ImageFormat::Png => png::decode(bytes, limits, mask::transparency),
            ImageFormat::WebP => webp::decode(bytes, limits, mask::transparency),
            _ => Err(Error::invalid("mask", format!("a {} has no transparency here, expected a PNG", format.name()))),
        }?;
        upright(image, format, bytes)
    }

    /// The width and height in a file's header, before the picture is turned upright.
    ///
    /// Errors: those of [`decode`](Self::decode) that concern the header.
    pub fn dimensions(bytes: &[u8]) -> Result<(usize, usize)> {
        // Every decoder checks the header against the limits before it allocates anything, and reports the size.
        match Self::decode(bytes, &Limits { pixels: 1, ..Limits::default() }) {
            Ok(image) => Ok((image.width, image.height)),
            Err(Error::Pixels { width, height, .. }) => Ok((width, height)),
            Err(error) => Err(error),
        }
    }

    /// Encodes a file. [`Error::Invalid`] for a size, a quality or a text that the format does not allow,
    /// [`Error::NotAvailable`] for a format that this build does not support.
    pub fn encode(&self, format: ImageFormat, options: &EncodeOptions<'_>) -> Result<Vec<u8>> {
        self.check()?;
        match format {
            ImageFormat::Png => png::encode(self, options.parameters),
            ImageFormat::Jpeg => jpeg::encode(self, options.quality, options.parameters),
            ImageFormat::WebP => webp::encode(self, options.parameters),
            ImageFormat::Gif => extra::encode_gif(self),
            ImageFormat::Bmp => extra::encode_bmp(self),
            ImageFormat::Tiff => extra::encode_tiff(self),
        }
    }

    /// The same for a PNG, without the code of other formats, which a page would have to fetch.
    pub fn encode_png(&self, parameters: Option<&str>) -> Result<Vec<u8>> {
        self.check()?;
        png::encode(self, parameters)
    }
}

/// A PNG of `height * width` levels of grey: a mask, for example. [`Error::File`] for another number of them.
pub fn encode_grey(width: usize, height: usize, grey: &[u8]) -> Result<Vec<u8>> {
    png::encode_grey(width, height, grey)
}

/// The picture turned as the file's Exif says.
fn upright(image: Image, format: ImageFormat, bytes: &[u8]) -> Result<Image> {
    match exif_of(format, bytes)?.and_then(|exif| exif.orientation()) {
        Some(orientation) => orientation::upright(image, orientation, format),
        None => Ok(image),
    }
}

/// The generation parameters that a picture file carries, if any; see [`crate::Parameters`] for what they say.
/// [`Error::File`] for a file that is broken before or where they are, and for a text of more than a megabyte.
pub fn read_metadata(bytes: &[u8]) -> Result<Option<String>> {
    let format = ImageFormat::detect(bytes)?;
    if format == ImageFormat::Png
        && let Some(text) = png::parameters(bytes)?
    {
        return Ok(Some(text));
    }
    Ok(exif_of(format, bytes)?.and_then(|exif| exif.user_comment()))
}

/// The Exif block of a file, if it has a readable one.
fn exif_of(format: ImageFormat, bytes: &[u8]) -> Result<Option<exif::Exif<'_>>> {
    let block = match format {
        ImageFormat::Png => png::exif(bytes),
        ImageFormat::Jpeg => jpeg::exif(bytes),
        ImageFormat::WebP => webp::exif(bytes),
        ImageFormat::Gif | ImageFormat::Bmp => Ok(None),
        // Exif has the structure of a TIFF file.
        ImageFormat::Tiff => Ok(Some(bytes)),
    }?;
    Ok(block.and_then(exif::Exif::open))
}

/// A dimension in the type that a codec needs. [`Error::Invalid`] if it does not fit.
fn dimension<T: TryFrom<usize>>(field: &'static str, size: usize, format: ImageFormat) -> Result<T> {
    T::try_from(size).map_err(|_| Error::invalid(field, format!("{size} is more than a {} can have", format.name())))
}

#[cfg(test)]
mod tests;
