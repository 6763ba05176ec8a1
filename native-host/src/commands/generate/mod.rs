//! `easel generate`: from the resolved plan to picture files.

mod plan;
mod reuse;

use crate::args::GenerateArgs;
use crate::interrupt;
use crate::picture;
use crate::progress::{Report, Saved};
use anyhow::Result;
use easel_host::model::Engine;
use easel_inference::pipeline::Picture;
use plan::Plan;

/// Makes the pictures that the arguments ask for. Each file is written as soon as its batch is done.
pub(crate) fn generate(args: &GenerateArgs) -> Result<()> {
    let cancel = interrupt::cancel_token()?;
    let plan = Plan::resolve(args)?;
    let mut report = Report::new(&args.output, &plan.output);
    let engine = Engine::load((&plan.name, &plan.place), &plan.load, &mut report, &cancel)?;
    let count = plan.request.prompts.len();
    let mut request = plan.request.clone();
    for (batch, prompts) in plan.request.prompts.chunks(plan.request.batch_size).enumerate() {
        let first = batch * plan.request.batch_size;
        report.next(first + 1, count);
        request.prompts = prompts.to_vec();
        let pictures = engine.generate(&request, &mut report, &cancel)?;
        for (index, picture) in pictures.into_iter().enumerate() {
            save(picture, first + index, &plan, &mut report)?;
        }
    }
    Ok(())
}

/// Writes picture `index` and tells of it.
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
