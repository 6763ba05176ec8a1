//! The memory that a plan predicts for a measurement.

use super::measure::{Subject, load_options, place, prepare, request};
use super::{Architecture, Kind, resident_bytes};
use crate::args::BenchArgs;
use anyhow::Result;
use easel_host::model;
use easel_inference::Device;
use easel_inference::pipeline::Keeping;
use easel_inference::tensor::OutlineDevice;

/// The peak of this process on the processor, including its current memory, or of a GPU.
pub(super) fn planned(
    architecture: &Architecture,
    args: &BenchArgs,
    device: &Device,
    size: usize,
    batch: usize,
) -> Result<Option<u64>> {
    let needs = match architecture.kind {
        Kind::Pipeline => pipeline(args, device, size, batch)?,
        // It reads tables back when it is built, which an outline does not have.
        Kind::Sam => return Ok(None),
        _ => network(architecture, args, device, size, batch)?,
    };
    Ok(match device {
        Device::Cpu => resident_bytes().map(|held| held + needs),
        _ => Some(needs),
    })
}

/// Builds a network and runs it twice without data.
fn network(architecture: &Architecture, args: &BenchArgs, device: &Device, size: usize, batch: usize) -> Result<u64> {
    let ledger = OutlineDevice::of(device);
    let outline = Device::Outline(ledger.clone());
    if let Subject::Network { inputs, forward, .. } = prepare(architecture, args, &outline, size, batch)? {
        for _ in 0..2 {
            forward(&inputs)?;
        }
    }
    Ok(ledger.take_peak())
}

fn pipeline(args: &BenchArgs, device: &Device, size: usize, batch: usize) -> Result<u64> {
    let options = load_options(args, device, &request(args, size, batch));
    let needs = model::needs(&place(args)?, &options)?;
    Ok(needs.map_or(0, |needs| needs.peak(options.keeping.unwrap_or(Keeping::All))))
}
