//! Draws one picture of a task: from noise or from another picture, twice for a hires fix. A masked area is pasted back.

use super::conversions::redraw;
use super::engine::{Failure, Report, second, without_pictures};
use super::models::STUB_SIZE;
use crate::model::LoadedModel;
use easel_contract::service::{Hires, ImageRequest, Paste};
use easel_inference::pipeline::{InitImage, Picture, Request};
use easel_picture::{Image, Limits, Retouch, Retouching};

/// The common part of a task's pictures.
pub(super) struct Drawing<'a> {
    asked: ImageRequest,
    model: &'a LoadedModel,
    start: Option<Start>,
}

/// The initial picture.
struct Start {
    image: Image,
    mask: Option<Image>,
    strength: f64,
    /// Pastes the drawing back; its settings.
    paste: Option<(Retouch, Paste)>,
}

impl<'a> Drawing<'a> {
    /// Decodes the initial picture, once for all pictures.
    pub(super) fn new(mut asked: ImageRequest, model: &'a LoadedModel) -> Result<Self, Failure> {
        // An initial picture is redrawn in the model's default size, not in its own.
        if let Some(defaults) = model.defaults().filter(|_| asked.init.is_some()) {
            asked.width.get_or_insert(side(defaults.width));
            asked.height.get_or_insert(side(defaults.height));
        }
        let start = match asked.init.take() {
            Some(init) => Some(Start::new(init, &asked)?),
            None => None,
        };
        Ok(Self { asked, model, start })
    }

    /// Draws the picture with this number.
    pub(super) fn picture(&self, number: u32, report: &mut Report<'_, '_>) -> Result<Picture, Failure> {
        let seed = self.asked.seed.unwrap_or_default().wrapping_add(number.into());
        let mut request = self.request(&self.asked, seed);
        request.init = self.start.as_ref().map(Start::to_init);
        let mut picture = self.draw(&request, report)?;
        if let Some(hires) = self.asked.hires {
            picture = self.again(picture, hires, report)?;
        }
        if let Some((retouch, paste)) = self.start.as_ref().and_then(|start| start.paste.as_ref()) {
            picture.image = retouch.finish(picture.image).map_err(easel_inference::Error::from)?;
            picture.parameters.other.extend(words(*paste));
        }
        report.finished();
        Ok(picture)
    }

    /// Enlarges a picture and draws it again ("hires fix").
    fn again(&self, picture: Picture, hires: Hires, report: &mut Report<'_, '_>) -> Result<Picture, Failure> {
        report.second_pass();
        let size = hires.size(side(picture.image.width), side(picture.image.height));
        let mut request = self.request(&second(&self.asked, hires, size), picture.seed);
        request.init = Some(InitImage { image: picture.image, strength: hires.strength, all_steps: false, mask: None });
        let mut picture = self.draw(&request, report)?;
        picture.parameters.other.push(("Hires resize".to_owned(), format!("{}x{}", size.0, size.1)));
        Ok(picture)
    }

    fn draw(&self, request: &Request, report: &mut Report<'_, '_>) -> Result<Picture, Failure> {
        let cancel = report.cancel();
        let mut pictures = self.model.generate(request, report, &cancel)?;
        pictures.pop().ok_or(Failure::Nothing)
    }

    /// The request for one picture in the pipeline's terms, without an initial picture.
    fn request(&self, asked: &ImageRequest, seed: u64) -> Request {
        let pictures = Request::new(&asked.prompt, asked.negative_prompt.as_deref(), seed, 1);
        Request { prompts: pictures.prompts, preview_every: 1, ..without_pictures(asked) }
    }
}

impl Start {
    fn new(init: easel_contract::service::InitImage, asked: &ImageRequest) -> easel_inference::Result<Self> {
        let strength = init.strength;
        let image = Image::decode(&init.bytes, &Limits::default())?;
        let Some(mask) = init.mask else { return Ok(Self { image, mask: None, strength, paste: None }) };
        let white = Image::decode_mask(&mask.bytes, redraw(mask.redraw), &Limits::default())?;
        let Some(paste) = mask.paste else { return Ok(Self { image, mask: Some(white), strength, paste: None }) };
        let how = Retouching {
            blur: paste.blur as usize,
            margin: paste.margin.map(|margin| margin as usize),
            fill: paste.fill,
        };
        let [width, height] = [asked.width, asked.height].map(|side| side.unwrap_or(STUB_SIZE) as usize);
        let retouch = Retouch::new(&image, &white, width, height, how)?;
        let mask = retouch.mask.clone();
        Ok(Self { image: retouch.start.clone(), mask, strength, paste: Some((retouch, paste)) })
    }

    fn to_init(&self) -> InitImage {
        InitImage { image: self.image.clone(), strength: self.strength, all_steps: false, mask: self.mask.clone() }
    }
}

/// AUTOMATIC1111's settings about a masked area.
fn words(paste: Paste) -> Vec<(String, String)> {
    let word = |name: &str, value: String| (name.to_owned(), value);
    let mut words = Vec::new();
    if paste.blur > 0 {
        words.push(word("Mask blur", paste.blur.to_string()));
    }
    if let Some(margin) = paste.margin {
        words.push(word("Inpaint area", "Only masked".to_owned()));
        words.push(word("Masked area padding", margin.to_string()));
    }
    words
}

fn side(side: usize) -> u32 {
    u32::try_from(side).unwrap_or(u32::MAX)
}
