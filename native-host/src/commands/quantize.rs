//! `easel quantize`: writes the tensors of a file or component to a GGUF file with fewer bits.

use crate::args::QuantizeArgs;
use crate::interrupt;
use crate::output::create_whole;
use crate::terminal::{bytes, say};
use anyhow::{Result, bail};
use easel_host::model::open;
use easel_host::names::Place;
use easel_inference::Error;
use easel_inference::weights::gguf::Conversion;
use easel_inference::weights::{ComponentFiles, Directory, FileSource, TensorIndex};
use indicatif::{ProgressBar, ProgressStyle};
use pollster::block_on;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

/// Writes the file with a few megabytes in memory at a time, and prints a summary.
pub(crate) fn quantize(args: &QuantizeArgs) -> Result<()> {
    let index = tensors(&args.input)?;
    let conversion = Conversion::new(&index, args.target.0, architecture(&args.input))?;
    let cancel = interrupt::cancel_token()?;
    let bar = bar(conversion.bytes(), args.quiet);
    create_whole(&args.output, args.force, |file| {
        let write = &mut |piece: &[u8]| {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            bar.inc(piece.len() as u64);
            let path = args.output.display().to_string();
            file.write_all(piece).map_err(|error| Error::Io { path, reason: error.to_string() })
        };
        Ok(block_on(conversion.write(write))?)
    })?;
    bar.finish_and_clear();
    if args.quiet {
        return Ok(());
    }
    let mut counts = BTreeMap::new();
    for tensor in conversion.tensors() {
        *counts.entry(tensor.dtype.name()).or_insert(0_usize) += 1;
    }
    let types: Vec<String> = counts.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    let [before, after] = [index.bytes(), conversion.bytes()].map(bytes);
    say(format_args!("{}: {after}, before {before}; {}", args.output.display(), types.join(", ")))
}

/// The tensors of a file, or of the folder of one component.
fn tensors(path: &Path) -> Result<TensorIndex> {
    if !path.is_dir() {
        return Ok(block_on(TensorIndex::open(Arc::new(FileSource::open(path)?)))?);
    }
    if path.join("model_index.json").is_file() {
        bail!(
            "{}: is a whole model: quantise one of its components, such as {}",
            path.display(),
            path.join("unet").display()
        );
    }
    Ok(block_on(ComponentFiles::open(&Directory::new(path), "", None))?.tensors)
}

/// The architecture of a file's family in ComfyUI's names, if it is a whole model or a denoiser.
fn architecture(path: &Path) -> &'static str {
    let files = path.is_file().then(|| open(&Place::Path(path.to_owned()), None, &[]).ok()).flatten();
    files.map_or("diffusion", |files| files.family().architecture())
}

/// A bar on a terminal, otherwise nothing.
fn bar(length: u64, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "[{bar:32}] {bytes}/{total_bytes}  {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style.progress_chars("=> "))
}
