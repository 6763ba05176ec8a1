//! What the service in memory sees: every text is as probable as the others, and masks are boxes.

use crate::transcript::Setup;
use easel_contract::Error;
use easel_contract::service::{Analysis, AnalysisRequest, Cut, NO_CLIP, NO_SAM, Region, Result, Spot};
use easel_picture::{Image, encode_grey};

/// The analysis of a checked request.
pub(super) fn of(setup: &Setup, request: &AnalysisRequest) -> Result<Analysis> {
    let size = Image::dimensions(&request.image).map_err(Error::internal)?;
    let scores: Vec<f32> = request.texts.iter().map(|_| 1.0 / request.texts.len() as f32).collect();
    let each = if request.each && setup.clip { scores.clone() } else { Vec::new() };
    let cut = |region: &Region| cut(*region, size, each.clone());
    let cuts = request.regions.iter().map(cut).collect::<Result<Vec<Vec<Cut>>>>()?.concat();
    Ok(Analysis {
        id: "00000000-0000-4000-9000-000000000001".to_owned(),
        scores: setup.clip.then_some(scores).ok_or_else(|| NO_CLIP.to_owned()),
        cuts: setup.sam.then_some(cuts).ok_or_else(|| NO_SAM.to_owned()),
    })
}

/// Three times the box of a region; a point is a box of one pixel.
fn cut(region: Region, (width, height): (usize, usize), scores: Vec<f32>) -> Result<Vec<Cut>> {
    let Region { start, end } = region;
    let start = Spot { x: start.x.min(width as f64 - 1.0).floor(), y: start.y.min(height as f64 - 1.0).floor() };
    let end = end.unwrap_or(Spot { x: start.x + 1.0, y: start.y + 1.0 });
    let is_inside = |i: usize| {
        let x = (i % width) as f64;
        let y = (i / width) as f64;
        (start.x..end.x).contains(&x) && (start.y..end.y).contains(&y)
    };
    let grey: Vec<u8> = (0..width * height).map(|i| if is_inside(i) { 255 } else { 0 }).collect();
    let mask = encode_grey(width, height, &grey).map_err(Error::internal)?.into();
    let ring = vec![start, Spot { x: end.x, y: start.y }, end, Spot { x: start.x, y: end.y }];
    let cut = Cut { mask, iou: 0.5, rings: vec![ring], scores };
    Ok(vec![cut; 3])
}
