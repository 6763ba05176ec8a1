//! `easel analyze`: what is in a picture, and where.

mod report;

use crate::args::AnalyzeArgs;
use crate::exit::Usage;
use crate::terminal::note;
use crate::{interrupt, output, picture};
use anyhow::{Result, bail};
use easel_host::model::{analysis, select_device};
use easel_host::{names, overlay};
use easel_inference::Device;
use easel_inference::analysis::{Automatic, Bitmap, Point, Prompt, Segmenter};
use easel_picture::Image;
use pollster::block_on;
use report::{Cut, Report, Score};

/// Scores texts for a picture and cuts out what is named.
pub(crate) fn analyze(args: &AnalyzeArgs) -> Result<()> {
    let format = args.overlay.as_deref().map(|path| output::check_new(path, args.force)).transpose()?;
    let has_regions = !args.point.is_empty() || !args.area.is_empty();
    if !args.exclude.is_empty() && !has_regions {
        bail!(Usage("--exclude is for masks of --point or --box".into()));
    }
    // A model that the environment names is used only for what is asked for.
    let segments = has_regions || args.overlay.is_some() || (args.sam.is_some() && args.texts.is_empty());
    if args.texts.is_empty() && !segments {
        bail!(Usage("nothing to analyze: expected --texts with --clip, or --sam".into()));
    }
    let image = picture::read(&args.image)?;
    let selection = select_device(args.device.into(), None)?;
    if let Some(warning) = &selection.warning {
        note(format_args!("easel: warning: {warning}"));
    }
    let scores = if args.texts.is_empty() { Vec::new() } else { score(args, &image, &selection.device)? };
    let cuts = if segments { cut(args, &image, &selection.device)? } else { Vec::new() };
    if let (Some(path), Some(format)) = (&args.overlay, format) {
        let drawn = overlay::draw(&image, cuts.iter().map(|cut| (&cut.mask, &cut.polygons[..])));
        output::write_whole(path, &picture::encode_plain(&drawn, format)?, args.force)?;
    }
    let report = Report { size: [image.width, image.height], scores, cuts };
    if args.json { report.print_json() } else { report.print() }
}

/// The probability of each text.
fn score(args: &AnalyzeArgs, image: &Image, device: &Device) -> Result<Vec<Score>> {
    let name = args.clip.as_deref().unwrap_or_default();
    let clip = analysis::load_clip(&names::resolve(name)?, device)?;
    let texts: Vec<&str> = args.texts.iter().map(String::as_str).collect();
    let scores = block_on(clip.score(&[image], &texts))?.into_iter().flatten();
    Ok(args.texts.iter().cloned().zip(scores).map(|(text, probability)| Score { text, probability }).collect())
}

/// The masks of all points and boxes, or of everything.
fn cut(args: &AnalyzeArgs, image: &Image, device: &Device) -> Result<Vec<Cut>> {
    let name = args.sam.as_deref().unwrap_or_default();
    let place = names::resolve(name)?;
    let prompts = prompts(args);
    for (_, prompt) in &prompts {
        prompt.check([image.width, image.height])?;
    }
    let segmenter = analysis::load_sam(&place, device)?;
    if prompts.is_empty() {
        return everything(args, &segmenter, image);
    }
    let picture = segmenter.embed(image)?;
    let mut cuts = Vec::new();
    for (region, prompt) in prompts {
        for segment in block_on(segmenter.segment(&picture, &prompt))? {
            cuts.push(Cut::new(region.clone(), segment.mask, segment.iou, args.tolerance)?);
        }
    }
    Ok(cuts)
}

fn everything(args: &AnalyzeArgs, segmenter: &Segmenter, image: &Image) -> Result<Vec<Cut>> {
    let options = Automatic { points_per_side: usize::from(args.grid), ..Automatic::default() };
    let cancel = interrupt::cancel_token()?;
    let picture = segmenter.embed(image)?;
    let mut cuts = Vec::new();
    for found in block_on(segmenter.segment_all(&picture, &options, &cancel))? {
        let [x, y] = found.point;
        let mask: Bitmap = found.mask.to_bitmap()?;
        cuts.push(Cut::new(vec![x, y], mask, found.iou, args.tolerance)?);
    }
    Ok(cuts)
}

/// Each point and each box, as two or four numbers, with its prompt.
fn prompts(args: &AnalyzeArgs) -> Vec<(Vec<f64>, Prompt)> {
    let outside = args.exclude.iter().map(|[x, y]| Point { x: *x, y: *y, inside: false });
    let excluding = |mut prompt: Prompt| {
        prompt.points.extend(outside.clone());
        prompt
    };
    let points = args.point.iter().map(|[x, y]| (vec![*x, *y], excluding(Prompt::point(*x, *y))));
    let areas = args.area.iter().map(|area| (area.to_vec(), excluding(Prompt::area(*area))));
    points.chain(areas).collect()
}
