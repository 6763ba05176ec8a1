//! The stub model's pictures: a single colour, with the usual metadata.

use super::{Draw, Result};
use crate::names;
use easel_inference::families::Defaults;
use easel_inference::pipeline::{CancelToken, Phase, Picture, Progress, Prompt, Request, Watcher};
use easel_picture::{Image, Parameters};

/// The default width and height of its pictures.
const SIZE: usize = 512;

/// "Draws" the pictures of a request.
pub(super) struct Stub;

impl Draw for Stub {
    fn generate(&self, request: &Request, watcher: &mut dyn Watcher, cancel: &CancelToken) -> Result<Vec<Picture>> {
        // Its pictures have any size.
        Request { width: None, height: None, ..request.clone() }.validate()?;
        cancel.check()?;
        let pictures = request.prompts.iter().map(|prompt| picture(prompt, request)).collect::<Result<Vec<_>>>()?;
        let of = pictures.len();
        let seconds = watcher.clock();
        watcher.progress(&Progress { phase: Phase::Decode, step: of, of, seconds, preview: None });
        Ok(pictures)
    }

    fn defaults(&self) -> Option<&Defaults> {
        None
    }
}

fn picture(prompt: &Prompt, request: &Request) -> Result<Picture> {
    let width = request.width.unwrap_or(SIZE);
    let height = request.height.unwrap_or(SIZE);
    let parameters = Parameters {
        prompt: prompt.text.clone(),
        negative_prompt: prompt.negative.clone(),
        seed: Some(prompt.seed),
        size: Some((width, height)),
        model: Some(names::STUB.into()),
        version: Some(Parameters::VERSION.into()),
        ..Parameters::default()
    };
    Ok(Picture { image: Image::stub(width, height)?, parameters, seed: prompt.seed })
}
