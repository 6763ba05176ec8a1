//! The plan of a run: arguments, metadata of another picture, environment and defaults are combined and checked before
//! anything is loaded.

use super::reuse::Reused;
use crate::args::{DeviceArg, Format, GenerateArgs, InitArgs, OnOff, PictureArgs, Vae};
use crate::output::Output;
use crate::picture;
use anyhow::{Context, Result, bail};
use easel_host::model::{LoadOptions, describe, gpu_options, select_device};
use easel_host::names::{self, Place};
use easel_inference::pipeline::{InitImage, PromptOptions, Request, StartPlan};
use easel_inference::sampling::Scheduler;
use easel_inference::tensor::{DeviceKind, Selection};
use easel_inference::text::MAX_PROMPT_BYTES;
use easel_inference::{DType, Device, Error};
use std::io::Read;

/// The default strengths without and with a mask, from diffusers.
const STRENGTH: f64 = 0.8;
const STRENGTH_WITH_MASK: f64 = 1.0;

/// All settings of a run.
pub(super) struct Plan {
    /// The model's name and location.
    pub(super) name: String,
    pub(super) place: Place,
    /// The type of the weights in memory.
    pub(super) dtype: Option<DType>,
    pub(super) vae: Option<Vae>,
    pub(super) request: Request,
    pub(super) output: Output,
    pub(super) quality: Option<u8>,
}

impl Plan {
    /// Creates the plan. Returns an error for everything that can be checked without the model.
    pub(super) fn resolve(args: &GenerateArgs) -> Result<Self> {
        let reused = match &args.picture.from {
            Some(file) => Reused::read(file)?,
            None => Reused::default(),
        };
        if reused.strength().is_some() && args.init.init_image.is_none() {
            bail!("the picture of --from was made from an initial picture: add it with --init-image");
        }
        if let Some((name, file)) = reused.missing_component(&args.model.component) {
            bail!("the picture of --from was made with another {name} ({file}): add --component {name}=PATH");
        }
        reused.check(&args.picture)?;
        let prompt = match args.prompt.as_deref() {
            Some("-") => read_prompt(std::io::stdin().lock())?,
            Some(prompt) => prompt.to_owned(),
            None => reused.prompt(),
        };
        let mut request = request(&args.picture, &reused, &prompt)?;
        request.validate()?;
        check_lengths(&request)?;
        request.scheduler.as_deref().map(str::parse::<Scheduler>).transpose()?;
        let format = reused.format.unwrap_or(Format::Png);
        let output = Output::plan(&args.output, &prompt, request.prompts.len(), format)?;
        request.init = init(&args.init, &reused)?;
        request.preview_every = usize::from(args.output.preview);
        request.validate()?;
        let name = model_name(args, &reused)?;
        let place = names::resolve(&name)?;
        check_with_model(&request, &place, args)?;
        let vae = args.model.vae.or(reused.vae());
        let quality = args.output.quality.or(reused.quality()).filter(|_| output.format() == Format::Jpeg);
        let dtype = args.model.dtype.map(Into::into);
        Ok(Self { name, place, dtype, vae, request, output, quality })
    }

    /// The options for loading the model on a device.
    pub(super) fn load_options(&self, args: &GenerateArgs, device: Device) -> LoadOptions {
        LoadOptions {
            device,
            dtype: self.dtype,
            variant: args.model.variant.clone(),
            components: args.model.component.clone(),
            tiny_vae: self.vae == Some(Vae::Tiny),
            keeping: args.keeping.keeping(),
            request: Some(self.request.clone()),
            is_planned: false,
        }
    }

    /// Opens the requested device.
    pub(super) fn select_device(&self, args: &GenerateArgs) -> Result<Selection> {
        let kind = match args.model.device {
            DeviceArg::Auto if self.is_drawn_at_once(args) => DeviceKind::Cpu,
            device => device.into(),
        };
        Ok(select_device(kind, self.dtype)?)
    }

    /// Whether the processor draws a picture in about the time that loading a GPU's driver takes, so that `auto` skips
    /// GPUs. This is the case for the embedded model without replaced components. If `EASEL_GPU` names a GPU, `auto`
    /// tries that one.
    fn is_drawn_at_once(&self, args: &GenerateArgs) -> bool {
        self.place == Place::Embedded
            && args.model.component.is_empty()
            && self.vae != Some(Vae::Tiny)
            && gpu_options(self.dtype).adapter.is_empty()
    }
}

/// The requested model, or else that of the picture whose settings are reused, or else the default model.
fn model_name(args: &GenerateArgs, reused: &Reused) -> Result<String> {
    if let Some(name) = &args.model.model {
        return Ok(name.clone());
    }
    Ok(reused.model()?.unwrap_or_else(names::default_name))
}

fn request(args: &PictureArgs, reused: &Reused, prompt: &str) -> Result<Request> {
    let negative = args.negative_prompt.clone().or_else(|| reused.negative_prompt());
    let seed = match args.seed.or(reused.seed()) {
        Some(seed) => seed,
        None => random_seed()?,
    };
    let size = reused.size();
    let mut request = Request::new(prompt, negative.as_deref(), seed, usize::from(args.count));
    request.prompt_options = PromptOptions {
        weighting: args.weighting || reused.weighting(),
        long: args.long_prompts || reused.long_prompts(),
        clip_skip: args.clip_skip.or(reused.clip_skip()).unwrap_or(0),
        ..PromptOptions::default()
    };
    request.width = args.width.or(size.map(|(width, _)| width));
    request.height = args.height.or(size.map(|(_, height)| height));
    request.steps = args.steps.or(reused.steps());
    request.guidance_scale = args.guidance_scale.or(reused.guidance_scale());
    request.true_cfg_scale = args.true_cfg_scale.or(reused.true_cfg_scale());
    request.guidance_rescale = args.guidance_rescale.or(reused.guidance_rescale()).unwrap_or(0.0);
    request.scheduler = args.scheduler.clone().or_else(|| reused.scheduler());
    request.eta = args.eta.or(reused.eta()).unwrap_or(0.0);
    request.batch_size = args.batch_size;
    request.tiling = args.tiling.map(|tiling| tiling == OnOff::On).or(reused.tiling());
    Ok(request)
}

/// Checks the request against the model's configuration, before its weights are loaded.
fn check_with_model(request: &Request, place: &Place, args: &GenerateArgs) -> Result<()> {
    // If it cannot be opened, loading reports the error.
    let Ok(Some(description)) = describe(place, args.model.variant.as_deref(), &args.model.component) else {
        return Ok(());
    };
    Ok(description.check(request, request.init.as_ref().map(StartPlan::from))?)
}

/// Refuses prompts that are too long for the tokenizer, before the model is loaded.
fn check_lengths(request: &Request) -> Result<(), Error> {
    for prompt in &request.prompts {
        for (field, text) in [("prompt", Some(&prompt.text)), ("negative_prompt", prompt.negative.as_ref())] {
            if let Some(text) = text.filter(|text| text.len() > MAX_PROMPT_BYTES) {
                let reason = format!("{} bytes long, expected at most {MAX_PROMPT_BYTES}", text.len());
                return Err(Error::invalid(field, reason));
            }
        }
    }
    Ok(())
}

/// Reads and decodes the initial picture.
fn init(args: &InitArgs, reused: &Reused) -> Result<Option<InitImage>> {
    let Some(path) = &args.init_image else { return Ok(None) };
    let mask = args.mask.as_deref().map(picture::read).transpose()?;
    let default = if mask.is_some() { STRENGTH_WITH_MASK } else { STRENGTH };
    let strength = args.strength.or(reused.strength()).unwrap_or(default);
    Ok(Some(InitImage { image: picture::read(path)?, strength, mask, all_steps: false }))
}

/// Reads a prompt from standard input, without the line end that `echo` adds.
fn read_prompt(input: impl Read) -> Result<String> {
    // One byte more than the limit, so that a longer prompt is refused and not truncated.
    let most = MAX_PROMPT_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    input.take(most).read_to_end(&mut bytes).context("cannot read the prompt from standard input")?;
    if bytes.len() as u64 == most {
        bail!("prompt: standard input has more than {} bytes, the limit for prompts", MAX_PROMPT_BYTES);
    }
    let text = String::from_utf8(bytes).ok().context("prompt: standard input is not UTF-8 text")?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// A random seed with 32 bits, which is short enough to type again.
fn random_seed() -> Result<u64> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system provides no random numbers: {error}"))?;
    Ok(u64::from(u32::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_read_from_standard_input() {
        assert_eq!(read_prompt(&b"a cat\r\n"[..]).unwrap(), "a cat");
        assert_eq!(read_prompt(&b""[..]).unwrap(), "");
        assert!(read_prompt(&[0xff, 0xfe][..]).unwrap_err().to_string().contains("not UTF-8"));
        assert!(read_prompt(std::io::repeat(b'a')).unwrap_err().to_string().starts_with("prompt: "));
    }
}
