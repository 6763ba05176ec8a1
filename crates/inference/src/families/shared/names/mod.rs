//! Maps the tensor names of the original repositories (CompVis, Stability AI, OpenCLIP) to those of diffusers and
//! transformers, for checkpoints with a whole model in one file. The maps are those of
//! `diffusers/loaders/single_file_utils.py`.
//!
//! A name maps to any number of tensors: a fused projection to three, a left-over buffer to none.

pub(in crate::families) mod alone;
pub(in crate::families) mod clip;
pub(in crate::families) mod t5;
pub(in crate::families) mod transformer;
mod unet;
pub(in crate::families) mod vae;

pub(in crate::families) use vae::modern_attention;

use super::{TEXT_ENCODER, TEXT_ENCODER_2, UNET};
use crate::families::VAE;
use crate::weights::{TensorIndex, TensorView};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// The tensors of a component by diffusers name.
pub(in crate::families) type Tensors = BTreeMap<String, TensorView>;

/// The result of mapping one tensor: any number of tensors with diffusers names. `None` stands for an unknown tensor.
pub(in crate::families) type Renamed = Option<Vec<(String, TensorView)>>;

/// The same with the component of the tensors.
pub(in crate::families) type Placed = Option<(&'static str, Vec<(String, TensorView)>)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    UNet,
    Vae,
    /// The names of transformers, unchanged.
    Clip,
    OpenClip,
}

/// The prefix of each component in the original files. SDXL's refiner has its only text encoder at position 0.
const PREFIXES: [(&str, &str, Style); 7] = [
    ("model.diffusion_model.", UNET, Style::UNet),
    ("first_stage_model.", VAE, Style::Vae),
    ("cond_stage_model.transformer.", TEXT_ENCODER, Style::Clip),
    ("cond_stage_model.model.", TEXT_ENCODER, Style::OpenClip),
    ("conditioner.embedders.0.transformer.", TEXT_ENCODER, Style::Clip),
    ("conditioner.embedders.0.model.", TEXT_ENCODER_2, Style::OpenClip),
    ("conditioner.embedders.1.model.", TEXT_ENCODER_2, Style::OpenClip),
];

/// Left-overs of training that are not needed: averages of the weights, tables that follow from the schedule, losses,
/// the vision half of CLIP, markers for other programs.
const IGNORED_PREFIXES: [&str; 10] = [
    "model_ema.",
    "loss.",
    "first_stage_model.loss.",
    "first_stage_model.model_ema.",
    "optimizer",
    "lr_scheduler",
    "embedding_manager.",
    "cond_stage_model.transformer.vision_model.",
    "cond_stage_model.transformer.visual_projection.",
    "denoiser.",
];

const IGNORED: [&str; 22] = [
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "lvlb_weights",
    "logvar",
    "scale_factor",
    "global_step",
    "v_pred",
    "ztsnr",
    "cond_stage_model.logit_scale",
    "cond_stage_model.text_projection",
    "cond_stage_model.transformer.logit_scale",
    "cond_stage_model.transformer.text_projection.weight",
];

/// The components of a checkpoint in the original layout, under diffusers names. `is_xl` selects SDXL's layout. Tensors
/// that belong to no component and are not known left-overs are an error.
pub(in crate::families) fn components(index: &TensorIndex, is_xl: bool) -> Result<BTreeMap<&'static str, Tensors>> {
    let map = Maps::new(index, is_xl);
    let is_left_over =
        |name: &str| IGNORED.contains(&name) || IGNORED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    gather(index, is_left_over, |name, view| map.rename(name, view))
}

/// The components of a file whose tensors `rename` maps, except for left-overs of training. Unknown tensors are an error.
pub(in crate::families) fn gather(
    index: &TensorIndex,
    is_left_over: impl Fn(&str) -> bool,
    rename: impl Fn(&str, &TensorView) -> Placed,
) -> Result<BTreeMap<&'static str, Tensors>> {
    let mut components: BTreeMap<&'static str, Tensors> = BTreeMap::new();
    let mut unknown = Vec::new();
    for (name, view) in index.iter().filter(|(name, _)| !is_left_over(name)) {
        match rename(name, view) {
            Some((component, tensors)) => components.entry(component).or_default().extend(tensors),
            None => unknown.push(name.to_owned()),
        }
    }
    if unknown.is_empty() {
        Ok(components)
    } else {
        Err(Error::ExtraTensors { file: index.file().to_owned(), names: unknown })
    }
}

/// Whether the file has any component under the original names.
pub(in crate::families) fn is_original(index: &TensorIndex) -> bool {
    PREFIXES.iter().any(|(prefix, ..)| has(index, prefix))
}

/// Whether any tensor's name has this prefix.
pub(in crate::families) fn has(index: &TensorIndex, prefix: &str) -> bool {
    index.iter().any(|(name, _)| name.starts_with(prefix))
}

/// The maps of all components. Those of the UNet, the autoencoder and OpenCLIP depend on the names in the file.
struct Maps {
    unet: unet::Map,
    vae: vae::Map,
    open_clip: BTreeMap<&'static str, clip::OpenClip>,
}

impl Maps {
    fn new(index: &TensorIndex, is_xl: bool) -> Self {
        let under = |prefix: &'static str| index.iter().filter_map(move |(name, _)| name.strip_prefix(prefix));
        let [(unet, ..), (vae, ..), ..] = PREFIXES;
        let towers = PREFIXES.iter().filter(|(.., style)| *style == Style::OpenClip);
        let open_clip = |(prefix, component, _): &(&'static str, &'static str, Style)| {
            (*prefix, clip::OpenClip::new(under(prefix), *component == TEXT_ENCODER_2))
        };
        Self {
            unet: unet::Map::new(under(unet), is_xl),
            vae: vae::Map::new(under(vae)),
            open_clip: towers.map(open_clip).collect(),
        }
    }

    fn rename(&self, name: &str, view: &TensorView) -> Placed {
        let found = PREFIXES.iter().find_map(|entry| name.strip_prefix(entry.0).map(|rest| (entry, rest)));
        let ((prefix, component, style), rest) = found?;
        let renamed = match style {
            Style::UNet => self.unet.rename(rest).map(|name| vec![(name, view.clone())]),
            Style::Vae => self.vae.rename(rest, view),
            Style::Clip => clip::rename(rest, view),
            Style::OpenClip => self.open_clip.get(prefix)?.rename(rest, view),
        };
        renamed.map(|tensors| (*component, tensors))
    }
}
