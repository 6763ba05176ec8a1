//! Classifier-free guidance (<https://arxiv.org/abs/2207.12598>) as most families use it.

use crate::pipeline::Request;
use crate::{Error, Result};

/// The guidance scale of the request, if it is above 1. [`Error::Invalid`] if the request has a true_cfg_scale too,
/// which is for models that take the guidance scale as an input.
pub(in crate::families) fn classifier_free(guidance_scale: f64, request: &Request) -> Result<Option<f64>> {
    match request.true_cfg_scale {
        Some(_) => Err(Error::invalid("true_cfg_scale", "not supported by this model: use guidance_scale")),
        None => Ok((guidance_scale > 1.0).then_some(guidance_scale)),
    }
}

/// Whether any picture of the request has a non-empty negative prompt.
pub(in crate::families) fn has_negative(request: &Request) -> bool {
    let texts = request.prompts.iter().flat_map(|prompt| [&prompt.negative, &prompt.negative_2]);
    texts.flatten().any(|text| !text.trim().is_empty())
}
