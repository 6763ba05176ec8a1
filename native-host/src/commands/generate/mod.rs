//! `easel generate`: from the resolved plan to picture files.

mod plan;
mod reuse;

use crate::args::{DeviceArg, GenerateArgs};
use crate::interrupt;
use crate::picture;
use crate::progress::{Report, Saved};
use anyhow::Result;
use easel_host::model::{LoadedModel, public_name};
use easel_host::names::Place;
use easel_inference::pipeline::{CancelToken, Picture, Watcher};
use plan::Plan;

/// Draws the requested pictures. Each file is written as soon as its batch is finished.
pub(crate) fn generate(args: &GenerateArgs) -> Result<()> {
    let cancel = interrupt::cancel_token()?;
    let plan = Plan::resolve(args)?;
    let mut report = Report::new(&args.output, &plan.output);
    let model = load(args, &plan, &mut report, &cancel)?;
    let count = plan.request.prompts.len();
    let mut request = plan.request.clone();
    for (batch, prompts) in plan.request.prompts.chunks(plan.request.batch_size).enumerate() {
        let first = batch * plan.request.batch_size;
        report.next(first + 1, count);
        request.prompts = prompts.to_vec();
        let pictures = model.generate(&request, &mut report, &cancel)?;
        for (index, picture) in pictures.into_iter().enumerate() {
            save(picture, first + index, &plan, &mut report)?;
        }
    }
    Ok(())
}

/// Opens the device and loads the model. Reports the device if it was chosen automatically.
fn load(args: &GenerateArgs, plan: &Plan, report: &mut Report, cancel: &CancelToken) -> Result<LoadedModel> {
    if plan.place == Place::Stub {
        return Ok(LoadedModel::stub());
    }
    let selection = plan.select_device(args)?;
    if let Some(warning) = &selection.warning {
        report.warning(warning);
    }
    let options = plan.load_options(args, selection.device);
    let name = public_name(&plan.name, &plan.place);
    let model = LoadedModel::load(&name, &plan.place, &options, report, cancel)?;
    if args.model.device == DeviceArg::Auto {
        report.device(&selection.name);
    }
    Ok(model)
}

/// Writes picture `index` and reports it.
fn save(mut picture: Picture, index: usize, plan: &Plan, report: &mut Report) -> Result<()> {
    reuse::complete(&mut picture.parameters, plan);
    let parameters = picture.parameters.to_string();
    let format = plan.output.format();
    let bytes = picture::encode(&picture.image, format, plan.quality, &parameters)?;
    let path = plan.output.write(index, picture.seed, &bytes)?;
    let seconds = report.lap();
    report.picture(&Saved {
        path,
        format: format.name(),
        seed: picture.seed,
        width: picture.image.width,
        height: picture.image.height,
        seconds,
        parameters: &parameters,
    })
}
