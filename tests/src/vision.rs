//! CLIP and SAM against the golden cases of `clip-vit` and `sam`, from the bytes of a picture to scores and masks.

use crate::files::{Array, load_weights, read_arrays, read_json};
use crate::target::target;
use crate::{Check, relative_error};
use anyhow::{Context, Result, anyhow};
use easel_inference::analysis::{
    Clip, ClipFiles, ClipProcessor, Embedded, Point, Prompt, SamFiles, SamProcessor, Segment, Segmenter,
};
use easel_inference::models::clip::{Clip as ClipNetwork, ClipConfig};
use easel_inference::models::sam::{Sam, SamConfig};
use easel_inference::weights::Directory;
use easel_inference::{Device, Tensor};
use easel_picture::Image;
use pollster::block_on;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The largest error of a normalised pixel.
const PIXELS: f64 = 1e-6;

/// The largest logit of a pixel that may be on either side of the threshold, as a fraction of the largest of all.
const BORDER: f32 = 1e-4;

/// Runs every case of `dir`; `kind` is `model_type` in its `config.json`.
pub fn run(dir: &Path, kind: &str) -> Result<Vec<Check>> {
    let cases = read_json(&dir.join("cases/cases.json"))?;
    let cases: Vec<Case> =
        cases["cases"].as_array().into_iter().flatten().map(|case| Case::read(dir, case)).collect::<Result<_>>()?;
    if kind == "sam" {
        return sam(dir, &cases);
    }
    let mut checks = Vec::new();
    for case in &cases {
        checks.extend(case.clip(dir).with_context(|| case.name.clone())?);
    }
    Ok(checks)
}

struct Case {
    name: String,
    label: String,
    json: Value,
    arrays: BTreeMap<String, Array>,
}

impl Case {
    fn read(dir: &Path, json: &Value) -> Result<Self> {
        let name = json["name"].as_str().unwrap_or_default().to_owned();
        let file = json["file"].as_str().unwrap_or_default();
        let label = format!("{}/{name}", dir.file_name().unwrap_or_default().to_string_lossy());
        Ok(Self { name, label, json: json.clone(), arrays: read_arrays(&dir.join("cases").join(file))? })
    }

    fn array(&self, name: &str) -> Result<&Array> {
        self.arrays.get(name).ok_or_else(|| anyhow!("no tensor {name}"))
    }

    fn check(&self, tensor: &str, error: f64, tolerance: f64) -> Check {
        Check { case: self.label.clone(), tensor: tensor.to_owned(), error, tolerance }
    }

    /// Compares numbers with the tensor `name`, whose tolerance is that of `like`.
    fn compare(&self, name: &str, like: &str, got: &[f32]) -> Result<Check> {
        let tolerance =
            target().tolerances(&self.json)[like].as_f64().ok_or_else(|| anyhow!("no tolerance for {like}"))?;
        Ok(self.check(name, relative_error(got, &self.array(name)?.data), target().widened(tolerance)))
    }

    /// The picture in `image_u8`.
    fn image(&self) -> Result<Image> {
        let array = self.array("image_u8")?;
        let bytes = array.data.iter().map(|x| *x as u8).collect();
        Ok(Image::new(array.shape[1], array.shape[0], bytes)?)
    }

    fn clip(&self, dir: &Path) -> Result<Vec<Check>> {
        if self.json["kind"] == "preprocess" { self.clip_preprocess(dir) } else { self.clip_network(dir) }
    }

    fn clip_preprocess(&self, dir: &Path) -> Result<Vec<Check>> {
        let json = read_json(&dir.join("preprocessor_config.json"))?;
        let side = self.array("cropped_u8")?.shape[1];
        let processor = ClipProcessor::from_json("preprocessor_config.json", &json, side)?;
        let image = self.image()?;
        let cropped = processor.cropped(&image)?.rgb8.iter().map(|byte| f32::from(*byte)).collect::<Vec<_>>();
        let bytes = channels_first(&cropped, [side, side]);
        let pixels = channels_first(&processor.pixels(&image)?, [side, side]);
        Ok(vec![
            self.check("cropped_u8", relative_error(&bytes, &self.array("cropped_u8")?.data), 0.0),
            self.check("pixel_values", relative_error(&pixels, &self.array("pixel_values")?.data), PIXELS),
        ])
    }

    fn clip_network(&self, dir: &Path) -> Result<Vec<Check>> {
        let device = &target().device.in_f32();
        let config = ClipConfig::from_json("config.json", &read_json(&dir.join("config.json"))?)?;
        let network = ClipNetwork::new(&load_weights(dir, device)?, config)?;
        let clip = block_on(Clip::load(&block_on(ClipFiles::open(&Directory::new(dir)))?, device))?;
        let prompts: Vec<&str> =
            self.json["prompts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let expected: Vec<Vec<u32>> =
            self.array("input_ids")?.rows().map(|row| row.iter().map(|id| *id as u32).collect()).collect();
        let ids = clip.ids(&prompts)?;
        let mut checks = vec![self.check("input_ids", if ids == expected { 0.0 } else { f64::INFINITY }, 0.0)];
        let pixels = self.array("pixel_values")?;
        let images = tensor_of(pixels, device)?.to_channels_last()?;
        let vision = network.vision.forward(&images)?;
        let last = "vision_last_hidden_state";
        checks.push(self.compare(last, last, &block_on(vision.last_hidden_state.to_vec())?)?);
        checks.push(self.text_states(&network, &ids)?);
        let texts = block_on(clip.embed_texts(&prompts))?;
        checks.push(self.compare("text_embeds", "text_embeds", &texts.concat())?);
        let rows = unit_rows(&block_on(vision.image_embeds.to_vec())?, texts[0].len());
        checks.push(self.compare("image_embeds", "image_embeds", &rows.concat())?);
        let logits: Vec<Vec<f32>> = rows.iter().map(|row| clip.logits(row, &texts)).collect();
        checks.push(self.compare("logits_per_image", "logits_per_image", &logits.concat())?);
        checks.push(self.compare("probs", "probs", &logits.iter().flat_map(|row| softmax(row)).collect::<Vec<_>>())?);
        Ok(checks)
    }

    /// The states of the texts up to their ends.
    fn text_states(&self, network: &ClipNetwork, ids: &[Vec<u32>]) -> Result<Check> {
        let name = "text_last_hidden_state";
        let got = block_on(network.text.forward(ids)?.last_hidden_state.to_vec())?;
        let expected = self.array(name)?;
        let mask = &self.array("attention_mask")?.data;
        let width = expected.shape[2];
        let masked = |x: &[f32]| -> Vec<f32> { x.iter().enumerate().map(|(i, x)| x * mask[i / width]).collect() };
        let tolerance = target().tolerances(&self.json)[name].as_f64().ok_or_else(|| anyhow!("no tolerance"))?;
        let error = relative_error(&masked(&got), &masked(&expected.data));
        Ok(self.check(name, error, target().widened(tolerance)))
    }

    /// The prompt of a case in pixels of the picture.
    fn prompt(&self) -> Prompt {
        let given = &self.json["prompt"];
        let pair = |point: &Value| [0, 1].map(|i| point[i].as_f64().unwrap_or(f64::NAN));
        let labels = given["input_labels"][0].as_array().into_iter().flatten();
        let points = given["input_points"][0].as_array().into_iter().flatten().zip(labels);
        let point = |(point, label): (&Value, &Value)| {
            let [x, y] = pair(point);
            Point { x, y, inside: *label == 1 }
        };
        let area = given["input_boxes"][0][0].as_array();
        Prompt {
            points: points.map(point).collect(),
            area: area.map(|area| [0, 1, 2, 3].map(|i| area[i].as_f64().unwrap_or(f64::NAN))),
            mask: None,
            single: self.json["multimask_output"] == false,
        }
    }
}

/// A folder of SAM: one model, one picture, and several prompts.
fn sam(dir: &Path, cases: &[Case]) -> Result<Vec<Check>> {
    let device = target().device.in_f32();
    let first = cases.first().context("no cases")?;
    let image = first.image()?;
    let segmenter = block_on(Segmenter::load(&block_on(SamFiles::open_path(dir))?, &device))?;
    let picture = segmenter.embed(&image)?;
    let mut checks = Vec::new();
    let mut previous: Option<Segment> = None;
    for case in cases {
        let found = match case.json["kind"].as_str() {
            Some("preprocess") => sam_preprocess(dir, case, &image),
            Some("sam_vision") => sam_vision(dir, case, &image, &device),
            _ => sam_masks(case, &segmenter, &picture, &mut previous),
        };
        checks.extend(found.with_context(|| case.name.clone())?);
    }
    Ok(checks)
}

fn sam_processor(dir: &Path) -> Result<(SamConfig, SamProcessor)> {
    let config = SamConfig::from_json("config.json", &read_json(&dir.join("config.json"))?)?;
    let json = read_json(&dir.join("preprocessor_config.json"))?;
    let processor = SamProcessor::from_json("preprocessor_config.json", &json, config.vision.image_size)?;
    Ok((config, processor))
}

fn sam_preprocess(dir: &Path, case: &Case, image: &Image) -> Result<Vec<Check>> {
    let (config, processor) = sam_processor(dir)?;
    let side = config.vision.image_size;
    let resized = processor.resized(image)?;
    let size = [resized.height, resized.width];
    let bytes: Vec<f32> = resized.rgb8.iter().map(|byte| f32::from(*byte)).collect();
    let bytes = every(&channels_first(&bytes, size), size, 8);
    let pixels = every(&channels_first(&processor.pixels(image)?, [side, side]), [side, side], 16);
    Ok(vec![
        case.check("resized_u8", relative_error(&bytes, &case.array("resized_u8.every8")?.data), 0.0),
        case.check("pixel_values", relative_error(&pixels, &case.array("pixel_values.every16")?.data), PIXELS),
    ])
}

fn sam_vision(dir: &Path, case: &Case, image: &Image, device: &Device) -> Result<Vec<Check>> {
    let (config, processor) = sam_processor(dir)?;
    let side = config.vision.image_size;
    let grid = config.vision.grid();
    let network = block_on(Sam::new(&load_weights(dir, device)?, config))?;
    let pixels = Tensor::from_vec(processor.pixels(image)?, &[1, side, side, 3], device)?;
    let mut probes = Vec::new();
    let embedding = network.embed_probed(&pixels, &mut |name, x| probes.push((name.to_owned(), x.clone())))?;
    let embedding = block_on(embedding.to_channels_first()?.to_vec())?;
    let name = "image_embeddings.every2";
    let mut checks = vec![case.compare(name, "image_embeddings", &every(&embedding, [grid, grid], 2))?];
    if !checks[0].passed() {
        for (name, x) in probes {
            let name = format!("probe.{name}.every8");
            if case.arrays.contains_key(&name) {
                let x = block_on(x.to_channels_first()?.to_vec())?;
                let channels = x.len() / grid / grid;
                let kept = every(&x, [grid, grid], 8);
                let last = channels_last(&kept, channels);
                checks.push(case.compare(&name, "image_embeddings", &last)?);
            }
        }
    }
    Ok(checks)
}

/// Masks for a prompt; a case with a mask gets the first one of the case `point`.
fn sam_masks(
    case: &Case,
    segmenter: &Segmenter,
    picture: &Embedded,
    previous: &mut Option<Segment>,
) -> Result<Vec<Check>> {
    let mut prompt = case.prompt();
    if case.arrays.contains_key("given.input_masks.every4") {
        prompt.mask = previous.as_ref().map(|segment| segment.logits.clone());
    }
    let segments = block_on(segmenter.segment(picture, &prompt))?;
    if case.name == "point" {
        *previous = segments.first().cloned();
    }
    let side = case.array("low_res_masks.every4")?.shape[3] * 4;
    let scores: Vec<f32> = segments.iter().map(|segment| segment.iou).collect();
    let logits: Vec<f32> = segments.iter().flat_map(|segment| segment.logits.iter().copied()).collect();
    let mut checks = vec![
        case.compare("iou_scores", "iou_scores", &scores)?,
        case.compare("low_res_masks.every4", "low_res_masks", &every(&logits, [side, side], 4))?,
    ];
    let [width, height] = picture.size();
    let full: Vec<f32> = segments.iter().flat_map(|segment| segmenter.at_full_size(picture, &segment.logits)).collect();
    let kept = every(&full, [height, width], 2);
    checks.push(case.compare("mask_logits.every2", "low_res_masks", &kept)?);
    let border = BORDER * full.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    let masks = segments.iter().flat_map(|segment| segment.mask.pixels());
    let expected = &case.array("masks_u8")?.data;
    let differs = masks.zip(expected).map(|(got, expected)| *got != (*expected == 1.0));
    let differing: Vec<f32> =
        differs.zip(&full).filter(|(differs, _)| *differs).map(|(_, logit)| logit.abs()).collect();
    let near = differing.iter().filter(|logit| **logit <= border).count();
    let wrong = differing.len() - near;
    let count = if expected.len() == full.len() { wrong as f64 } else { f64::INFINITY };
    checks.push(case.check("masks_u8", count, 0.0));
    checks.push(case.check("masks_u8 at the border", near as f64, 8.0));
    Ok(checks)
}

fn tensor_of(array: &Array, device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_vec(array.data.clone(), &array.shape, device)?)
}

/// `[h, w, 3]` to `[3, h, w]`.
fn channels_first(x: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let pixels = height * width;
    (0..3 * pixels).map(|i| x[i % pixels * 3 + i / pixels]).collect()
}

/// `[c, n]` to `[n, c]`.
fn channels_last(x: &[f32], channels: usize) -> Vec<f32> {
    let pixels = x.len() / channels;
    (0..x.len()).map(|i| x[i % channels * pixels + i / channels]).collect()
}

/// Every `step`th row and column of pictures `[n, h, w]`.
fn every(x: &[f32], [height, width]: [usize; 2], step: usize) -> Vec<f32> {
    let picture = |picture: &[f32]| -> Vec<f32> {
        let rows = picture.chunks_exact(width).step_by(step);
        rows.flat_map(|row| row.iter().step_by(step).copied().collect::<Vec<_>>()).collect()
    };
    x.chunks_exact(height * width).flat_map(picture).collect()
}

fn unit_rows(x: &[f32], width: usize) -> Vec<Vec<f32>> {
    let unit = |row: &[f32]| {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter().map(|x| x / length).collect()
    };
    x.chunks_exact(width).map(unit).collect()
}

fn softmax(row: &[f32]) -> Vec<f32> {
    let total: f32 = row.iter().map(|x| x.exp()).sum();
    row.iter().map(|x| x.exp() / total).collect()
}
