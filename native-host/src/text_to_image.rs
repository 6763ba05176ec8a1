//! A model for programs that embed Easel. Load it once and run it as often as you like. Names, defaults and the rounding of sizes
//! are those of Caikit's modules for text to image.

use crate::model::{self, LoadOptions, LoadedModel, Result};
use crate::names;
use easel_contract::caikit::{GUIDANCE_SCALE, SIZE, STEPS, nearest_multiple};
use easel_inference::pipeline::{CancelToken, Picture, Request, Unwatched};
use easel_inference::tensor::DeviceKind;
use easel_picture::{EncodeOptions, ImageFormat};
use std::hash::{BuildHasher, Hasher, RandomState};

/// A model in memory.
///
/// ```
/// use easel_host::{RunOptions, TextToImage};
/// use easel_picture::ImageFormat;
///
/// # fn main() -> Result<(), easel_host::model::Error> {
/// // The stub fills its pictures with one colour. "easel-emoji" draws, and so does a folder or a checkpoint.
/// let model = TextToImage::load("stub")?;
/// let options = RunOptions { height: 550, width: 500, ..RunOptions::default() };
/// let picture = model.run("A golden retriever sitting in a grassy field", options)?;
/// assert_eq!(picture.caption, "A golden retriever sitting in a grassy field");
/// assert_eq!(picture.output.to_rgb8()[..3], [0, 100, 200]);
/// let jpeg = picture.output.encoded(ImageFormat::Jpeg)?;
/// assert!(jpeg.starts_with(&[0xff, 0xd8]));
/// # Ok(()) }
/// ```
pub struct TextToImage {
    model: LoadedModel,
    /// Width and height are multiples of this many pixels.
    step: i64,
}

/// The settings of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOptions {
    /// In pixels, rounded to the nearest height that the model can draw.
    pub height: u32,
    /// In pixels, rounded to the nearest width that the model can draw.
    pub width: u32,
    /// Denoising steps.
    pub num_steps: u32,
    /// How strongly to follow the prompt. 1 or less turns guidance off.
    pub guidance_scale: f64,
    /// What not to draw.
    pub negative_prompt: Option<String>,
    /// The format of [`Output::image_data`].
    pub image_format: ImageFormat,
}

impl Default for RunOptions {
    /// Caikit's: a PNG of 512x512 in one step without guidance.
    fn default() -> Self {
        Self {
            height: SIZE,
            width: SIZE,
            num_steps: STEPS,
            guidance_scale: GUIDANCE_SCALE,
            negative_prompt: None,
            image_format: ImageFormat::Png,
        }
    }
}

/// A picture with its caption.
#[derive(Clone, Debug)]
pub struct CaptionedImage {
    /// The prompt.
    pub caption: String,
    /// The picture.
    pub output: Output,
}

/// A picture and its settings.
#[derive(Clone, Debug)]
pub struct Output {
    picture: Picture,
    format: ImageFormat,
}

impl TextToImage {
    /// Loads a model onto the best device: a name in the list of `easel models`, `owner/name` on the hub, a folder or a file.
    ///
    /// # Errors
    /// [`model::Error`] for unknown names and files that cannot be loaded.
    pub fn load(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        let place = names::resolve(name)?;
        let step = match model::describe(&place, None, &[])? {
            Some(description) => i64::try_from(description.size_step()).unwrap_or(i64::MAX),
            None => 1,
        };
        let options = LoadOptions::new(model::select_device(DeviceKind::Auto, None)?.device);
        let model = LoadedModel::load(name, &place, &options, &mut Unwatched, &CancelToken::default())?;
        Ok(Self { model, step })
    }

    /// Draws a picture of a prompt with a new seed.
    ///
    /// # Errors
    /// [`model::Error`] for options out of range and for failures of the device.
    pub fn run(&self, inputs: impl Into<String>, options: RunOptions) -> Result<CaptionedImage> {
        let caption = inputs.into();
        let side = |side: u32| usize::try_from(nearest_multiple(side.into(), self.step)).ok();
        // 32 bits are short enough to be typed again.
        let seed = RandomState::new().build_hasher().finish() & u64::from(u32::MAX);
        let request = Request {
            width: side(options.width),
            height: side(options.height),
            steps: Some(options.num_steps as usize),
            guidance_scale: Some(options.guidance_scale),
            ..Request::new(&caption, options.negative_prompt.as_deref(), seed, 1)
        };
        let mut pictures = self.model.generate(&request, &mut Unwatched, &CancelToken::default())?;
        let picture = pictures.pop().expect("a request for one picture draws one");
        Ok(CaptionedImage { caption, output: Output { picture, format: options.image_format } })
    }
}

impl Output {
    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.picture.image.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.picture.image.height
    }

    /// The file in the format of the options.
    ///
    /// # Errors
    /// Those of [`encoded`](Self::encoded).
    pub fn image_data(&self) -> Result<Vec<u8>> {
        self.encoded(self.format)
    }

    /// The file in this format, with the settings inside if the format has a place for them.
    ///
    /// # Errors
    /// [`model::Error::Picture`] for a size that the format does not allow.
    pub fn encoded(&self, format: ImageFormat) -> Result<Vec<u8>> {
        let parameters = self.picture.parameters.to_string();
        let options = EncodeOptions { parameters: Some(&parameters), ..EncodeOptions::default() };
        Ok(self.picture.image.encode(format, &options)?)
    }

    /// The pixels row by row, three bytes each: `height * width * 3`.
    pub fn to_rgb8(&self) -> Vec<u8> {
        self.picture.image.rgb8.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_keeps_every_size_and_other_models_draw_the_nearest() {
        let odd = || RunOptions { height: 69, width: 75, image_format: ImageFormat::Jpeg, ..RunOptions::default() };
        let stub = TextToImage::load("stub").unwrap().run("a cat", odd()).unwrap().output;
        assert_eq!((stub.width(), stub.height()), (75, 69));
        assert_eq!(stub.to_rgb8(), [0, 100, 200].repeat(75 * 69));
        assert_eq!(ImageFormat::detect(&stub.image_data().unwrap()).unwrap(), ImageFormat::Jpeg);
        let drawn = TextToImage::load("easel-emoji").unwrap().run("a red apple", odd()).unwrap();
        assert_eq!((drawn.output.width(), drawn.output.height()), (72, 72));
        assert_eq!(drawn.caption, "a red apple");
    }

    #[test]
    fn errors_name_the_fault() {
        assert!(matches!(TextToImage::load("no-such-model"), Err(model::Error::Name(_))));
        let model = TextToImage::load("easel-emoji").unwrap();
        let refused = model.run("a cat", RunOptions { num_steps: 0, ..RunOptions::default() }).unwrap_err();
        assert!(refused.to_string().starts_with("steps: "), "{refused}");
    }
}
